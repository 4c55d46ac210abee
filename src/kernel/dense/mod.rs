//! k x k convolutions over all channels: the 3-channel stem, and the extras of the plain SSD with hundreds of channels
//! on maps of some pixels. They differ in what is large: there the pixels, here the weights.

mod packed;
mod patches;
mod unpacked;

use super::isa::Isa;
use super::shape::{ConvGeometry, LayerValues};
pub(super) use patches::unroll;
pub(super) use unpacked::backward_input;

/// Input channels from which weights are many and pixels few.
const MANY_CHANNELS: usize = 16;

fn has_many_channels(g: &ConvGeometry) -> bool {
    g.cin >= MANY_CHANNELS
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], y: &mut [f32]) {
    match has_many_channels(&layer.geometry) {
        true => unpacked::forward(isa, layer, x, y),
        false => packed::forward(isa, layer, x, y),
    }
}

/// `dw += scale·Σ patchesᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    match has_many_channels(&layer.geometry) {
        true => unpacked::backward_weight(isa, layer, x, dy, dw),
        false => packed::backward_weight(isa, layer, x, dy, dw),
    }
}

/// Numbers that such a layer works in where it is an operation of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DenseWorkspace {
    /// Packed weights or gradients, once.
    pub packed: usize,
    /// Patches of every thread.
    pub tile: usize,
    /// Patches of all threads.
    pub patches: usize,
    /// A thread's piece of the output.
    pub piece: usize,
}

/// The memory that `threads` threads take for it; `backward` counts the backward pass too.
pub(super) fn workspace(isa: Isa, g: &ConvGeometry, backward: bool, threads: usize) -> DenseWorkspace {
    match has_many_channels(g) {
        true => unpacked::workspace(isa, g, backward, threads),
        false => packed::workspace(isa, g),
    }
}
