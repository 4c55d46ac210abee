//! The network: its shape, its numbers, and the burn modules that run it.

mod ssd;
mod weights;

pub use ssd::{Block, Extra, Head, Ssd, Stage};
pub use weights::{Activation, ConvKind, ConvSpec, ConvWeights, Padding};
