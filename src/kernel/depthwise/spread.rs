//! The backward pass to the input: at stride 1 a sum over nine taps again, at stride 2 each input row hears of one or two
//! output rows, and each column likewise.

use super::ending::{Epilogue, Masked, PixelOut, Plain};
use super::gather::{GatherEpilogue, Mask, gather};
use super::plane::{Band, GROUP_ROWS, Lanes, NineTaps, Plane, RawBand, check, each_group};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Gradient of input rows `rows`: `dx = convᵀ(dy, w)`, and what passes the mask where there is one; `[rows, w, c]`,
/// overwritten.
///
/// # Panics
/// If a buffer is too short.
pub(in crate::kernel) fn backward_input(
    isa: Isa,
    taps: NineTaps,
    dy: Band,
    rows: Range<usize>,
    dx: &mut [f32],
    mask: Option<Mask>,
) {
    let NineTaps { plane, weights, zeros } = taps;
    if plane.stride == 1 {
        let Plane { h, w, oh, ow, c, top, left, .. } = *plane;
        let turned = Plane { h: oh, w: ow, oh: h, ow: w, c, stride: 1, top: 2 - top, left: 2 - left };
        gather(
            isa,
            NineTaps { plane: &turned, ..taps },
            dy,
            rows,
            dx,
            mask.map_or(GatherEpilogue::Store, GatherEpilogue::Mask),
        );
        return;
    }
    let (row, c) = (plane.w * plane.c, plane.c);
    check(isa, taps, plane.ow * c);
    assert!(dy.covers(plane.outputs(rows.clone()), plane.ow * c), "output gradient of {plane:?}");
    assert!(dx.len() >= rows.len() * row, "gradient of {plane:?}");
    let mut out = PixelOut { y: dx.as_mut_ptr(), aux: std::ptr::null(), sums: std::ptr::null_mut() };
    let mask = mask.map_or(RawBand::NONE, |Mask { outputs, sums }| {
        assert!(outputs.covers(rows.clone(), row) && sums.len() == c, "mask of {plane:?}");
        out.sums = sums.as_mut_ptr();
        outputs.raw()
    });
    // SAFETY: the assertions above.
    unsafe { spread_raw(isa, *plane, dy.raw(), [weights.as_ptr(), zeros.as_ptr()], rows, out, mask) }
}

per_simd! {
    unsafe fn spread_raw(
        plane: Plane,
        dy: RawBand,
        weights_and_zeros: [*const f32; 2],
        rows: Range<usize>,
        out: PixelOut,
        mask: RawBand,
    ) = spread_body
}

#[inline(always)]
unsafe fn spread_body<S: Simd>(
    plane: Plane,
    dy: RawBand,
    weights: [*const f32; 2],
    rows: Range<usize>,
    out: PixelOut,
    mask: RawBand,
) {
    // SAFETY: handed on from the caller.
    unsafe {
        if mask.data.is_null() {
            all_rows::<S, Plain>(plane, dy, weights, rows, out, mask);
        } else {
            all_rows::<S, Masked>(plane, dy, weights, rows, out, mask);
        }
    }
}

