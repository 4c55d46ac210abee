//! From gradients to better weights: optimizers, schedules, clipping, the moving average.
//!
//! This layer knows slices, not tensors, and never sees an image.

mod centring;
mod ema;
mod optimizer;
mod schedule;
mod state_vec;

pub use centring::InputMean;
pub use ema::Ema;
pub use optimizer::{LayerSlots, LayerUpdate, Optimizer, OptimizerKind, Rates, Slot, word_or_table};
pub use schedule::{Decay, Restart, Schedule};
pub use state_vec::{StateVec, dither};
