//! The SSD loss on plain slices, with its gradient written by hand.
//!
//! Everything here is **summed**, not averaged: the accumulation window divides once, by the number of matched anchors
//! of the whole window, so that micro-batches of any size give the same step.

mod classification;
mod localisation;
mod ssd_loss;
mod targets;

pub use classification::Classification;
pub use localisation::smooth_l1;
pub use ssd_loss::{ImageGradients, ImageLoss, MatchedLoss, SsdLoss};
pub use targets::{TargetEncoder, Targets};
