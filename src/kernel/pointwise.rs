//! 1x1 convolutions as matrix products: `Y[M,N] = X[M,K]·W[K,N]` with M output pixels, K = Cin, N = Cout.
//!
//! Threads share the pixels in the forward pass and towards the input, and the rows of the weight gradient: no sum is ever
//! split, so results do not depend on the number of threads.

use super::gemm::{GemmEpilogue, MatrixRows, product, weight_product};
use super::isa::Isa;
use super::shape::LayerValues;
use super::workspace::{PackedWeights, Pooled};
use rayon::prelude::*;

/// Below this many multiply-accumulates a fork costs more than it gains.
const FORK_MACS: usize = 1 << 19;

/// Pieces that `size` things are cut into.
fn share(size: usize, macs: usize) -> usize {
    let threads = rayon::current_num_threads();
    if threads == 1 || macs < FORK_MACS { size.max(1) } else { size.div_ceil(threads).max(1) }
}

/// `y = act(scale·(x·w) + bias) + residual`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
    let g = layer.geometry;
    assert!(residual.is_none() || !g.relu6, "a residual is added to a linear layer: {g:?}");
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let mut packed = PackedWeights::take();
    let panels = &mut packed.panels[0];
    panels.pack(isa, layer.weight, layer.scale, layer.bias);
    let end = match residual {
        Some(_) => GemmEpilogue::Add,
        None if g.relu6 => GemmEpilogue::Clamp,
        None => GemmEpilogue::Store,
    };
    let task = share(m, g.macs());
    let run = |i: usize, y: &mut [f32]| {
        let (row, rows) = (i * task, y.len() / n);
        let aux = residual.map(|r| &r[row * n..]);
        product(isa, rows, MatrixRows { data: &x[row * k..], stride: k }, panels, y, end, aux);
    };
    if task >= m {
        run(0, y);
    } else {
        y.par_chunks_mut(task * n).enumerate().for_each(|(i, y)| run(i, y));
    }
}

/// `dx = (scale·dy)·wᵀ` where `dy` already went back through the activation. Overwrites `dx`.
pub(super) fn backward_input(isa: Isa, layer: &LayerValues, dy: &[f32], dx: &mut [f32]) {
    let g = layer.geometry;
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let mut packed = PackedWeights::take();
    let panels = &mut packed.panels[0];
    panels.pack_transposed(isa, layer.weight, layer.scale);
    let task = share(m, g.macs());
    let run = |i: usize, dx: &mut [f32]| {
        let (row, rows) = (i * task, dx.len() / k);
        product(isa, rows, MatrixRows { data: &dy[row * n..], stride: n }, panels, dx, GemmEpilogue::Store, None);
    };
    if task >= m {
        run(0, dx);
    } else {
        dx.par_chunks_mut(task * k).enumerate().for_each(|(i, dx)| run(i, dx));
    }
}

/// `dw += scale·xᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = layer.geometry;
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let task = share(k, g.macs()).next_multiple_of(8);
    let run = |i: usize, dw: &mut [f32]| {
        let x = MatrixRows { data: &x[i * task..], stride: k };
        weight_product(isa, [m, dw.len() / n, n], x, MatrixRows { data: dy, stride: n }, layer.scale, dw);
    };
    if task >= k {
        run(0, dw);
    } else {
        dw.par_chunks_mut(task * n).enumerate().for_each(|(i, dw)| run(i, dw));
    }
}
