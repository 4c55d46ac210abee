//! The arithmetic: convolutions forward and backward on plain slices, NHWC, `f32`.
//!
//! This layer knows no tensor library. Every kernel is proven against [`mod@reference`], the obvious loops in `f64`.
//! All `unsafe` of the crate that is not a memory map stands here.
//!
//! Work is split over the threads of the surrounding rayon pool, in pieces whose borders depend on the shape and the
//! number of threads only, so results are bit-equal from run to run for a fixed thread count.

mod activation;
mod awake;
mod block;
mod buffer;
mod channel_sums;
mod conv;
mod dense;
mod depthwise;
mod gemm;
mod half_float;
mod isa;
mod line_buffer;
mod peak;
mod pointwise;
pub mod reference;
mod shape;
mod simd;
mod squares;
mod state_slice;
mod update;
mod workspace;

pub use awake::awake;
pub use block::{
    BlockGradients, BlockInput, BlockLayers, BlockWorkspace, Keep, LayerSums, block_backward, block_forward,
    block_workspace,
};
pub use buffer::overwritten;
pub use channel_sums::ChannelSums;
pub use conv::{backward, forward};
pub use half_float::{narrow, widen};
pub use isa::Isa;
pub use peak::{memory_gb_per_s, peak_gflops};
pub use shape::{ConvGeometry, Gradients, KernelKind, LayerValues};
pub use squares::{squared_sum, squared_sums};
pub use state_slice::StateSlice;
pub use update::{AdamwParameter, AdamwStep, MovingAverage, SgdStep, adamw, follow, sgd};
