//! Depthwise convolutions of any kernel size and stride, gathered tap by tap.
//!
//! The network's own layers are 3x3 and go through [`super::gather`]; these serve what some exporters make of the
//! smallest maps (2x2, 1x1) and every other size.

use crate::kernel::activation::finish;
use crate::kernel::isa::{Isa, fma, per_isa};
use crate::kernel::shape::{ConvGeometry, LayerValues};
use rayon::prelude::*;

/// Channels kept in registers at once: 2 AVX-512, 4 AVX2 or 8 NEON registers.
const BLOCK: usize = 32;

/// The taps of one pixel: (offset of a row of C values in the source, offset of a row of C weights).
type PixelTaps = [(usize, usize)];

/// Largest kernel area (7x7) whose taps fit the list on the stack.
pub(in crate::kernel) const MAX_TAPS: usize = 49;

/// `out[c] = Σ source[s + c]·weight[w + c]` over taps, for one block of `B` channels from `c`.
#[inline(always)]
fn gather_block<const FUSED: bool, const B: usize>(
    taps: &PixelTaps,
    source: &[f32],
    weight: &[f32],
    c: usize,
    out: &mut [f32],
) {
    let mut sum = [0.0f32; B];
    for &(s, w) in taps {
        let (xs, ws) = (&source[s + c..][..B], &weight[w + c..][..B]);
        for i in 0..B {
            sum[i] = fma::<FUSED>(xs[i], ws[i], sum[i]);
        }
    }
    out[c..][..B].copy_from_slice(&sum);
}

#[inline(always)]
fn gather<const FUSED: bool>(taps: &PixelTaps, source: &[f32], weight: &[f32], out: &mut [f32]) {
    let (channels, mut c) = (out.len(), 0);
    while c + BLOCK <= channels {
        gather_block::<FUSED, BLOCK>(taps, source, weight, c, out);
        c += BLOCK;
    }
    while c + 8 <= channels {
        gather_block::<FUSED, 8>(taps, source, weight, c, out);
        c += 8;
    }
    while c < channels {
        gather_block::<FUSED, 1>(taps, source, weight, c, out);
        c += 1;
    }
}

per_isa! {
    /// One row of outputs of one image, before scale and bias. `out` is `[ow, c]`.
    fn forward_row(g: &ConvGeometry, image: &[f32], weight: &[f32], oy: usize, out: &mut [f32]) = forward_row_body
}

#[inline(always)]
fn forward_row_body<const FUSED: bool>(g: &ConvGeometry, image: &[f32], weight: &[f32], oy: usize, out: &mut [f32]) {
    let c = g.cout;
    for (ox, out) in out.chunks_exact_mut(c).enumerate() {
        let mut taps = [(0, 0); MAX_TAPS];
        let mut len = 0;
        for i in 0..g.kh {
            let Some(iy) = ConvGeometry::tap(oy, i, g.stride, g.top, g.h) else { continue };
            for j in 0..g.kw {
                let Some(ix) = ConvGeometry::tap(ox, j, g.stride, g.left, g.w) else { continue };
                taps[len] = ((iy * g.w + ix) * c, (i * g.kw + j) * c);
                len += 1;
            }
        }
        gather::<FUSED>(&taps[..len], image, weight, out);
    }
}

per_isa! {
    /// One row of input gradients of one image. `out` is `[w, c]`.
    fn backward_row(g: &ConvGeometry, dy: &[f32], weight: &[f32], iy: usize, out: &mut [f32]) = backward_row_body
}

#[inline(always)]
fn backward_row_body<const FUSED: bool>(g: &ConvGeometry, dy: &[f32], weight: &[f32], iy: usize, out: &mut [f32]) {
    let c = g.cout;
    for (ix, out) in out.chunks_exact_mut(c).enumerate() {
        let mut taps = [(0, 0); MAX_TAPS];
        let mut len = 0;
        for i in 0..g.kh {
            let Some(oy) = ConvGeometry::source(iy, i, g.stride, g.top, g.oh) else { continue };
            for j in 0..g.kw {
                let Some(ox) = ConvGeometry::source(ix, j, g.stride, g.left, g.ow) else { continue };
                taps[len] = ((oy * g.ow + ox) * c, (i * g.kw + j) * c);
                len += 1;
            }
        }
        gather::<FUSED>(&taps[..len], dy, weight, out);
    }
}

per_isa! {
    /// Weight gradient of one output row of one image, **added** to `dw` `[kh, kw, c]`.
    fn weight_row(g: &ConvGeometry, image: &[f32], dy: &[f32], oy: usize, dw: &mut [f32]) = weight_row_body
}

#[inline(always)]
fn weight_row_body<const FUSED: bool>(g: &ConvGeometry, image: &[f32], dy: &[f32], oy: usize, dw: &mut [f32]) {
    let c = g.cout;
    let dy = &dy[oy * g.ow * c..][..g.ow * c];
    for i in 0..g.kh {
        let Some(iy) = ConvGeometry::tap(oy, i, g.stride, g.top, g.h) else { continue };
        let row = &image[iy * g.w * c..][..g.w * c];
        let dw = &mut dw[i * g.kw * c..][..g.kw * c];
        if g.kw == 3 {
            weight_taps::<FUSED, 3>(g, row, dy, dw);
        } else {
            for j in 0..g.kw {
                weight_tap::<FUSED>(g, row, dy, j, &mut dw[j * c..][..c]);
            }
        }
    }
}

