//! The sum over nine taps at every output: the forward pass, and the backward pass to the input at stride 1.

use super::ending::{Clamped, Epilogue, Masked, PixelOut, Plain};
use super::plane::{Band, GROUP_ROWS, Lanes, NineTaps, Plane, RawBand, RowOutputs, along_row, check, each_group};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// The last operation on the sums.
pub(super) enum GatherEpilogue<'a> {
    Store,
    /// ReLU6.
    Clamp,
    Mask(Mask<'a>),
}

/// The backward pass through a ReLU6.
#[derive(Debug)]
pub(in crate::kernel) struct Mask<'a> {
    /// The output of the ReLU6: a gradient passes where it lies between 0 and 6.
    pub outputs: Band<'a>,
    /// `[c]`: the sum over pixels of what passes is **added**.
    pub sums: &'a mut [f32],
}

/// Output rows `rows`: `y = conv(x, w) + bias`, through ReLU6 where there is one; `[rows, ow, c]`, overwritten.
///
/// # Panics
/// If a buffer is too short.
pub(in crate::kernel) fn forward(isa: Isa, taps: NineTaps, x: Band, rows: Range<usize>, y: &mut [f32], relu6: bool) {
    gather(isa, taps, x, rows, y, if relu6 { GatherEpilogue::Clamp } else { GatherEpilogue::Store });
}

/// As [`forward`], the sums ending as `end` says.
pub(super) fn gather(isa: Isa, taps: NineTaps, x: Band, rows: Range<usize>, y: &mut [f32], end: GatherEpilogue) {
    if rows.is_empty() {
        return;
    }
    let NineTaps { plane, weights, zeros } = taps;
    let c = plane.c;
    check(isa, taps, plane.w * c);
    assert!(x.covers(plane.inputs(rows.clone()), plane.w * c), "input of {plane:?}");
    assert!(y.len() >= rows.len() * plane.ow * c, "output of {plane:?}");
    let mut out = PixelOut { y: y.as_mut_ptr(), aux: std::ptr::null(), sums: std::ptr::null_mut() };
    let mut ends = RawEnds { clamps: false, mask: RawBand::NONE };
    match end {
        GatherEpilogue::Store => {}
        GatherEpilogue::Clamp => ends.clamps = true,
        GatherEpilogue::Mask(Mask { outputs, sums }) => {
            assert!(plane.stride == 1, "a masked gradient is gathered at stride 1");
            assert!(outputs.covers(rows.clone(), plane.ow * c) && sums.len() == c, "mask of {plane:?}");
            ends.mask = outputs.raw();
            out.sums = sums.as_mut_ptr();
        }
    }
    // SAFETY: the assertions above.
    unsafe { gather_raw(isa, *plane, x.raw(), [weights.as_ptr(), zeros.as_ptr()], rows, out, ends) }
}

/// [`GatherEpilogue`], checked.
#[derive(Clone, Copy)]
struct RawEnds {
    clamps: bool,
    mask: RawBand,
}

per_simd! {
    unsafe fn gather_raw(
        plane: Plane,
        x: RawBand,
        weights_and_zeros: [*const f32; 2],
        rows: Range<usize>,
        out: PixelOut,
        ends: RawEnds,
    ) = gather_body
}

#[inline(always)]
unsafe fn gather_body<S: Simd>(
    plane: Plane,
    x: RawBand,
    weights: [*const f32; 2],
    rows: Range<usize>,
    out: PixelOut,
    RawEnds { clamps, mask }: RawEnds,
) {
    // SAFETY: handed on from the caller.
    unsafe {
        match (plane.stride, clamps, mask.data.is_null()) {
            (1, true, _) => all_rows::<S, Clamped, 1>(plane, x, weights, rows, out, mask),
            (1, false, true) => all_rows::<S, Plain, 1>(plane, x, weights, rows, out, mask),
            (1, false, false) => all_rows::<S, Masked, 1>(plane, x, weights, rows, out, mask),
            (_, true, _) => all_rows::<S, Clamped, 2>(plane, x, weights, rows, out, mask),
            (_, false, _) => all_rows::<S, Plain, 2>(plane, x, weights, rows, out, mask),
        }
    }
}

