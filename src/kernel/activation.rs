//! The operations behind a sum in the backward pass: the ReLU6 mask, the bias gradient.
//!
//! ReLU6's gradient is 1 strictly between 0 and 6 and 0 elsewhere, as in PyTorch's `hardtanh`. The mask is read off
//! the layer's own output, so nothing else needs to be kept.

use super::isa::{Isa, fma, per_isa};
use rayon::prelude::*;

/// Numbers of a pass that one task takes at most: keeps the piece in L2.
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
    /// ReLU6 in place.
    pub(super) fn clamp(y: &mut [f32]) = clamp_body
}

#[inline(always)]
fn clamp_body<const FUSED: bool>(y: &mut [f32]) {
    for y in y {
        // As in `finish`: NaN stays.
        *y = y.clamp(0.0, 6.0);
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
    /// `to = g` where `0 < y < 6`, else 0.
    pub(super) fn mask(to: &mut [f32], g: &[f32], y: &[f32]) = mask_body
}

#[inline(always)]
fn mask_body<const FUSED: bool>(to: &mut [f32], g: &[f32], y: &[f32]) {
    for ((to, &g), &y) in to.iter_mut().zip(g).zip(y) {
        *to = if (y > 0.0) & (y < 6.0) { g } else { 0.0 };
    }
}

per_isa! {
    /// `sums += Σ` of the rows of `g` `[rows, sums.len()]`.
    pub(super) fn sum_rows(g: &[f32], sums: &mut [f32]) = sum_rows_body
}

#[inline(always)]
fn sum_rows_body<const FUSED: bool>(g: &[f32], sums: &mut [f32]) {
    let c = sums.len();
    for row in g.chunks_exact(c) {
        for (sum, &g) in sums.iter_mut().zip(row) {
            *sum += g;
        }
    }
}

per_isa! {
    /// `dy = 0` where `y` was clipped.
    fn mask_piece(dy: &mut [f32], y: &[f32]) = mask_piece_body
}

#[inline(always)]
fn mask_piece_body<const FUSED: bool>(dy: &mut [f32], y: &[f32]) {
    for (dy, &y) in dy.iter_mut().zip(y) {
        *dy = if (y > 0.0) & (y < 6.0) { *dy } else { 0.0 };
    }
}

/// The backward pass through activation and bias: `dy` becomes the gradient of the sum before them.
///
/// `y` is the layer's output where it ends in ReLU6, `None` where it is linear. The bias gradient is **added** to
/// `db`. It is summed piece by piece, and the pieces do not depend on the thread count.
pub(super) fn backward(isa: Isa, dy: &mut [f32], y: Option<&[f32]>, db: Option<&mut [f32]>, channels: usize) {
    if y.is_none() && db.is_none() {
        return;
    }
    let piece = (TASK_FLOATS / channels).max(1) * channels;
    let partial = |i: usize, dy: &mut [f32]| {
        if let Some(y) = y {
            mask_piece(isa, dy, &y[i * piece..][..dy.len()]);
        }
        let mut sums = vec![0.0; channels];
        sum_rows(isa, dy, &mut sums);
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
