//! The burn custom operations: thin glue between burn's tensors and the kernels.

mod backend;
mod fused;
mod gradient_sums;
mod slice;

pub use backend::device;
pub use fused::{Call, CallLayer, Flow, alike, fused, halves_input, keeps_expansion};
pub use gradient_sums::{GradientSums, LayerGradients};
pub use slice::{read, tensor, update};
