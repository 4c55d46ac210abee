//! Depthwise convolutions. The 3x3 kernels work on some rows of one image, in three directions: one vector of channels
//! and a few columns at a time, taps on padding read as zeros. Frozen scale is worked into the weights on the way
//! forward and to the input, and multiplied into the sums of the weight gradient.
//!
//! Here they make up layers of their own; other kernel sizes go through [`any`].

mod any;
mod ending;
mod gather;
mod plane;
mod spread;
mod weight;

use super::isa::Isa;
use super::shape::LayerValues;
use super::workspace::{PackedWeights, Pooled, Workspace};
use rayon::prelude::*;

pub(super) use any::MAX_TAPS;
pub(super) use gather::{Mask, forward as forward_rows};
pub(super) use plane::{Band, NineTaps, PackedTaps, Plane};
pub(super) use spread::backward_input as backward_input_rows;
pub(super) use weight::{WeightGradient, backward_weight as backward_weight_rows};

/// Numbers of output that one task makes at most.
const TASK_FLOATS: usize = 1 << 16;

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], y: &mut [f32]) {
    let g = &layer.geometry;
    if !Plane::fits(g) {
        return any::forward(isa, layer, x, y);
    }
    let p = Plane::of(g);
    let (mut packed, mut workspace) = (PackedWeights::take(), Workspace::take());
    let (taps, zeros) = (&mut packed.taps[0], &mut workspace.zeros);
    taps.forward(isa, layer.weight, layer.scale, layer.bias);
    let taps = NineTaps { plane: &p, weights: taps, zeros: zeros.first(p.w * p.c) };
    let (image, row) = (g.h * g.w * g.cin, g.ow * g.cout);
    let rows = (TASK_FLOATS / row).max(1);
    for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(g.oh * row)) {
        y.par_chunks_mut(rows * row).enumerate().for_each(|(i, y)| {
            let out = i * rows..i * rows + y.len() / row;
            forward_rows(isa, taps, Band::whole(x, g.h), out, y, g.relu6);
        });
    }
}

/// The input gradient. Overwrites `dx`.
pub(super) fn backward_input(isa: Isa, layer: &LayerValues, dy: &[f32], dx: &mut [f32]) {
    let g = &layer.geometry;
    if !Plane::fits(g) {
        return any::backward_input(isa, layer, dy, dx);
    }
    let p = Plane::of(g);
    let (mut packed, mut workspace) = (PackedWeights::take(), Workspace::take());
    let (taps, zeros) = (&mut packed.taps[0], &mut workspace.zeros);
    taps.backward(isa, layer.weight, layer.scale, p.stride);
    let taps = NineTaps { plane: &p, weights: taps, zeros: zeros.first(p.ow * p.c) };
    let (image, row) = (g.oh * g.ow * g.cout, g.w * g.cin);
    let rows = (TASK_FLOATS / row).max(1);
    for (dy, dx) in dy.chunks_exact(image).zip(dx.chunks_exact_mut(g.h * row)) {
        dx.par_chunks_mut(rows * row).enumerate().for_each(|(i, dx)| {
            let rows = i * rows..i * rows + dx.len() / row;
            backward_input_rows(isa, taps, Band::whole(dy, g.oh), rows, dx, None);
        });
    }
}

/// The weight gradient, **added** to `dw`.
pub(super) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = &layer.geometry;
    if !Plane::fits(g) {
        return any::backward_weight(isa, layer, x, dy, dw);
    }
    let p = Plane::of(g);
    let mut workspace = Workspace::take();
    let Workspace { zeros, unused, .. } = &mut *workspace;
    let (zeros, db) = (&*zeros.first(p.w * p.c), unused.first(p.c));
    let (image_in, image_out) = (g.h * g.w * g.cin, g.oh * g.ow * g.cout);
    for (x, dy) in x.chunks_exact(image_in).zip(dy.chunks_exact(image_out)) {
        let (x, dy) = (Band::whole(x, g.h), Band::whole(dy, g.oh));
        let to = WeightGradient { scale: layer.scale, dw: &mut *dw, db: &mut *db };
        backward_weight_rows(isa, &p, x, dy, zeros, 0..p.oh, to);
    }
}
