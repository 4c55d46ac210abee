//! The tiles that a backward pass goes through: which rows each makes, reads and finishes.

use crate::kernel::depthwise::Plane;
use std::ops::Range;

/// Some output rows of a block on its backward pass, and the input rows that they finish. All ranges are rows of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Output rows of the depthwise layer whose gradient the tile takes.
    pub(super) out: Range<usize>,
    /// Input rows of the depthwise layer whose gradient is complete with this tile: no later output reads them.
    pub(super) ready: Range<usize>,
    /// Input rows that the tile reads: the windows of `out`, and `ready` for the mask of the expansion's ReLU6.
    pub(super) need: Range<usize>,
    /// The rows of `out` whose share of the weight gradients belongs to this band of rows. May be empty.
    pub(super) own: Range<usize>,
}

/// Output rows whose share of the weight gradients belongs to these input rows: those that have the middle of their
/// window among them. Over all bands of an image they cover the output once.
pub(super) fn owned(p: &Plane, rows: &Range<usize>) -> Range<usize> {
    let owner = |o: usize| (o * p.stride + 1).saturating_sub(p.top).min(p.h - 1);
    let mut own = (0..p.oh).filter(|&o| rows.contains(&owner(o)));
    own.next().map_or(0..0, |begin| begin..own.next_back().unwrap_or(begin) + 1)
}

/// The tiles of `height` output rows that together finish the input rows `rows`.
pub(super) fn tiles(p: &Plane, rows: &Range<usize>, height: usize) -> impl Iterator<Item = Tile> + use<> {
    let (p, rows, own) = (*p, rows.clone(), owned(p, rows));
    let touched = p.outputs(rows.clone());
    let all = if own.is_empty() { touched } else { touched.start.min(own.start)..touched.end.max(own.end) };
    let mut done = rows.start;
    all.clone().step_by(height).map(move |start| {
        let out = start..(start + height).min(all.end);
        let next = if out.end == all.end { rows.end } else { (out.end * p.stride).saturating_sub(p.top) };
        let ready = done..next.clamp(done, rows.end);
        done = ready.end;
        let windows = p.inputs(out.clone());
        let need = windows.start.min(ready.start)..windows.end.max(ready.end);
        let own = out.start.max(own.start)..out.end.min(own.end);
        Tile { out, ready, need, own }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(h: usize, stride: usize, top: usize) -> Plane {
        // As many output rows as windows begin inside the padded map, TensorFlow's padding.
        Plane { h, w: 1, oh: h.div_ceil(stride), ow: 1, c: 1, stride, top, left: 0 }
    }

    /// Every plane of up to nine rows, every band of it, every height of tiles.
    fn each(mut check: impl FnMut(Plane, Range<usize>, usize)) {
        for (h, stride, top, height) in (1..10)
            .flat_map(|h| [(1, 1), (2, 0), (2, 1)].map(|(stride, top)| (h, stride, top)))
            .flat_map(|(h, stride, top)| (1..5).map(move |height| (h, stride, top, height)))
        {
            for (begin, end) in (0..h).flat_map(|begin| (begin + 1..=h).map(move |end| (begin, end))) {
                check(plane(h, stride, top), begin..end, height);
            }
        }
    }

    #[test]
    fn tiles_finish_input_rows_in_order_once_all_their_outputs_are_taken() {
        each(|p, rows, height| {
            let mut done = rows.start;
            for tile in tiles(&p, &rows, height) {
                assert_eq!(tile.ready.start, done, "{tile:?} of {rows:?} of {p:?}");
                done = tile.ready.end;
                for row in tile.ready.clone() {
                    let readers = p.outputs(row..row + 1);
                    assert!(readers.is_empty() || readers.end <= tile.out.end, "{row} in {tile:?} of {p:?}");
                }
                let windows = p.inputs(tile.out.clone());
                assert!(tile.need.start <= windows.start && tile.need.end >= windows.end, "{tile:?} of {p:?}");
                assert!(tile.ready.is_empty() || tile.need.start <= tile.ready.start, "{tile:?} of {p:?}");
            }
            let left = p.outputs(done.min(p.h - 1)..p.h);
            assert!(done == rows.end || left.is_empty(), "{done} of {rows:?} of {p:?}");
        });
    }

    #[test]
    fn the_bands_of_an_image_own_every_output_row_once() {
        for (h, stride, top) in [(9, 1, 1), (10, 2, 0), (9, 2, 1), (2, 2, 0), (1, 1, 1)] {
            let p = plane(h, stride, top);
            for cut in 0..=h {
                let bands = [0..cut, cut..h];
                let taken = |rows: &Range<usize>| tiles(&p, rows, 3).flat_map(|tile| tile.own).collect::<Vec<_>>();
                let all: Vec<usize> = bands.iter().filter(|rows| !rows.is_empty()).flat_map(taken).collect();
                assert_eq!(all, (0..p.oh).collect::<Vec<_>>(), "{h} rows, stride {stride}, cut at {cut}");
            }
        }
    }
}
