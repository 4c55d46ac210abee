//! The weight gradient: nine sums per channel that stay in registers over all rows.

use super::ending::columns_of;
use super::plane::{Band, Plane, RawBand, Zeros, along_row, each_vector};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// `dw[i,j,c] += scale[c]·Σ x[y·s+i−top, x·s+j−left, c]·dy[y,x,c]` and `db[c] += Σ dy[y,x,c]` over output rows `rows`.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(in crate::kernel) fn backward_weight(
    isa: Isa,
    plane: &Plane,
    x: Band,
    dy: Band,
    zeros: Zeros,
    rows: Range<usize>,
    scale: &[f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let c = plane.c;
    if rows.is_empty() {
        return;
    }
    assert!(x.covers(plane.inputs(rows.clone()), plane.w * c), "input of {plane:?}");
    assert!(dy.covers(rows.clone(), plane.ow * c) && zeros.len() >= plane.w * c, "output gradient of {plane:?}");
    assert!(dw.len() == 9 * c && db.len() == c && scale.len() == c, "weight gradient of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        weight_raw(
            isa,
            *plane,
            x.raw(),
            dy.raw(),
            zeros.as_ptr(),
            rows,
            scale.as_ptr(),
            dw.as_mut_ptr(),
            db.as_mut_ptr(),
        )
    }
}

per_simd! {
    unsafe fn weight_raw(
        plane: Plane,
        x: RawBand,
        dy: RawBand,
        zeros: *const f32,
        rows: Range<usize>,
        scale: *const f32,
        dw: *mut f32,
        db: *mut f32,
    ) = weight_body
}

// An output at a plane's edge may have no tap inside.
#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::reversed_empty_ranges)]
unsafe fn weight_body<S: Simd>(
    plane: Plane,
    x: RawBand,
    dy: RawBand,
    zeros: *const f32,
    rows: Range<usize>,
    scale: *const f32,
    dw: *mut f32,
    db: *mut f32,
) {
    let (c, inner) = (plane.c, plane.inner());
    let columns = columns_of::<S>(c);
    // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
    unsafe {
        each_vector!(c, at, lanes, PART => {
            let mut sums = [[S::splat(0.0); 3]; 3];
            let mut total = S::splat(0.0);
            for oy in rows.clone() {
                let lines = x.lines(&plane, oy, zeros).map(|line| line.add(at));
                let d = dy.row(oy, plane.ow * c).add(at);
                // `$g` outputs side by side, of which taps `$from` to `$to` lie inside: neighbours share columns.
                macro_rules! outputs {
                    ($stride:literal, $g:literal, $ox:expr, $from:literal, $to:literal) => {
                        let begin = ($ox * $stride + $from).saturating_sub(plane.left) * c;
                        let d = d.add($ox * c);
                        let ds: [S::V; $g] =
                            std::array::from_fn(|o| lanes.load::<S, PART>(d.byte_add(columns[o])));
                        for &d in &ds {
                            total = S::add(total, d);
                        }
                        for i in 0..3 {
                            let (line, mut own) = (lines[i].add(begin), sums[i]);
                            for (o, &d) in ds.iter().enumerate() {
                                for tap in $from..$to {
                                    let x = lanes.load::<S, PART>(line.byte_add(columns[o * $stride + tap - $from]));
                                    own[tap] = S::fma(x, d, own[tap]);
                                }
                            }
                            sums[i] = own;
                        }
                    };
                }
                along_row!(plane, inner, outputs, 1: [4 2 1], 2: [4 2 1]);
            }
            let s = lanes.load::<S, PART>(scale.add(at));
            for (t, &sum) in sums.iter().flatten().enumerate() {
                let to = dw.add(t * c + at);
                lanes.store::<S, PART>(to, S::fma(sum, s, lanes.load::<S, PART>(to)));
            }
            let to = db.add(at);
            lanes.store::<S, PART>(to, S::add(lanes.load::<S, PART>(to), total));
        });
    }
}
