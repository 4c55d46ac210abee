//! The training step, read from top to bottom: batch, predictions, loss, gradients, window, step.

mod step;
mod window;

pub use step::{StepLoss, TrainBatch, micro_step};
pub use window::Window;
