//! The weight gradient: nine sums per channel that stay in registers over all rows.

use super::plane::{Band, Lanes, Plane, RawBand, RowOutputs, Zeros, along_row, each_group};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// `dw[i,j,c] += scale[c]·Σ x[y·s+i−top, x·s+j−left, c]·dy[y,x,c]` and `db[c] += Σ dy[y,x,c]` over output rows `rows`.
///
/// # Panics
/// If a buffer is too short.
pub(in crate::kernel) fn backward_weight(
    isa: Isa,
    plane: &Plane,
    x: Band,
    dy: Band,
    zeros: Zeros,
    rows: Range<usize>,
    to: WeightGradient,
) {
    let (c, WeightGradient { scale, dw, db }) = (plane.c, to);
    if rows.is_empty() {
        return;
    }
    assert!(x.covers(plane.inputs(rows.clone()), plane.w * c), "input of {plane:?}");
    assert!(dy.covers(rows.clone(), plane.ow * c) && zeros.len() >= plane.w * c, "output gradient of {plane:?}");
    assert!(dw.len() == 9 * c && db.len() == c && scale.len() == c, "weight gradient of {plane:?}");
    let to = CheckedGradients { scale: scale.as_ptr(), dw: dw.as_mut_ptr(), db: db.as_mut_ptr() };
    // SAFETY: the assertions above.
    unsafe { weight_raw(isa, *plane, x.raw(), dy.raw(), zeros.as_ptr(), rows, to) }
}

/// The gradients of weight `[9, c]` and bias `[c]`, which are added to, and the frozen scale of each channel.
pub(in crate::kernel) struct WeightGradient<'a> {
    pub scale: &'a [f32],
    pub dw: &'a mut [f32],
    pub db: &'a mut [f32],
}

/// [`WeightGradient`] whose bounds were checked.
#[derive(Clone, Copy)]
struct CheckedGradients {
    scale: *const f32,
    dw: *mut f32,
    db: *mut f32,
}

per_simd! {
    unsafe fn weight_raw(
        plane: Plane,
        x: RawBand,
        dy: RawBand,
        zeros: *const f32,
        rows: Range<usize>,
        to: CheckedGradients,
    ) = weight_body
}

#[inline(always)]
unsafe fn weight_body<S: Simd>(
    plane: Plane,
    x: RawBand,
    dy: RawBand,
    zeros: *const f32,
    rows: Range<usize>,
    to: CheckedGradients,
) {
    // SAFETY: handed on from the caller.
    unsafe {
        match plane.stride {
            1 => all_rows::<S, 1>(plane, x, dy, zeros, rows, to),
            _ => all_rows::<S, 2>(plane, x, dy, zeros, rows, to),
        }
    }
}

/// Rows whose places are looked up together.
const ROWS: usize = 32;

#[inline(always)]
unsafe fn all_rows<S: Simd, const STRIDE: usize>(
    plane: Plane,
    x: RawBand,
    dy: RawBand,
    zeros: *const f32,
    rows: Range<usize>,
    to: CheckedGradients,
) {
    let (c, along) = (plane.c, RowOutputs::of(&plane));
    let pixel = c * size_of::<f32>();
    let mut places = [([zeros; 3], zeros); ROWS];
    for begin in rows.clone().step_by(ROWS) {
        let some = begin..rows.end.min(begin + ROWS);
        let places = &mut places[..some.len()];
        // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
        unsafe {
            for (place, oy) in places.iter_mut().zip(some) {
                *place = (x.lines(&plane, oy, zeros), dy.row(oy, plane.ow * c));
            }
            each_group!(0..c, at, lanes, NV, PART => {
                let mut sums = TapSums::<S, NV> { taps: [[[S::splat(0.0); NV]; 3]; 3], total: [S::splat(0.0); NV] };
                for &(lines, d) in &*places {
                    let (lines, d) = (lines.map(|line| line.add(at)), d.add(at));
                    macro_rules! alone {
                        ($ox:expr, $from:expr, $to:expr) => {
                            let begin = ($ox * STRIDE + $from).saturating_sub(plane.left) * c;
                            let lines = lines.map(|line| line.add(begin));
                            sums.alone::<PART>(lines, $from..$to, d.add($ox * c), pixel, lanes);
                        };
                    }
                    macro_rules! outputs {
                        ($g:literal, $ox:expr, $from:literal, $to:literal) => {
                            let ox = $ox;
                            if PART {
                                for o in 0..$g {
                                    let from = if o == 0 { $from } else { 0 };
                                    alone!(ox + o, from, if o + 1 == $g { $to } else { 3 });
                                }
                            } else {
                                let begin = (ox * STRIDE + $from - plane.left) * c;
                                let lines = lines.map(|line| line.add(begin));
                                sums.neighbours::<STRIDE, $g, $from, $to>(lines, d.add(ox * c), pixel);
                            }
                        };
                    }
                    along_row!(plane, along, outputs, alone, [4]);
                }
                sums.add_to::<PART>(c, at, lanes, to);
            });
        }
    }
}

