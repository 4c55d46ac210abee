//! The sum over nine taps at every output: the way forward, and the way back to the input at stride 1.

use super::ending::{Columns, Ending, Ends, Out, columns_of};
use super::plane::{Band, Lanes, Plane, RawBand, Weights, Zeros, along_row, check, each_vector};
use crate::kernel::gemm::End;
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Output rows `rows`: `y = end(bias + conv(x, w))`, `[rows, ow, c]`, overwritten.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(in crate::kernel) fn forward(
    isa: Isa,
    plane: &Plane,
    x: Band,
    weights: &Weights,
    zeros: Zeros,
    rows: Range<usize>,
    y: &mut [f32],
    end: End,
) {
    gather(isa, plane, x, weights, zeros, rows, y, end, None, None);
}

#[allow(clippy::too_many_arguments)]
pub(super) fn gather(
    isa: Isa,
    plane: &Plane,
    x: Band,
    weights: &Weights,
    zeros: Zeros,
    rows: Range<usize>,
    y: &mut [f32],
    end: End,
    aux: Option<Band>,
    sums: Option<&mut [f32]>,
) {
    if rows.is_empty() {
        return;
    }
    let c = plane.c;
    check(plane, weights, zeros, plane.w * c);
    assert!(x.covers(plane.inputs(rows.clone()), plane.w * c), "input of {plane:?}");
    assert!(y.len() >= rows.len() * plane.ow * c, "output of {plane:?}");
    assert!((end == End::Mask) == aux.is_some() && end != End::Add, "{end:?} and its operand");
    assert!(aux.is_none_or(|a| a.covers(rows.clone(), plane.ow * c)), "mask of {plane:?}");
    assert!(sums.as_ref().is_none_or(|s| s.len() == c && end != End::Clamp), "sums of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        gather_raw(
            isa,
            *plane,
            x.raw(),
            weights.taps.as_ptr(),
            weights.bias.as_ptr(),
            zeros.as_ptr(),
            rows,
            y.as_mut_ptr(),
            end,
            aux.map_or(RawBand::NONE, |a| a.raw()),
            sums.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
        )
    }
}

per_simd! {
    unsafe fn gather_raw(
        plane: Plane,
        x: RawBand,
        taps: *const f32,
        bias: *const f32,
        zeros: *const f32,
        rows: Range<usize>,
        y: *mut f32,
        end: End,
        aux: RawBand,
        sums: *mut f32,
    ) = gather_body
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn gather_body<S: Simd>(
    plane: Plane,
    x: RawBand,
    taps: *const f32,
    bias: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    y: *mut f32,
    end: End,
    aux: RawBand,
    sums: *mut f32,
) {
    let out = Out { y, aux: std::ptr::null(), sums };
    macro_rules! rows_ending {
        ($clamps:literal, $masks:literal, $sums:literal) => {
            // SAFETY: handed on from the caller.
            unsafe { all_rows::<S, Ends<$clamps, $masks, $sums>>(plane, x, [taps, bias, zeros], rows, out, aux) }
        };
    }
    match (end, sums.is_null()) {
        (End::Clamp, _) => rows_ending!(true, false, false),
        (End::Mask, true) => rows_ending!(false, true, false),
        (End::Mask, false) => rows_ending!(false, true, true),
        (End::Store | End::Add, true) => rows_ending!(false, false, false),
        (End::Store | End::Add, false) => rows_ending!(false, false, true),
    }
}

#[inline(always)]
unsafe fn all_rows<S: Simd, E: Ending>(
    plane: Plane,
    x: RawBand,
    [taps, bias, zeros]: [*const f32; 3],
    rows: Range<usize>,
    out: Out,
    aux: RawBand,
) {
    let c = plane.c;
    let inner = plane.inner();
    let columns = columns_of::<S>(c);
    // SAFETY: rows, columns and channels lie inside the buffers; rows that do not are read from `zeros`.
    unsafe {
        for (r, oy) in rows.enumerate() {
            let lines = x.lines(&plane, oy, zeros);
            let mut row = out.at(r * plane.ow * c, 0);
            if E::MASKS {
                row.aux = aux.row(oy, plane.ow * c);
            }
            // `$g` outputs from `ox` on, whose taps `$from` to `$to` of each row lie inside.
            macro_rules! outputs {
                ($stride:literal, $g:literal, $ox:expr, $from:literal, $to:literal) => {
                    let begin = ($ox * $stride + $from).saturating_sub(plane.left) * c;
                    each_vector!(c, at, lanes, PART => {
                        let lines = lines.map(|line| line.add(begin + at));
                        let (taps, bias, out) = (taps.add(at), bias.add(at), row.at($ox * c, at));
                        neighbours::<S, E, PART, $stride, $g, $from, $to>(lines, taps, bias, lanes, &columns, out);
                    });
                };
            }
            along_row!(plane, inner, outputs, 1: [8 4 2 1], 2: [4 2 1]);
        }
    }
}

/// `G` neighbouring outputs of which taps `FROM` to `TO` of each row lie inside; `lines` point at the first column that
/// they read.
#[inline(always)]
unsafe fn neighbours<
    S: Simd,
    E: Ending,
    const PART: bool,
    const STRIDE: usize,
    const G: usize,
    const FROM: usize,
    const TO: usize,
>(
    lines: [*const f32; 3],
    taps: *const f32,
    bias: *const f32,
    lanes: Lanes,
    columns: &Columns,
    out: Out,
) {
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let mut sums = [lanes.load::<S, PART>(bias); G];
        macro_rules! row {
            ($i:literal) => {
                S::fence();
                let w: [S::V; 3] = std::array::from_fn(|j| {
                    let inside = j.clamp(FROM, TO - 1);
                    lanes.load::<S, PART>(taps.byte_add(columns[$i * 3 + inside]))
                });
                for k in 0..(G - 1) * STRIDE + TO - FROM {
                    let x = lanes.load::<S, PART>(lines[$i].byte_add(columns[k]));
                    for (o, sum) in sums.iter_mut().enumerate() {
                        if k >= o * STRIDE && k < o * STRIDE + TO - FROM {
                            *sum = S::fma(x, w[k - o * STRIDE + FROM], *sum);
                        }
                    }
                }
            };
        }
        if FROM < TO {
            row!(0);
            row!(1);
            row!(2);
        }
        S::fence();
        out.put::<S, E, PART, G>(lanes, columns, sums);
    }
}
