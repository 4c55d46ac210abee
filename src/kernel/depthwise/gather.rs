//! The sum over nine taps at every output: the way forward, and the way back to the input at stride 1.

use super::plane::{Band, Lanes, Plane, RawBand, Weights, Zeros, check, each_vector};
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
    assert!(sums.as_ref().is_none_or(|s| s.len() == c), "sums of {plane:?}");
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
    let c = plane.c;
    // Outputs whose three columns all lie inside.
    let inner = plane.left.div_ceil(plane.stride);
    let end_inner = if plane.w + plane.left < 3 { 0 } else { (plane.w + plane.left - 3) / plane.stride + 1 };
    let inner = inner.min(plane.ow)..end_inner.min(plane.ow).max(inner.min(plane.ow));
    // SAFETY: rows, columns and channels lie inside the buffers; rows that do not are read from `zeros`.
    unsafe {
        for (r, oy) in rows.enumerate() {
            let lines: [*const f32; 3] =
                std::array::from_fn(|i| match (oy * plane.stride + i).checked_sub(plane.top) {
                    Some(iy) if iy < plane.h => x.row(iy, plane.w * c),
                    _ => zeros,
                });
            let begin = r * plane.ow * c;
            let aux = if end == End::Mask { aux.row(oy, plane.ow * c) } else { std::ptr::null() };
            let out = Out { y: y.add(begin), aux, end, c, sums };
            for ox in (0..inner.start).chain(inner.end..plane.ow) {
                each_vector!(c, at, lanes, PART => edge::<S, PART>(&plane, lines, ox, taps, bias, at, lanes, &out));
            }
            let mut ox = inner.start;
            macro_rules! run {
                ($stride:literal, $g:literal) => {
                    while inner.end - ox >= $g {
                        let from = (ox * $stride - plane.left) * c;
                        each_vector!(c, at, lanes, PART => {
                            let lines = [lines[0].add(from + at), lines[1].add(from + at), lines[2].add(from + at)];
                            columns::<S, PART, $stride, $g>(lines, ox, taps, bias, at, lanes, &out);
                        });
                        ox += $g;
                    }
                };
            }
            if plane.stride == 1 {
                run!(1, 4);
                run!(1, 2);
                run!(1, 1);
            } else {
                run!(2, 4);
                run!(2, 2);
                run!(2, 1);
            }
        }
    }
}

/// Where one row of outputs goes.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) y: *mut f32,
    pub(super) aux: *const f32,
    pub(super) end: End,
    pub(super) c: usize,
    pub(super) sums: *mut f32,
}

impl Out {
    /// Ends and stores `G` sums of neighbouring columns from `ox` on, for the vector of channels at `at`.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd, const PART: bool, const G: usize>(
        &self,
        ox: usize,
        at: usize,
        lanes: Lanes,
        sums: [S::V; G],
    ) {
        // SAFETY: the caller vouches for the columns and channels.
        unsafe {
            let begin = ox * self.c + at;
            let mut total = S::splat(0.0);
            for (o, sum) in sums.into_iter().enumerate() {
                let place = begin + o * self.c;
                let sum = match self.end {
                    End::Clamp => S::clamp6(sum),
                    End::Mask => S::mask6(sum, lanes.load::<S, PART>(self.aux.add(place))),
                    End::Store | End::Add => sum,
                };
                total = S::add(total, sum);
                lanes.store::<S, PART>(self.y.add(place), sum);
            }
            if !self.sums.is_null() {
                let to = self.sums.add(at);
                lanes.store::<S, PART>(to, S::add(lanes.load::<S, PART>(to), total));
            }
        }
    }
}

/// `G` neighbouring outputs from `ox` on, all of whose columns lie inside; `lines` point at the first column they read.
#[inline(always)]
unsafe fn columns<S: Simd, const PART: bool, const STRIDE: usize, const G: usize>(
    lines: [*const f32; 3],
    ox: usize,
    taps: *const f32,
    bias: *const f32,
    at: usize,
    lanes: Lanes,
    out: &Out,
) {
    // SAFETY: the caller vouches for the columns.
    unsafe {
        let mut sums = [lanes.load::<S, PART>(bias.add(at)); G];
        for (i, line) in lines.into_iter().enumerate() {
            let w: [S::V; 3] = std::array::from_fn(|j| lanes.load::<S, PART>(taps.add((i * 3 + j) * out.c + at)));
            for k in 0..(G - 1) * STRIDE + 3 {
                let x = lanes.load::<S, PART>(line.add(k * out.c));
                for (o, sum) in sums.iter_mut().enumerate() {
                    if k >= o * STRIDE && k < o * STRIDE + 3 {
                        *sum = S::fma(x, w[k - o * STRIDE], *sum);
                    }
                }
            }
        }
        out.put::<S, PART, G>(ox, at, lanes, sums);
    }
}

/// One output of which some columns fall on padding.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn edge<S: Simd, const PART: bool>(
    plane: &Plane,
    lines: [*const f32; 3],
    ox: usize,
    taps: *const f32,
    bias: *const f32,
    at: usize,
    lanes: Lanes,
    out: &Out,
) {
    // SAFETY: columns that do not lie inside the row are left out.
    unsafe {
        let mut sum = lanes.load::<S, PART>(bias.add(at));
        for j in 0..3 {
            let Some(ix) = (ox * plane.stride + j).checked_sub(plane.left).filter(|&ix| ix < plane.w) else { continue };
            for (i, line) in lines.into_iter().enumerate() {
                let w = lanes.load::<S, PART>(taps.add((i * 3 + j) * plane.c + at));
                sum = S::fma(lanes.load::<S, PART>(line.add(ix * plane.c + at)), w, sum);
            }
        }
        out.put::<S, PART, 1>(ox, at, lanes, [sum]);
    }
}
