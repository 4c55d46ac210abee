//! What follows the sum: frozen scale, bias, residual, ReLU6; and its way back.
//!
//! ReLU6's gradient is 1 strictly between 0 and 6 and 0 elsewhere, as in PyTorch's `hardtanh`. The mask is read off
//! the layer's own output, so nothing else needs to be kept.

use super::isa::{Isa, fma, per_isa};
use rayon::prelude::*;

/// Rows of a pass over the output that one task takes at most: keeps the piece in L2.
const TASK_FLOATS: usize = 1 << 15;

per_isa! {
    /// `y = act(scale·y + bias)` over rows of `scale.len()` channels.
    pub(super) fn finish(y: &mut [f32], scale: &[f32], bias: &[f32], relu6: bool) = finish_body
}

#[inline(always)]
fn finish_body<const FUSED: bool>(y: &mut [f32], scale: &[f32], bias: &[f32], relu6: bool) {
    let c = scale.len();
    let bias = &bias[..c];
    if relu6 {
        for row in y.chunks_exact_mut(c) {
            for i in 0..c {
                // `clamp` keeps NaN where `max` and `min` would turn it into 0 and hide a run that diverged.
                row[i] = fma::<FUSED>(row[i], scale[i], bias[i]).clamp(0.0, 6.0);
            }
        }
    } else {
        for row in y.chunks_exact_mut(c) {
            for i in 0..c {
                row[i] = fma::<FUSED>(row[i], scale[i], bias[i]);
            }
        }
    }
}

per_isa! {
    /// `y += r`.
    pub(super) fn add(y: &mut [f32], r: &[f32]) = add_body
}

#[inline(always)]
fn add_body<const FUSED: bool>(y: &mut [f32], r: &[f32]) {
    for (y, &r) in y.iter_mut().zip(r) {
        *y += r;
    }
}

per_isa! {
    /// For one piece: `g = dy·act'(y)`, `db += Σ g`, `dy = g·scale`.
    fn mask_piece(dy: &mut [f32], y: &[f32], scale: &[f32], db: &mut [f32]) = mask_piece_body
}

#[inline(always)]
fn mask_piece_body<const FUSED: bool>(dy: &mut [f32], y: &[f32], scale: &[f32], db: &mut [f32]) {
    let c = scale.len();
    let db = &mut db[..c];
    for (row, out) in dy.chunks_exact_mut(c).zip(y.chunks_exact(c)) {
        for i in 0..c {
            let g = if (out[i] > 0.0) & (out[i] < 6.0) { row[i] } else { 0.0 };
            db[i] += g;
            row[i] = g * scale[i];
        }
    }
}

per_isa! {
    /// For one piece of a linear layer: `db += Σ dy`, `dy = dy·scale`.
    fn scale_piece(dy: &mut [f32], scale: &[f32], db: &mut [f32]) = scale_piece_body
}

#[inline(always)]
fn scale_piece_body<const FUSED: bool>(dy: &mut [f32], scale: &[f32], db: &mut [f32]) {
    let c = scale.len();
    let db = &mut db[..c];
    for row in dy.chunks_exact_mut(c) {
        for i in 0..c {
            db[i] += row[i];
            row[i] *= scale[i];
        }
    }
}

/// The way back through activation, bias and scale: `dy` becomes the gradient of the bare convolution's output.
///
/// `y` is the layer's output where it ends in ReLU6, `None` where it is linear. The bias gradient is **added** to
/// `db`. It is summed piece by piece, and the pieces do not depend on the thread count.
pub(super) fn backward(isa: Isa, dy: &mut [f32], y: Option<&[f32]>, scale: &[f32], db: Option<&mut [f32]>) {
    let c = scale.len();
    let piece = (TASK_FLOATS / c).max(1) * c;
    let partial = |i: usize, dy: &mut [f32]| {
        let mut sums = vec![0.0; c];
        match y {
            Some(y) => mask_piece(isa, dy, &y[i * piece..][..dy.len()], scale, &mut sums),
            None => scale_piece(isa, dy, scale, &mut sums),
        }
        sums
    };
    let partials: Vec<Vec<f32>> = if rayon::current_num_threads() > 1 && dy.len() > 2 * piece {
        dy.par_chunks_mut(piece).enumerate().map(|(i, dy)| partial(i, dy)).collect()
    } else {
        dy.chunks_mut(piece).enumerate().map(|(i, dy)| partial(i, dy)).collect()
    };
    if let Some(db) = db {
        for sums in partials {
            add(isa, db, &sums);
        }
    }
}
