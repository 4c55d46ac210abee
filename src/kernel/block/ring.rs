//! A few rows of the expanded tensor, each at its number modulo the ring's.

use crate::kernel::depthwise::{Band, Plane};
use std::ops::Range;

/// Rows of the expanded tensor, each at its number modulo `rows`.
pub(super) struct Ring<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
}

impl Ring<'_> {
    pub(super) fn band(&self) -> Band<'_> {
        Band { data: self.data, rows: self.rows }
    }

    /// `rows` cut where the ring begins anew.
    pub(super) fn pieces(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        pieces(rows, self.rows)
    }
}

pub(super) fn pieces(rows: Range<usize>, ring: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = rows.start;
    std::iter::from_fn(move || {
        let piece = at..rows.end.min((at / ring + 1) * ring);
        at = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Rows of a ring for tiles of `height` output rows, with some to spare for rows that no output reads.
pub(super) fn ring_rows(p: &Plane, height: usize) -> usize {
    ((height - 1) * p.stride + 3 + 2).min(p.h)
}

/// The rows of `need` that are not among those `made` before.
pub(super) fn new_rows(made: &mut Range<usize>, need: Range<usize>) -> Range<usize> {
    let new = if need.start < made.end { need.start.max(made.end)..need.end.max(made.end) } else { need.clone() };
    *made = need;
    new
}
