//! k x k convolutions over all channels (the 3-channel stem) by unrolling patches into a matrix.
//!
//! A few rows of patches at a time, so that they stay in cache. The input gradient is deliberately absent: the only
//! dense layer is the first one, and nobody asks for the gradient of the photo.

use super::gemm::{End, Rows, product, weight_product};
use super::isa::Isa;
use super::line_buffer::LineBuffer;
use super::shape::{ConvGeometry, Layer};
use super::workspace::{Packed, Pooled, Workspace};
use rayon::prelude::*;
use std::ops::Range;

/// Numbers in a row of taps of the usual stem.
const STEM_LINE: usize = 9;

/// Output rows unrolled together.
const ROWS: usize = 4;

/// Unrolls output rows `rows` of one image `x` `[h, w, cin]` into `patches` `[rows, ow, kh·kw·cin]`, zeros on padding.
pub(super) fn unroll<'a>(g: &ConvGeometry, x: &[f32], rows: Range<usize>, patches: &'a mut LineBuffer) -> &'a [f32] {
    let line = g.kw * g.cin;
    let depth = g.kh * line;
    let patches = patches.first(rows.len() * g.ow * depth);
    // Outputs whose columns all lie inside: their taps lie side by side.
    let begin = g.left.div_ceil(g.stride).min(g.ow);
    let end = if g.w + g.left < g.kw { 0 } else { (g.w + g.left - g.kw) / g.stride + 1 };
    let inner = begin..end.min(g.ow).max(begin);
    for (oy, patches) in rows.zip(patches.chunks_exact_mut(g.ow * depth)) {
        for i in 0..g.kh {
            let cells = patches.chunks_exact_mut(depth).map(|patch| &mut patch[i * line..][..line]);
            let Some(iy) = ConvGeometry::tap(oy, i, g.stride, g.top, g.h) else {
                cells.for_each(|cell| cell.fill(0.0));
                continue;
            };
            let row = &x[iy * g.w * g.cin..][..g.w * g.cin];
            let (step, mut edge) = (g.stride * g.cin, cells.enumerate());
            for (ox, cell) in edge.by_ref().take(inner.start) {
                gather_taps(g, row, ox, cell);
            }
            let from = row[(inner.start * g.stride).saturating_sub(g.left) * g.cin..].windows(line).step_by(step);
            let inside = edge.by_ref().take(inner.len()).zip(from);
            if line == STEM_LINE {
                // Three times three colours are no work for a library call.
                inside.for_each(|((_, cell), from)| cell[..STEM_LINE].copy_from_slice(&from[..STEM_LINE]));
            } else {
                inside.for_each(|((_, cell), from)| cell.copy_from_slice(from));
            }
            for (ox, cell) in edge {
                gather_taps(g, row, ox, cell);
            }
        }
    }
    patches
}

/// One row of taps, of which some fall on padding.
fn gather_taps(g: &ConvGeometry, row: &[f32], ox: usize, cell: &mut [f32]) {
    for (j, pixel) in cell.chunks_exact_mut(g.cin).enumerate() {
        match ConvGeometry::tap(ox, j, g.stride, g.left, g.w) {
            Some(ix) => pixel.copy_from_slice(&row[ix * g.cin..][..g.cin]),
            None => pixel.fill(0.0),
        }
    }
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &Layer, x: &[f32], y: &mut [f32]) {
    let g = layer.geometry;
    let (image, depth) = (g.h * g.w * g.cin, g.kh * g.kw * g.cin);
    let mut packed = Packed::take();
    let panels = &mut packed.panels[0];
    panels.pack(isa, layer.weight, layer.scale, layer.bias);
    let end = if g.relu6 { End::Clamp } else { End::Store };
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(g.oh * g.ow * g.cout)) {
        y.par_chunks_mut(ROWS * g.ow * g.cout).enumerate().for_each(|(i, y)| {
            let (mut workspace, rows) = (Workspace::take(), y.len() / (g.ow * g.cout));
            let patches = unroll(&g, x, i * ROWS..i * ROWS + rows, &mut workspace.patches);
            product(isa, rows * g.ow, Rows { data: patches, stride: depth }, panels, y, end, None);
        });
    }
}

/// `dw += scale·Σ patchesᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = layer.geometry;
    let (image, depth) = (g.h * g.w * g.cin, g.kh * g.kw * g.cin);
    let mut workspace = Workspace::take();
    for (x, dy) in x.chunks_exact(image).zip(dy.chunks_exact(g.oh * g.ow * g.cout)) {
        for (i, dy) in dy.chunks(ROWS * g.ow * g.cout).enumerate() {
            let pixels = dy.len() / g.cout;
            let patches = unroll(&g, x, i * ROWS..i * ROWS + pixels / g.ow, &mut workspace.patches);
            let (x, dy) = (Rows { data: patches, stride: depth }, Rows { data: dy, stride: g.cout });
            weight_product(isa, [pixels, depth, g.cout], x, dy, layer.scale, dw);
        }
    }
}
