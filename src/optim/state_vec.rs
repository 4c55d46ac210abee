//! Values that a run keeps from step to step, in 32 or 16 bits: an optimizer's moments, the lag of a moving average.

use crate::kernel::{StateSlice, squared_sum};
use half::bf16;

/// Such numbers, all of them held in 32 bits or in 16.
#[derive(Clone, Debug, PartialEq)]
pub enum StateVec {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

/// The bits that step `step` of a layer adds to those it drops ([`StateSlice`]): multiples of the golden ratio, whose
/// fractions fill the range evenly whatever the number of steps (Weyl 1916).
pub fn dither(step: u64) -> u16 {
    const GOLDEN: u32 = 0x9E37_79B9;
    ((step as u32).wrapping_mul(GOLDEN) >> 16) as u16
}

impl StateVec {
    /// All zero, `half` of them in 16 bits.
    pub fn zeros(len: usize, half: bool) -> Self {
        if half { Self::Bf16(vec![bf16::ZERO; len]) } else { Self::F32(vec![0.0; len]) }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As kernels take it.
    pub fn as_mut(&mut self) -> StateSlice<'_> {
        match self {
            Self::F32(numbers) => StateSlice::F32(numbers),
            Self::Bf16(numbers) => StateSlice::Bf16(numbers),
        }
    }

    pub fn numbers(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        match self {
            Self::F32(numbers) => Box::new(numbers.iter().copied()),
            Self::Bf16(numbers) => Box::new(numbers.iter().map(|&number| number.into())),
        }
    }

    pub fn set_to_zero(&mut self) {
        match self {
            Self::F32(numbers) => numbers.fill(0.0),
            Self::Bf16(numbers) => numbers.fill(bf16::ZERO),
        }
    }

    /// `Σ x²` in `f64`.
    pub fn squared_sum(&self) -> f64 {
        match self {
            Self::F32(numbers) => squared_sum(numbers),
            Self::Bf16(_) => self.numbers().map(|number| f64::from(number).powi(2)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_of_steps_rounds_evenly() {
        for first in [0, 1, 1000, 123_456_789] {
            for len in [10, 100, 1000] {
                let mut dithers: Vec<u16> = (first..first + len).map(dither).collect();
                dithers.sort_unstable();
                // Sorted, the k-th of n even ones is about k/n; the golden ratio's are off by a few of n.
                for (k, &d) in dithers.iter().enumerate() {
                    let off = (f64::from(d) / 65536.0 - k as f64 / len as f64).abs();
                    assert!(off <= 3.0 / len as f64, "{first} {len}: {d} is number {k}");
                }
            }
        }
    }
}
