//! The way back to the input: at stride 1 a sum over nine taps again, at stride 2 each input row hears of one or two
//! output rows, and each column likewise.

use super::ending::{Columns, Ending, Ends, Out, columns_of};
use super::gather::gather;
use super::plane::{Band, Lanes, Plane, RawBand, Weights, Zeros, check, each_vector};
use crate::kernel::gemm::End;
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Gradient of input rows `rows`: `dx = convᵀ(dy, w)` where `0 < mask < 6`, else 0; `[rows, w, c]`, overwritten. Without
/// a mask, everywhere. `sums` `[c]`: the sum of `dx` over pixels is **added**.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(in crate::kernel) fn backward_input(
    isa: Isa,
    plane: &Plane,
    dy: Band,
    weights: &Weights,
    zeros: Zeros,
    rows: Range<usize>,
    dx: &mut [f32],
    mask: Option<Band>,
    sums: Option<&mut [f32]>,
) {
    let end = if mask.is_some() { End::Mask } else { End::Store };
    if plane.stride == 1 {
        let Plane { h, w, oh, ow, c, top, left, .. } = *plane;
        let turned = Plane { h: oh, w: ow, oh: h, ow: w, c, stride: 1, top: 2 - top, left: 2 - left };
        gather(isa, &turned, dy, weights, zeros, rows, dx, end, mask, sums);
        return;
    }
    let (row, c) = (plane.w * plane.c, plane.c);
    check(plane, weights, zeros, plane.ow * c);
    assert!(dy.covers(plane.outputs(rows.clone()), plane.ow * c), "output gradient of {plane:?}");
    assert!(dx.len() >= rows.len() * row, "gradient of {plane:?}");
    assert!(mask.is_none_or(|m| m.covers(rows.clone(), row)), "mask of {plane:?}");
    assert!(sums.as_ref().is_none_or(|s| s.len() == c), "sums of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        spread_raw(
            isa,
            *plane,
            dy.raw(),
            weights.taps.as_ptr(),
            zeros.as_ptr(),
            rows,
            dx.as_mut_ptr(),
            mask.map_or(RawBand::NONE, |m| m.raw()),
            sums.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
        )
    }
}

per_simd! {
    unsafe fn spread_raw(
        plane: Plane,
        dy: RawBand,
        taps: *const f32,
        zeros: *const f32,
        rows: Range<usize>,
        dx: *mut f32,
        mask: RawBand,
        sums: *mut f32,
    ) = spread_body
}

/// The gradient of the input at stride 2: each input row hears of one or two output rows, each column likewise.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn spread_body<S: Simd>(
    plane: Plane,
    dy: RawBand,
    taps: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    dx: *mut f32,
    mask: RawBand,
    sums: *mut f32,
) {
    let out = Out { y: dx, aux: std::ptr::null(), sums };
    macro_rules! rows_ending {
        ($masks:literal, $sums:literal) => {
            // SAFETY: handed on from the caller.
            unsafe { all_rows::<S, Ends<false, $masks, $sums>>(plane, dy, taps, zeros, rows, out, mask) }
        };
    }
    match (mask.data.is_null(), sums.is_null()) {
        (true, true) => rows_ending!(false, false),
        (true, false) => rows_ending!(false, true),
        (false, true) => rows_ending!(true, false),
        (false, false) => rows_ending!(true, true),
    }
}

