//! k x k convolutions over all channels (the 3-channel stem) by unrolling patches into a matrix.
//!
//! One image's patches at a time: `[oh·ow, kh·kw·cin]`, 2.4 MB for the stem at 300x300. The input gradient is
//! deliberately absent: the only dense layer is the first one, and nobody asks for the gradient of the photo.

use super::isa::Isa;
use super::pointwise;
use super::shape::{ConvGeometry, Kind, Layer};

/// Fills `patches` `[oh·ow, kh·kw·cin]` from one image `x` `[h, w, cin]`, zeros on padding.
fn unroll(g: &ConvGeometry, x: &[f32], patches: &mut [f32]) {
    let depth = g.kh * g.kw * g.cin;
    for (p, patch) in patches.chunks_exact_mut(depth).enumerate() {
        let (oy, ox) = (p / g.ow, p % g.ow);
        for (t, cell) in patch.chunks_exact_mut(g.cin).enumerate() {
            let iy = ConvGeometry::tap(oy, t / g.kw, g.stride, g.top, g.h);
            let ix = ConvGeometry::tap(ox, t % g.kw, g.stride, g.left, g.w);
            match (iy, ix) {
                (Some(iy), Some(ix)) => cell.copy_from_slice(&x[(iy * g.w + ix) * g.cin..][..g.cin]),
                _ => cell.fill(0.0),
            }
        }
    }
}

/// The matrix product that the unrolled patches of one image go through.
fn as_pointwise<'a>(layer: &Layer<'a>) -> Layer<'a> {
    let g = layer.geometry;
    let geometry = ConvGeometry {
        kind: Kind::Pointwise,
        n: 1,
        h: g.oh,
        w: g.ow,
        cin: g.kh * g.kw * g.cin,
        kh: 1,
        kw: 1,
        stride: 1,
        top: 0,
        left: 0,
        ..g
    };
    Layer { geometry, ..*layer }
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &Layer, x: &[f32], y: &mut [f32]) {
    let product = as_pointwise(layer);
    let g = layer.geometry;
    let mut patches = vec![0.0; product.geometry.input_len()];
    for (x, y) in x.chunks_exact(g.h * g.w * g.cin).zip(y.chunks_exact_mut(g.oh * g.ow * g.cout)) {
        unroll(&g, x, &mut patches);
        pointwise::forward(isa, &product, &patches, None, y);
    }
}

/// `dw += Σ patchesᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let product = as_pointwise(layer);
    let g = layer.geometry;
    let mut patches = vec![0.0; product.geometry.input_len()];
    for (x, dy) in x.chunks_exact(g.h * g.w * g.cin).zip(dy.chunks_exact(g.oh * g.ow * g.cout)) {
        unroll(&g, x, &mut patches);
        pointwise::backward_weight(isa, &product, &patches, dy, dw);
    }
}
