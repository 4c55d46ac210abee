//! Many channels on small maps. A plain SSD's first extra has 1.2 million weights for 25 output pixels: to pack them would
//! take longer than to multiply them, so weights and their gradients are read and written where they lie, once a pass.
//!
//! *Forward*: with patches on their side, `Y += scale·Pᵀ·W` is the sum that weight gradients are made of.
//! *To the input*: `dPᵀ = W·(scale·dY)ᵀ`, of which only the small right-hand side is packed, then folded back.
//! *To the weight*: `dW += scale·Pᵀ·dY`, some rows of dW at a time.

use super::DenseWorkspace;
use super::patches::{fold, unroll_into, upright};
use crate::kernel::activation;
use crate::kernel::gemm::{GemmEpilogue, MatrixRows, Panels, product, weight_product};
use crate::kernel::isa::Isa;
use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::shape::{ConvGeometry, LayerValues};
use crate::kernel::workspace::{Loan, PackedWeights, Partial, Pooled, Stages};
use rayon::prelude::*;
use std::ops::Range;

/// Output pixels that are worked on together, unless one image has more: bounds the patches.
const MOST_PIXELS: usize = 256;

/// Below this many multiply-accumulates a fork costs more than it gains.
const FORK_MACS: usize = 1 << 19;

/// Numbers of a weight gradient that are worked on together: a part of the second-level cache.
const TASK_NUMBERS: usize = 1 << 14;

/// Columns of a piece are a multiple of this, whole vectors of every instruction set.
const COLUMN_STEP: usize = 16;

/// Images that are worked on together.
fn together(g: &ConvGeometry) -> usize {
    (MOST_PIXELS / (g.oh * g.ow).max(1)).clamp(1, g.n.max(1))
}

/// Threads that share the work.
fn sharing(g: &ConvGeometry) -> usize {
    if g.macs() < FORK_MACS { 1 } else { rayon::current_num_threads() }
}

/// Columns of each thread's piece of `all`.
fn piece(all: usize, threads: usize) -> usize {
    all.div_ceil(threads).next_multiple_of(COLUMN_STEP).min(all)
}

fn depth(g: &ConvGeometry) -> usize {
    g.kh * g.kw * g.cin
}

/// `y = act(scale·conv(x, w) + bias)`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &LayerValues, x: &[f32], y: &mut [f32]) {
    let g = layer.geometry;
    let (inputs, outputs) = (g.h * g.w * g.cin, g.oh * g.ow * g.cout);
    let (together, threads) = (together(&g), sharing(&g));
    let mut stages = Stages::take();
    for (x, y) in x.chunks(together * inputs).zip(y.chunks_mut(together * outputs)) {
        let pixels = y.len() / g.cout;
        let patches = upright(&g, x, &mut stages.patches);
        // Columns `first..` of the output, as many as `scale` has, without gaps.
        let columns = |first: usize, y: &mut [f32]| {
            let n = y.len() / pixels;
            y.chunks_exact_mut(n).for_each(|y| y.copy_from_slice(&layer.bias[first..first + n]));
            let (x, w) = (
                MatrixRows { data: patches, stride: pixels },
                MatrixRows { data: &layer.weight[first..], stride: g.cout },
            );
            weight_product(isa, [depth(&g), pixels, n], x, w, &layer.scale[first..first + n], y);
        };
        if threads == 1 {
            columns(0, y);
        } else {
            in_columns(&g, pixels, threads, &columns, y);
        }
        if g.relu6 {
            activation::clamp(isa, y);
        }
    }
}

/// `columns(first, piece)` on every thread for a piece of the columns of `y`.
fn in_columns(
    g: &ConvGeometry,
    pixels: usize,
    threads: usize,
    columns: &(impl Fn(usize, &mut [f32]) + Sync),
    y: &mut [f32],
) {
    let width = piece(g.cout, threads);
    let pieces: Vec<Range<usize>> = (0..g.cout).step_by(width).map(|c| c..(c + width).min(g.cout)).collect();
    let made: Vec<Loan<Partial>> = pieces
        .par_iter()
        .map(|piece| {
            let mut loan = Partial::take();
            columns(piece.start, loan.sums.first(pixels * piece.len()));
            loan
        })
        .collect();
    for (piece, made) in pieces.iter().zip(&made) {
        let made = made.sums.filled(pixels * piece.len());
        for (y, made) in y.chunks_exact_mut(g.cout).zip(made.chunks_exact(piece.len())) {
            y[piece.clone()].copy_from_slice(made);
        }
    }
}

