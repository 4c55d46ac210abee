//! The input of a dense kernel as a matrix: the input under its taps for every output pixel, and the backward pass.

use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::shape::ConvGeometry;
use std::ops::Range;

/// Numbers in a row of taps of the usual stem.
const STEM_LINE: usize = 9;

/// Unrolls output rows `rows` of one image `x` `[h, w, cin]` into patches `[rows, ow, kh·kw·cin]`, zeros on padding.
pub(in crate::kernel) fn unroll<'a>(
    g: &ConvGeometry,
    x: &[f32],
    rows: Range<usize>,
    patches: &'a mut LineBuffer,
) -> &'a [f32] {
    let patches = patches.first(rows.len() * g.ow * g.kh * g.kw * g.cin);
    unroll_into(g, x, rows, patches);
    patches
}

/// As [`unroll`].
pub(super) fn unroll_into(g: &ConvGeometry, x: &[f32], rows: Range<usize>, patches: &mut [f32]) {
    let line = g.kw * g.cin;
    let depth = g.kh * line;
    assert_eq!(patches.len(), rows.len() * g.ow * depth, "patches of {g:?}");
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
            let first = (inner.start * g.stride).saturating_sub(g.left) * g.cin;
            let from = row.get(first..).unwrap_or_default().windows(line).step_by(step);
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

/// For every tap of `g` and every output pixel of one image: (tap, pixel, input pixel or none where it falls on
/// padding).
fn each_tap(g: &ConvGeometry, mut f: impl FnMut(usize, usize, Option<usize>)) {
    for tap in 0..g.kh * g.kw {
        for oy in 0..g.oh {
            let row = ConvGeometry::tap(oy, tap / g.kw, g.stride, g.top, g.h);
            for ox in 0..g.ow {
                let column = ConvGeometry::tap(ox, tap % g.kw, g.stride, g.left, g.w);
                f(tap, oy * g.ow + ox, row.zip(column).map(|(y, x)| y * g.w + x));
            }
        }
    }
}

/// Unrolls images `x` `[n, h, w, cin]` into patches on their side, `[kh·kw·cin, n·oh·ow]`: one output pixel a column.
pub(super) fn upright<'a>(g: &ConvGeometry, x: &[f32], patches: &'a mut LineBuffer) -> &'a [f32] {
    let (image, pixels) = (g.h * g.w * g.cin, g.oh * g.ow);
    let columns = x.len() / image * pixels;
    let patches = patches.first(g.kh * g.kw * g.cin * columns);
    for (i, x) in x.chunks_exact(image).enumerate() {
        each_tap(g, |tap, pixel, from| {
            let to = patches[tap * g.cin * columns + i * pixels + pixel..].iter_mut().step_by(columns).take(g.cin);
            match from {
                Some(from) => to.zip(&x[from * g.cin..]).for_each(|(to, &v)| *to = v),
                None => to.for_each(|to| *to = 0.0),
            }
        });
    }
    patches
}

/// Adds up what `patches`, laid out as by [`upright`], say of every input. Overwrites `x`.
pub(super) fn fold(g: &ConvGeometry, patches: &[f32], x: &mut [f32]) {
    let (image, pixels) = (g.h * g.w * g.cin, g.oh * g.ow);
    let columns = x.len() / image * pixels;
    x.fill(0.0);
    for (i, x) in x.chunks_exact_mut(image).enumerate() {
        each_tap(g, |tap, pixel, to| {
            let Some(to) = to else { return };
            let from = patches[tap * g.cin * columns + i * pixels + pixel..].iter().step_by(columns);
            x[to * g.cin..][..g.cin].iter_mut().zip(from).for_each(|(to, v)| *to += v);
        });
    }
}