#[inline(always)]
unsafe fn all_rows<S: Simd, E: Ending>(
    plane: Plane,
    dy: RawBand,
    taps: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    out: Out,
    mask: RawBand,
) {
    let (c, row) = (plane.c, plane.ow * plane.c);
    let columns = columns_of::<S>(c);
    // Pairs of columns (2·ox − left, 2·ox + 1 − left) hear of outputs ox and ox − 1.
    let pairs = (plane.w + plane.left).div_ceil(2);
    // Pairs that exist as a whole, with both outputs.
    let inner = 1.max(plane.left.div_ceil(2))..plane.ow.min((plane.w + plane.left) / 2);
    // SAFETY: rows, columns and channels lie inside the buffers; rows that do not are read from `zeros`.
    unsafe {
        let line = |oy: Option<usize>| match oy {
            Some(oy) if oy < plane.oh => dy.row(oy, row),
            _ => zeros,
        };
        for (r, iy) in rows.enumerate() {
            let t = iy + plane.top;
            // Rows of taps and the lines of dy that they meet here.
            let lines = if t % 2 == 1 {
                [(1, line(Some(t / 2))), (1, std::ptr::null())]
            } else {
                [(0, line(Some(t / 2))), (2, line((t / 2).checked_sub(1)))]
            };
            let mut out = out.at(r * plane.w * c, 0);
            if E::MASKS {
                out.aux = mask.row(iy, plane.w * c);
            }
            for ox in (0..inner.start.min(pairs)).chain(inner.start.max(inner.end)..pairs) {
                each_vector!(c, at, lanes, PART => {
                    pair::<S, E, PART>(&plane, lines, ox, taps, at, lanes, &columns, out);
                });
            }
            let mut ox = inner.start;
            macro_rules! groups {
                ($($pairs:literal, $columns:literal;)*) => {
                    $(
                        while inner.end.saturating_sub(ox) >= $pairs {
                            let out = out.at((2 * ox - plane.left) * c, 0);
                            each_vector!(c, at, lanes, PART => {
                                let (taps, out) = (taps.add(at), out.at(0, at));
                                let lines = lines.map(|(i, line)| (i, line.wrapping_add((ox - 1) * c + at)));
                                if t % 2 == 1 {
                                    whole::<S, E, PART, 1, $columns>([lines[0]], taps, lanes, &columns, out);
                                } else {
                                    whole::<S, E, PART, 2, $columns>(lines, taps, lanes, &columns, out);
                                }
                            });
                            ox += $pairs;
                        }
                    )*
                };
            }
            groups!(4, 8; 2, 4; 1, 2;);
        }
    }
}

/// Row of taps and line of dy; the second is null where there is only one.
type Lines = [(usize, *const f32); 2];

/// Neighbouring pairs, `G` columns, all of whose outputs exist; `lines` point at the output before the first pair's.
#[inline(always)]
unsafe fn whole<S: Simd, E: Ending, const PART: bool, const LINES: usize, const G: usize>(
    lines: [(usize, *const f32); LINES],
    taps: *const f32,
    lanes: Lanes,
    columns: &Columns,
    out: Out,
) {
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let mut sums = [S::splat(0.0); G];
        for (i, line) in lines {
            S::fence();
            let w: [S::V; 3] = std::array::from_fn(|j| lanes.load::<S, PART>(taps.byte_add(columns[i * 3 + j])));
            let mut before = lanes.load::<S, PART>(line);
            for g in 0..G / 2 {
                let d = lanes.load::<S, PART>(line.byte_add(columns[g + 1]));
                sums[2 * g] = S::fma(d, w[0], S::fma(before, w[2], sums[2 * g]));
                sums[2 * g + 1] = S::fma(d, w[1], sums[2 * g + 1]);
                before = d;
            }
        }
        S::fence();
        out.put::<S, E, PART, G>(lanes, columns, sums);
    }
}

/// A pair of columns of which one, or an output, may not exist.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn pair<S: Simd, E: Ending, const PART: bool>(
    plane: &Plane,
    lines: Lines,
    ox: usize,
    taps: *const f32,
    at: usize,
    lanes: Lanes,
    columns: &Columns,
    out: Out,
) {
    let c = plane.c;
    // SAFETY: columns that do not lie inside are left out.
    unsafe {
        let (mut even, mut odd) = (S::splat(0.0), S::splat(0.0));
        for (i, line) in lines {
            if line.is_null() {
                break;
            }
            for (j, from) in [(0, Some(ox)), (2, ox.checked_sub(1)), (1, Some(ox))] {
                let Some(from) = from.filter(|&from| from < plane.ow) else { continue };
                let w = lanes.load::<S, PART>(taps.add((i * 3 + j) * c + at));
                let d = lanes.load::<S, PART>(line.add(from * c + at));
                if j == 1 { odd = S::fma(d, w, odd) } else { even = S::fma(d, w, even) }
            }
        }
        if let Some(ix) = (2 * ox).checked_sub(plane.left).filter(|&ix| ix < plane.w) {
            out.at(ix * c, at).put::<S, E, PART, 1>(lanes, columns, [even]);
        }
        if let Some(ix) = (2 * ox + 1).checked_sub(plane.left).filter(|&ix| ix < plane.w) {
            out.at(ix * c, at).put::<S, E, PART, 1>(lanes, columns, [odd]);
        }
    }
}