/// `dx = (scale·dy)·wᵀ`, folded, where `dy` already went back through the activation. Overwrites `dx`.
pub(in crate::kernel) fn backward_input(isa: Isa, layer: &LayerValues, dy: &[f32], dx: &mut [f32]) {
    let g = layer.geometry;
    let (inputs, outputs) = (g.h * g.w * g.cin, g.oh * g.ow * g.cout);
    let (together, threads) = (together(&g), sharing(&g));
    let (mut stages, mut packed) = (Stages::take(), PackedWeights::take());
    for (dy, dx) in dy.chunks(together * outputs).zip(dx.chunks_mut(together * inputs)) {
        let pixels = dy.len() / g.cout;
        let panels = &mut packed.panels[0];
        panels.pack_transposed(isa, dy, layer.scale);
        let panels = &*panels;
        let patches = stages.patches.first(depth(&g) * pixels);
        let rows = |first: usize, patches: &mut [f32]| {
            let w = MatrixRows { data: &layer.weight[first * g.cout..], stride: g.cout };
            product(isa, patches.len() / pixels, w, panels, patches, GemmEpilogue::Store, None);
        };
        let task = depth(&g).div_ceil(threads).next_multiple_of(COLUMN_STEP);
        if threads == 1 {
            rows(0, patches);
        } else {
            patches.par_chunks_mut(task * pixels).enumerate().for_each(|(i, patches)| rows(i * task, patches));
        }
        fold(&g, patches, dx);
    }
}

/// `dw += scale·Σ patchesᵀ·dy`.
pub(super) fn backward_weight(isa: Isa, layer: &LayerValues, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = layer.geometry;
    let (inputs, outputs) = (g.h * g.w * g.cin, g.oh * g.ow * g.cout);
    let (together, threads, depth) = (together(&g), sharing(&g), depth(&g));
    let mut stages = Stages::take();
    for (x, dy) in x.chunks(together * inputs).zip(dy.chunks(together * outputs)) {
        let pixels = dy.len() / g.cout;
        let patches = unrolled(&g, x, &mut stages.patches);
        let task = (TASK_NUMBERS / g.cout).max(1).next_multiple_of(8);
        let rows = |(i, dw): (usize, &mut [f32])| {
            let x = MatrixRows { data: &patches[i * task..], stride: depth };
            let dy = MatrixRows { data: dy, stride: g.cout };
            weight_product(isa, [pixels, dw.len() / g.cout, g.cout], x, dy, layer.scale, dw);
        };
        if threads == 1 {
            dw.chunks_mut(task * g.cout).enumerate().for_each(rows);
        } else {
            dw.par_chunks_mut(task * g.cout).enumerate().for_each(rows);
        }
    }
}

/// Patches of whole images, one output pixel a row.
fn unrolled<'a>(g: &ConvGeometry, x: &[f32], patches: &'a mut LineBuffer) -> &'a [f32] {
    let image = g.oh * g.ow * depth(g);
    let inputs = g.h * g.w * g.cin;
    let patches = patches.first(x.len() / inputs * image);
    for (x, patches) in x.chunks_exact(inputs).zip(patches.chunks_exact_mut(image)) {
        unroll_into(g, x, 0..g.oh, patches);
    }
    patches
}

pub(super) fn workspace(isa: Isa, g: &ConvGeometry, backward: bool, threads: usize) -> DenseWorkspace {
    let pixels = together(g) * g.oh * g.ow;
    let packed = if backward { Panels::len_of(isa, g.cout, pixels) } else { 0 };
    let shared = if threads > 1 && g.macs() >= FORK_MACS { pixels * piece(g.cout, threads) } else { 0 };
    DenseWorkspace { packed, tile: 0, patches: depth(g) * pixels, piece: shared }
}
