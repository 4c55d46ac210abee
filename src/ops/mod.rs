//! The burn custom operations: thin glue between burn's tensors and the kernels.

mod backend;
mod fused_conv;
mod slice;

pub use backend::device;
pub use fused_conv::{fused_conv, fused_conv_residual};
pub use slice::{read, tensor, update};
