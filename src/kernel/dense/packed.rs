//! Few channels on large maps, the stem: weights packed once, patches of a few output rows at a time, so that they stay in
//! cache.

use super::DenseWorkspace;
use super::patches::unroll;
use crate::kernel::gemm::{GemmEpilogue, MatrixRows, Panels, product, weight_product};
use crate::kernel::isa::Isa;
use crate::kernel::shape::{ConvGeometry, LayerValues};
use crate::kernel::workspace::{PackedWeights, Pooled, Workspace};
use rayon::prelude::*;

/// Output rows unrolled together.
const ROWS: usize = 4;

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], y: &mut [f32]) {
    let g = layer.geometry;
    let (image, depth) = (g.h * g.w * g.cin, g.kh * g.kw * g.cin);
    let mut packed = PackedWeights::take();
    let panels = &mut packed.panels[0];
    panels.pack(isa, layer.weight, layer.scale, layer.bias);
    let end = if g.relu6 { GemmEpilogue::Clamp } else { GemmEpilogue::Store };
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(g.oh * g.ow * g.cout)) {
        y.par_chunks_mut(ROWS * g.ow * g.cout).enumerate().for_each(|(i, y)| {
            let (mut workspace, rows) = (Workspace::take(), y.len() / (g.ow * g.cout));
            let patches = unroll(&g, x, i * ROWS..i * ROWS + rows, &mut workspace.patches);
            product(isa, rows * g.ow, MatrixRows { data: patches, stride: depth }, panels, y, end, None);
        });
    }
}

/// `dw += scale·Σ patchesᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = layer.geometry;
    let (image, depth) = (g.h * g.w * g.cin, g.kh * g.kw * g.cin);
    let mut workspace = Workspace::take();
    for (x, dy) in x.chunks_exact(image).zip(dy.chunks_exact(g.oh * g.ow * g.cout)) {
        for (i, dy) in dy.chunks(ROWS * g.ow * g.cout).enumerate() {
            let pixels = dy.len() / g.cout;
            let patches = unroll(&g, x, i * ROWS..i * ROWS + pixels / g.ow, &mut workspace.patches);
            let (x, dy) = (MatrixRows { data: patches, stride: depth }, MatrixRows { data: dy, stride: g.cout });
            weight_product(isa, [pixels, depth, g.cout], x, dy, layer.scale, dw);
        }
    }
}

pub(super) fn workspace(isa: Isa, g: &ConvGeometry) -> DenseWorkspace {
    let depth = g.kh * g.kw * g.cin;
    let (packed, tile) = (Panels::len_of(isa, depth, g.cout), ROWS.min(g.oh) * g.ow * depth);
    DenseWorkspace { packed, tile, ..DenseWorkspace::default() }
}