#[inline(always)]
unsafe fn all_rows<S: Simd, E: Epilogue>(
    plane: Plane,
    dy: RawBand,
    [weights, zeros]: [*const f32; 2],
    rows: Range<usize>,
    out: PixelOut,
    mask: RawBand,
) {
    let (c, row) = (plane.c, plane.ow * plane.c);
    let pixel = c * size_of::<f32>();
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
            let odd = t % 2 == 1;
            let lines = if odd {
                [(1, line(Some(t / 2))), (1, std::ptr::null())]
            } else {
                [(0, line(Some(t / 2))), (2, line((t / 2).checked_sub(1)))]
            };
            let mut out = out.at(r * plane.w * c, 0);
            if E::MASKS {
                out.aux = mask.row(iy, plane.w * c);
            }
            macro_rules! edges {
                ($pairs:expr) => {
                    for ox in $pairs {
                        each_group!(0..c, at, lanes, NV, PART => {
                            let weights = weights.add(GROUP_ROWS * at);
                            pair::<S, E, PART, NV>(&plane, lines, ox, weights, at, lanes, out);
                        });
                    }
                };
            }
            edges!((0..inner.start.min(pairs)).chain(inner.start.max(inner.end)..pairs));
            let mut ox = inner.start;
            macro_rules! groups {
                ($($pairs:literal, $columns:literal;)*) => {
                    $(
                        while inner.end.saturating_sub(ox) >= $pairs {
                            let to = out.at((2 * ox - plane.left) * c, 0);
                            each_group!(0..c, at, lanes, NV, PART => {
                                let (weights, to) = (weights.add(GROUP_ROWS * at), to.at(0, at));
                                let near = lines.map(|(i, line)| (i, line.wrapping_add((ox - 1) * c + at)));
                                if PART {
                                    for ox in ox..ox + $pairs {
                                        pair::<S, E, PART, NV>(&plane, lines, ox, weights, at, lanes, out);
                                    }
                                } else if odd {
                                    whole::<S, E, NV, 1, $pairs, $columns>([near[0]], weights, pixel, to);
                                } else {
                                    whole::<S, E, NV, 2, $pairs, $columns>(near, weights, pixel, to);
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
type TapLines = [(usize, *const f32); 2];

/// Neighbouring pairs, `G` columns, all of whose outputs exist; `lines` point at the output before the first pair's.
#[inline(always)]
unsafe fn whole<S: Simd, E: Epilogue, const NV: usize, const LINES: usize, const PAIRS: usize, const G: usize>(
    lines: [(usize, *const f32); LINES],
    weights: *const f32,
    pixel: usize,
    out: PixelOut,
) {
    let lanes = Lanes(S::LANES);
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let mut sums = [[S::splat(0.0); NV]; G];
        for (l, (i, mut line)) in lines.into_iter().enumerate() {
            S::fence();
            let w: [[S::V; NV]; 3] =
                std::array::from_fn(|j| lanes.load::<S, false, NV>(weights.add((i * 3 + j) * NV * S::LANES)));
            // Output k is heard in the even column of pair k by its last tap, and in both of the pair before by the others.
            macro_rules! outputs {
                ($($k:literal)*) => {
                    $(
                        if $k < PAIRS + 1 {
                            let d = lanes.next::<S, false, NV>(&mut line, pixel);
                            for v in 0..NV {
                                if $k < PAIRS {
                                    let sum = &mut sums[2 * $k][v];
                                    *sum = if l == 0 { S::mul(d[v], w[2][v]) } else { S::fma(d[v], w[2][v], *sum) };
                                }
                                if $k > 0 {
                                    let k = usize::wrapping_sub($k, 1);
                                    sums[2 * k][v] = S::fma(d[v], w[0][v], sums[2 * k][v]);
                                    let sum = &mut sums[2 * k + 1][v];
                                    *sum = if l == 0 { S::mul(d[v], w[1][v]) } else { S::fma(d[v], w[1][v], *sum) };
                                }
                            }
                        }
                    )*
                };
            }
            outputs!(0 1 2 3 4);
        }
        S::fence();
        out.put::<S, E, false, NV, G>(lanes, pixel, sums);
    }
}

/// A pair of columns of which one, or an output, may not exist; `out` is that of the row's first column and channel.
#[inline(always)]
unsafe fn pair<S: Simd, E: Epilogue, const PART: bool, const NV: usize>(
    plane: &Plane,
    lines: TapLines,
    ox: usize,
    weights: *const f32,
    at: usize,
    lanes: Lanes,
    out: PixelOut,
) {
    let (c, pixel) = (plane.c, plane.c * size_of::<f32>());
    // SAFETY: columns that do not lie inside are left out.
    unsafe {
        let (mut even, mut odd) = ([S::splat(0.0); NV], [S::splat(0.0); NV]);
        for (i, line) in lines {
            if line.is_null() {
                break;
            }
            for (j, from) in [(0, Some(ox)), (2, ox.checked_sub(1)), (1, Some(ox))] {
                let Some(from) = from.filter(|&from| from < plane.ow) else { continue };
                // A group of less than a vector is packed without gaps.
                let width = if PART { lanes.0 } else { NV * S::LANES };
                let w = lanes.load::<S, PART, NV>(weights.add((i * 3 + j) * width));
                let d = lanes.load::<S, PART, NV>(line.add(from * c + at));
                let sum = if j == 1 { &mut odd } else { &mut even };
                for v in 0..NV {
                    sum[v] = S::fma(d[v], w[v], sum[v]);
                }
            }
        }
        if let Some(ix) = (2 * ox).checked_sub(plane.left).filter(|&ix| ix < plane.w) {
            out.at(ix * c, at).put::<S, E, PART, NV, 1>(lanes, pixel, [even]);
        }
        if let Some(ix) = (2 * ox + 1).checked_sub(plane.left).filter(|&ix| ix < plane.w) {
            out.at(ix * c, at).put::<S, E, PART, NV, 1>(lanes, pixel, [odd]);
        }
    }
}