#[inline(always)]
unsafe fn all_rows<S: Simd, E: Epilogue, const STRIDE: usize>(
    plane: Plane,
    x: RawBand,
    [weights, zeros]: [*const f32; 2],
    rows: Range<usize>,
    out: PixelOut,
    mask: RawBand,
) {
    let (c, along) = (plane.c, RowOutputs::of(&plane));
    let pixel = c * size_of::<f32>();
    // SAFETY: rows, columns and channels lie inside the buffers; rows that do not are read from `zeros`.
    unsafe {
        let rows = plane.channel_blocks().flat_map(|some| rows.clone().enumerate().map(move |row| (some.clone(), row)));
        for (some, (r, oy)) in rows {
            let lines = x.lines(&plane, oy, zeros);
            let mut row = out.at(r * plane.ow * c, 0);
            if E::MASKS {
                row.aux = mask.row(oy, plane.ow * c);
            }
            macro_rules! alone {
                ($ox:expr, $from:expr, $to:expr) => {
                    let (ox, begin) = ($ox, ($ox * STRIDE + $from).saturating_sub(plane.left) * c);
                    each_group!(some.clone(), at, lanes, NV, PART => {
                        let (lines, weights) = (lines.map(|l| l.add(begin + at)), weights.add(GROUP_ROWS * at));
                        alone::<S, E, PART, NV>(lines, $from..$to, weights, pixel, lanes, row.at(ox * c, at));
                    });
                };
            }
            macro_rules! outputs {
                ($g:literal, $ox:expr, $from:literal, $to:literal) => {
                    let (ox, begin) = ($ox, ($ox * STRIDE + $from - plane.left) * c);
                    each_group!(some.clone(), at, lanes, NV, PART => {
                        let weights = weights.add(GROUP_ROWS * at);
                        if PART {
                            for o in 0..$g {
                                let (from, to) = (if o == 0 { $from } else { 0 }, if o + 1 == $g { $to } else { 3 });
                                let begin = ((ox + o) * STRIDE + from - plane.left) * c;
                                let (lines, out) = (lines.map(|l| l.add(begin + at)), row.at((ox + o) * c, at));
                                alone::<S, E, PART, NV>(lines, from..to, weights, pixel, lanes, out);
                            }
                        } else {
                            let (lines, out) = (lines.map(|l| l.add(begin + at)), row.at(ox * c, at));
                            neighbours::<S, E, NV, STRIDE, $g, $from, $to>(lines, weights, pixel, out);
                        }
                    });
                };
            }
            along_row!(plane, along, outputs, alone, [8 4]);
        }
    }
}

/// `G` neighbouring outputs, the first of which has its taps from `FROM` on inside, the last those up to `TO`; `lines`
/// point at the first column that they read.
#[inline(always)]
unsafe fn neighbours<
    S: Simd,
    E: Epilogue,
    const NV: usize,
    const STRIDE: usize,
    const G: usize,
    const FROM: usize,
    const TO: usize,
>(
    lines: [*const f32; 3],
    weights: *const f32,
    pixel: usize,
    out: PixelOut,
) {
    let lanes = Lanes(S::LANES);
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let weight = |row: usize| lanes.load::<S, false, NV>(weights.add(row * NV * S::LANES));
        let mut sums = [if E::MASKS { [S::splat(0.0); NV] } else { weight(9) }; G];
        // Column by column of the input, each for the outputs that it is a tap of. Written out, because what a compiler
        // unrolls and keeps in registers by itself changes with its mood.
        macro_rules! columns {
            ($i:literal, $w:ident, $line:ident, $($k:literal)*) => {
                $(
                    if $k >= FROM && $k < (G - 1) * STRIDE + TO {
                        let x = lanes.next::<S, false, NV>(&mut $line, pixel);
                        for (o, sum) in sums.iter_mut().enumerate() {
                            if $k >= o * STRIDE && $k < o * STRIDE + 3 {
                                let tap = $k - o * STRIDE;
                                let begins = E::MASKS && $i == 0 && (tap == 0 || o == 0 && tap == FROM);
                                for v in 0..NV {
                                    let w = $w[tap][v];
                                    sum[v] = if begins { S::mul(x[v], w) } else { S::fma(x[v], w, sum[v]) };
                                }
                            }
                        }
                    }
                )*
            };
        }
        macro_rules! row {
            ($i:literal) => {
                S::fence();
                let (w, mut line) = ([weight($i * 3), weight($i * 3 + 1), weight($i * 3 + 2)], lines[$i]);
                columns!($i, w, line, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
                if E::MASKS {
                    sums.iter_mut().flatten().for_each(S::pin);
                }
            };
        }
        row!(0);
        row!(1);
        row!(2);
        S::fence();
        out.put::<S, E, false, NV, G>(lanes, pixel, sums);
    }
}

/// One output of which only `taps` of each row lie inside; `lines` point at the column that the first of them reads.
#[inline(always)]
unsafe fn alone<S: Simd, E: Epilogue, const PART: bool, const NV: usize>(
    lines: [*const f32; 3],
    taps: Range<usize>,
    weights: *const f32,
    pixel: usize,
    lanes: Lanes,
    out: PixelOut,
) {
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let weight = |row: usize| {
            // A group of less than a vector is packed without gaps.
            lanes.load::<S, PART, NV>(weights.add(row * if PART { lanes.0 } else { NV * S::LANES }))
        };
        let mut sum = if E::MASKS { [S::splat(0.0); NV] } else { weight(9) };
        for (i, mut line) in lines.into_iter().enumerate() {
            for tap in taps.clone() {
                let (x, w) = (lanes.next::<S, PART, NV>(&mut line, pixel), weight(i * 3 + tap));
                for v in 0..NV {
                    sum[v] = S::fma(x[v], w[v], sum[v]);
                }
            }
        }
        out.put::<S, E, PART, NV, 1>(lanes, pixel, [sum]);
    }
}