/// The sums for a group of channels: by tap, and the gradient alone.
struct TapSums<S: Simd, const NV: usize> {
    taps: [[[S::V; NV]; 3]; 3],
    total: [S::V; NV],
}

impl<S: Simd, const NV: usize> TapSums<S, NV> {
    /// `G` outputs side by side, the first of which has its taps from `FROM` on inside, the last those up to `TO`;
    /// `lines` point at the first column that they read.
    #[inline(always)]
    unsafe fn neighbours<const STRIDE: usize, const G: usize, const FROM: usize, const TO: usize>(
        &mut self,
        lines: [*const f32; 3],
        d: *const f32,
        pixel: usize,
    ) {
        let lanes = Lanes(S::LANES);
        // SAFETY: the caller vouches for the columns.
        unsafe {
            let mut at = d;
            let ds: [[S::V; NV]; G] = std::array::from_fn(|_| {
                let d = lanes.load::<S, false, NV>(at);
                at = S::opaque(at.wrapping_byte_add(pixel));
                d
            });
            for v in 0..NV {
                for d in &ds {
                    self.total[v] = S::add(self.total[v], d[v]);
                }
            }
            macro_rules! columns {
                ($own:ident, $line:ident, $($k:literal)*) => {
                    $(
                        if $k >= FROM && $k < (G - 1) * STRIDE + TO {
                            let x = lanes.next::<S, false, NV>(&mut $line, pixel);
                            for (o, d) in ds.iter().enumerate() {
                                if $k >= o * STRIDE && $k < o * STRIDE + 3 {
                                    for v in 0..NV {
                                        $own[$k - o * STRIDE][v] = S::fma(x[v], d[v], $own[$k - o * STRIDE][v]);
                                    }
                                }
                            }
                        }
                    )*
                };
            }
            macro_rules! row {
                ($i:literal) => {
                    let (mut own, mut line) = (self.taps[$i], lines[$i]);
                    columns!(own, line, 0 1 2 3 4 5 6 7 8);
                    self.taps[$i] = own;
                };
            }
            row!(0);
            row!(1);
            row!(2);
        }
    }

    /// One output of which only `taps` of each row lie inside.
    #[inline(always)]
    unsafe fn alone<const PART: bool>(
        &mut self,
        lines: [*const f32; 3],
        taps: Range<usize>,
        d: *const f32,
        pixel: usize,
        lanes: Lanes,
    ) {
        // SAFETY: the caller vouches for the columns.
        unsafe {
            let d = lanes.load::<S, PART, NV>(d);
            for (total, d) in self.total.iter_mut().zip(&d) {
                *total = S::add(*total, *d);
            }
            for (line, sums) in lines.into_iter().zip(&mut self.taps) {
                // The taps by name: which of them there are is not known where this is compiled.
                for (tap, sum) in sums.iter_mut().enumerate() {
                    if taps.contains(&tap) {
                        let x = lanes.load::<S, PART, NV>(line.byte_add((tap - taps.start) * pixel));
                        for v in 0..NV {
                            sum[v] = S::fma(x[v], d[v], sum[v]);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn add_to<const PART: bool>(self, c: usize, at: usize, lanes: Lanes, to: CheckedGradients) {
        // SAFETY: the caller vouches for the channels.
        unsafe {
            let scale = lanes.load::<S, PART, NV>(to.scale.add(at));
            for (t, sum) in self.taps.into_iter().flatten().enumerate() {
                let to = to.dw.add(t * c + at);
                let before = lanes.load::<S, PART, NV>(to);
                let after = std::array::from_fn(|v| S::fma(sum[v], scale[v], before[v]));
                lanes.store::<S, PART, NV>(to, after);
            }
            let to = to.db.add(at);
            let before = lanes.load::<S, PART, NV>(to);
            lanes.store::<S, PART, NV>(to, std::array::from_fn(|v| S::add(before[v], self.total[v])));
        }
    }
}
