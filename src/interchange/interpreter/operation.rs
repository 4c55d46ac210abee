//! The operations that can be run: one operation a step, checked when the file was read.

use super::convolution::{Bytes, Real};
use super::elementwise::{Rescaled, Sum, TensorScale};

pub enum Operation {
    Real(Real),
    Bytes(Bytes),
    RealSum,
    Sum(Sum),
    Rescaled(Rescaled),
    Dequantised(TensorScale),
    /// The numbers of all inputs behind each other: joining rows, and new shapes.
    Joined,
    /// A map with a border of 0, or of the zero point.
    Padded {
        map: [usize; 3],
        pads: [usize; 4],
        zero: i8,
    },
}

pub struct OperationStep {
    pub operation: Operation,
    pub inputs: Vec<usize>,
    pub output: usize,
}