/// The `T` taps of one kernel row over one output row, block of channels by block, sums in registers.
#[inline(always)]
fn weight_taps<const FUSED: bool, const T: usize>(g: &ConvGeometry, row: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (channels, mut c) = (g.cout, 0);
    while c + BLOCK <= channels {
        weight_block::<FUSED, T, BLOCK>(g, row, dy, c, dw);
        c += BLOCK;
    }
    while c + 8 <= channels {
        weight_block::<FUSED, T, 8>(g, row, dy, c, dw);
        c += 8;
    }
    while c < channels {
        weight_block::<FUSED, T, 1>(g, row, dy, c, dw);
        c += 1;
    }
}

#[inline(always)]
fn weight_block<const FUSED: bool, const T: usize, const B: usize>(
    g: &ConvGeometry,
    row: &[f32],
    dy: &[f32],
    c: usize,
    dw: &mut [f32],
) {
    let mut sums = [[0.0f32; B]; T];
    for ox in 0..g.ow {
        let d = &dy[ox * g.cout + c..][..B];
        for (j, sum) in sums.iter_mut().enumerate() {
            let Some(ix) = ConvGeometry::tap(ox, j, g.stride, g.left, g.w) else { continue };
            let x = &row[ix * g.cout + c..][..B];
            for i in 0..B {
                sum[i] = fma::<FUSED>(x[i], d[i], sum[i]);
            }
        }
    }
    for (j, sum) in sums.iter().enumerate() {
        for (dw, s) in dw[j * g.cout + c..][..B].iter_mut().zip(sum) {
            *dw += s;
        }
    }
}

/// One tap of a kernel row that is not three wide.
#[inline(always)]
fn weight_tap<const FUSED: bool>(g: &ConvGeometry, row: &[f32], dy: &[f32], j: usize, dw: &mut [f32]) {
    for ox in 0..g.ow {
        let Some(ix) = ConvGeometry::tap(ox, j, g.stride, g.left, g.w) else { continue };
        let (x, d) = (&row[ix * g.cout..][..g.cout], &dy[ox * g.cout..][..g.cout]);
        for ((dw, &x), &d) in dw.iter_mut().zip(x).zip(d) {
            *dw = fma::<FUSED>(x, d, *dw);
        }
    }
}

/// True if a pass over this layer is worth sharing between threads.
fn worth_forking(g: &ConvGeometry) -> bool {
    rayon::current_num_threads() > 1 && g.macs() > 1 << 18
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(in crate::kernel) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], y: &mut [f32]) {
    let g = &layer.geometry;
    let image = g.h * g.w * g.cin;
    let row = |i: usize, out: &mut [f32]| {
        let (n, oy) = (i / g.oh, i % g.oh);
        forward_row(isa, g, &x[n * image..][..image], layer.weight, oy, out);
        finish(isa, out, layer.scale, layer.bias, g.relu6);
    };
    let rows = y.chunks_exact_mut(g.ow * g.cout);
    if worth_forking(g) {
        y.par_chunks_exact_mut(g.ow * g.cout).enumerate().for_each(|(i, out)| row(i, out));
    } else {
        rows.enumerate().for_each(|(i, out)| row(i, out));
    }
}

/// The input gradient. Overwrites `dx`.
pub(in crate::kernel) fn backward_input(isa: Isa, layer: &LayerValues, dy: &[f32], dx: &mut [f32]) {
    let g = &layer.geometry;
    let image = g.oh * g.ow * g.cout;
    let weight: Vec<f32> = layer.weight.iter().zip(layer.scale.iter().cycle()).map(|(w, s)| w * s).collect();
    let row = |i: usize, out: &mut [f32]| {
        let (n, iy) = (i / g.h, i % g.h);
        backward_row(isa, g, &dy[n * image..][..image], &weight, iy, out);
    };
    if worth_forking(g) {
        dx.par_chunks_exact_mut(g.w * g.cin).enumerate().for_each(|(i, out)| row(i, out));
    } else {
        dx.chunks_exact_mut(g.w * g.cin).enumerate().for_each(|(i, out)| row(i, out));
    }
}

/// The weight gradient, **added** to `dw`.
pub(in crate::kernel) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = &layer.geometry;
    let (image_in, image_out) = (g.h * g.w * g.cin, g.oh * g.ow * g.cout);
    let mut sums = vec![0.0; dw.len()];
    for i in 0..g.n * g.oh {
        let (n, oy) = (i / g.oh, i % g.oh);
        weight_row(isa, g, &x[n * image_in..][..image_in], &dy[n * image_out..][..image_out], oy, &mut sums);
    }
    for ((dw, sum), s) in dw.iter_mut().zip(sums).zip(layer.scale.iter().cycle()) {
        *dw += sum * s;
    }
}
