//! k x k convolutions over all channels (the 3-channel stem) by unrolling patches into a matrix.
//!
//! A few rows of patches at a time, so that they stay in cache. The input gradient is deliberately absent: the only
//! dense layer is the first one, and nobody asks for the gradient of the photo.

use super::gemm::{End, Rows, product, weight_product};
use super::isa::Isa;
use super::shape::{ConvGeometry, Layer};
use super::workspace::{Workspace, first};
use rayon::prelude::*;
use std::ops::Range;

/// Output rows unrolled together.
const ROWS: usize = 4;

/// Unrolls output rows `rows` of one image `x` `[h, w, cin]` into `patches` `[rows, ow, kh·kw·cin]`, zeros on padding.
pub(super) fn unroll<'a>(g: &ConvGeometry, x: &[f32], rows: Range<usize>, patches: &'a mut Vec<f32>) -> &'a [f32] {
    let line = g.kw * g.cin;
    let depth = g.kh * line;
    let patches = first(patches, rows.len() * g.ow * depth);
    for (oy, patches) in rows.zip(patches.chunks_exact_mut(g.ow * depth)) {
        for i in 0..g.kh {
            let row = ConvGeometry::tap(oy, i, g.stride, g.top, g.h).map(|iy| &x[iy * g.w * g.cin..][..g.w * g.cin]);
            for (ox, patch) in patches.chunks_exact_mut(depth).enumerate() {
                let to = &mut patch[i * line..][..line];
                let begin = (ox * g.stride) as isize - g.left as isize;
                match row {
                    // All taps of a row lie side by side.
                    Some(row) if begin >= 0 && begin as usize + g.kw <= g.w => {
                        to.copy_from_slice(&row[begin as usize * g.cin..][..line]);
                    }
                    Some(row) => {
                        for (j, cell) in to.chunks_exact_mut(g.cin).enumerate() {
                            match ConvGeometry::tap(ox, j, g.stride, g.left, g.w) {
                                Some(ix) => cell.copy_from_slice(&row[ix * g.cin..][..g.cin]),
                                None => cell.fill(0.0),
                            }
                        }
                    }
                    None => to.fill(0.0),
                }
            }
        }
    }
    patches
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &Layer, x: &[f32], y: &mut [f32]) {
    let g = layer.geometry;
    let (image, depth) = (g.h * g.w * g.cin, g.kh * g.kw * g.cin);
    let mut shared = Workspace::take();
    let panels = &mut shared.panels[0];
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
