//! The sizes of a 3x3 depthwise layer, its rows and its weights as the kernels take them.

use crate::kernel::shape::ConvGeometry;
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Sizes of one image: input `[h, w, c]`, output `[oh, ow, c]`, stride 1 or 2.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Plane {
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
    pub c: usize,
    pub stride: usize,
    pub top: usize,
    pub left: usize,
}

impl Plane {
    pub(in crate::kernel) fn of(g: &ConvGeometry) -> Self {
        let ConvGeometry { h, w, oh, ow, cout, stride, top, left, .. } = *g;
        Self { h, w, oh, ow, c: cout, stride, top, left }
    }

    /// Whether these kernels can do it.
    pub(in crate::kernel) fn fits(g: &ConvGeometry) -> bool {
        g.kh == 3 && g.kw == 3 && g.stride <= 2 && g.top <= 2 && g.left <= 2
    }

    /// Output columns whose three taps of a row all lie inside.
    pub(super) fn inner(&self) -> Range<usize> {
        let begin = self.left.div_ceil(self.stride).min(self.ow);
        let end = if self.w + self.left < 3 { 0 } else { (self.w + self.left - 3) / self.stride + 1 };
        begin..end.min(self.ow).max(begin)
    }

    /// Taps of a row, from and up to, that lie inside at output column `ox`; equal where none does.
    pub(super) fn taps_inside(&self, ox: usize) -> (usize, usize) {
        let begin = ox * self.stride;
        let (from, to) = (self.left.saturating_sub(begin).min(3), (self.w + self.left).saturating_sub(begin).min(3));
        (from, to.max(from))
    }

    /// Input rows that output rows read.
    pub(in crate::kernel) fn inputs(&self, outputs: Range<usize>) -> Range<usize> {
        let first = (outputs.start * self.stride).saturating_sub(self.top);
        let last = ((outputs.end - 1) * self.stride + 3).saturating_sub(self.top);
        first.min(self.h)..last.min(self.h)
    }

    /// Input rows that belong to output rows `outputs` alone: those from the first that they read up to the first that
    /// the outputs behind them read. Over all outputs the shares cover the input once.
    pub(in crate::kernel) fn share(&self, outputs: &Range<usize>) -> Range<usize> {
        let begin = |o: usize| if o == 0 { 0 } else { self.inputs(o..o + 1).start };
        begin(outputs.start)..if outputs.end == self.oh { self.h } else { begin(outputs.end) }
    }

    /// Output rows that read any of these input rows.
    pub(in crate::kernel) fn outputs(&self, inputs: Range<usize>) -> Range<usize> {
        let first = (inputs.start + self.top).saturating_sub(2).div_ceil(self.stride);
        let last = (inputs.end - 1 + self.top) / self.stride + 1;
        first.min(self.oh)..last.min(self.oh)
    }
}

/// Rows of an image, `[rows, width, c]`, where row r of the image is row r modulo `rows`: the whole image, or a ring
/// that holds the last few.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Band<'a> {
    pub data: &'a [f32],
    pub rows: usize,
}

impl<'a> Band<'a> {
    /// A whole image of `rows` rows.
    pub(in crate::kernel) fn whole(data: &'a [f32], rows: usize) -> Self {
        Self { data, rows }
    }

    pub(super) fn covers(&self, rows: Range<usize>, row: usize) -> bool {
        rows.is_empty() || rows.len() <= self.rows && self.rows * row <= self.data.len()
    }

    pub(super) fn raw(&self) -> RawBand {
        RawBand { data: self.data.as_ptr(), rows: self.rows }
    }
}

/// A [`Band`] whose bounds were checked.
#[derive(Clone, Copy)]
pub(super) struct RawBand {
    pub(super) data: *const f32,
    rows: usize,
}

impl RawBand {
    pub(super) const NONE: RawBand = RawBand { data: std::ptr::null(), rows: 1 };

    /// Row `r` of the image, each of `row` numbers.
    #[inline(always)]
    pub(super) unsafe fn row(self, r: usize, row: usize) -> *const f32 {
        // SAFETY: the caller checked that the band holds the row.
        unsafe { self.data.add((r % self.rows) * row) }
    }

    /// The three rows of the plane's input that output row `oy` reads; `zeros` for those on padding.
    #[inline(always)]
    pub(super) unsafe fn lines(self, plane: &Plane, oy: usize, zeros: *const f32) -> [*const f32; 3] {
        std::array::from_fn(|i| match (oy * plane.stride + i).checked_sub(plane.top) {
            // SAFETY: the caller checked that the band holds the rows.
            Some(iy) if iy < plane.h => unsafe { self.row(iy, plane.w * plane.c) },
            _ => zeros,
        })
    }
}

/// Nine rows of weights ready for use, and the sum's start.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel) struct Weights {
    /// `[3, 3, c]`.
    pub(super) taps: Vec<f32>,
    /// `[c]`.
    pub(super) bias: Vec<f32>,
}

impl Weights {
    /// For the way forward: `weight` `[3, 3, c]` times `scale`.
    pub(in crate::kernel) fn forward(&mut self, weight: &[f32], scale: &[f32], bias: &[f32]) {
        self.fill(weight.chunks_exact(scale.len()), scale);
        self.bias.clear();
        self.bias.extend_from_slice(bias);
    }

    /// For the gradient of the input. At stride 1 that is a convolution with the kernel turned round.
    pub(in crate::kernel) fn backward(&mut self, weight: &[f32], scale: &[f32], stride: usize) {
        let rows = weight.chunks_exact(scale.len());
        if stride == 1 {
            self.fill(rows.rev(), scale)
        } else {
            self.fill(rows, scale)
        }
        self.bias.clear();
        self.bias.resize(scale.len(), 0.0);
    }

    fn fill<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]>, scale: &[f32]) {
        self.taps.clear();
        rows.for_each(|row| self.taps.extend(row.iter().zip(scale).map(|(w, s)| w * s)));
    }
}

/// Zeros that stand in for rows and columns of padding; long enough for a row of the image.
pub(in crate::kernel) type Zeros<'a> = &'a [f32];

pub(super) fn check(plane: &Plane, weights: &Weights, zeros: Zeros, row: usize) {
    assert!(weights.taps.len() == 9 * plane.c && weights.bias.len() == plane.c, "weights of {plane:?}");
    assert!(zeros.len() >= row, "zeros for {plane:?}");
}

/// Vectors of channels as whole ones and perhaps a part at the end.
#[derive(Clone, Copy)]
pub(super) struct Lanes(pub(super) usize);

impl Lanes {
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd, const PART: bool>(self, from: *const f32) -> S::V {
        // SAFETY: the caller vouches for as many numbers as there are lanes.
        unsafe { if PART { S::load_part(from, self.0) } else { S::load(from) } }
    }

    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const PART: bool>(self, to: *mut f32, v: S::V) {
        // SAFETY: as above.
        unsafe { if PART { S::store_part(to, v, self.0) } else { S::store(to, v) } }
    }
}

/// Runs `$body::<S, PART>` for every vector of channels.
macro_rules! each_vector {
    ($c:expr, $at:ident, $lanes:ident, $part:ident => $body:expr) => {
        let mut $at = 0;
        while $at + S::LANES <= $c {
            const $part: bool = false;
            let $lanes = $crate::kernel::depthwise::plane::Lanes(S::LANES);
            $body;
            $at += S::LANES;
        }
        if $at < $c {
            const $part: bool = true;
            let $lanes = $crate::kernel::depthwise::plane::Lanes($c - $at);
            $body;
        }
    };
}
pub(super) use each_vector;

/// Runs `$outputs!(stride, G, ox, FROM, TO)` for all outputs of a row: `G` neighbours from `ox` on, of which taps `FROM`
/// to `TO` of each row lie inside. Those at the edges come first and alone, the others in the groups that are named for
/// either stride, the largest first.
macro_rules! along_row {
    ($plane:expr, $inner:expr, $outputs:ident, 1: [$($one:literal)*], 2: [$($two:literal)*]) => {
        if $plane.stride == 1 {
            $crate::kernel::depthwise::plane::along_row!($plane, $inner, $outputs, 1, $($one)*);
        } else {
            $crate::kernel::depthwise::plane::along_row!($plane, $inner, $outputs, 2, $($two)*);
        }
    };
    ($plane:expr, $inner:expr, $outputs:ident, $stride:literal, $($g:literal)*) => {
        for ox in (0..$inner.start).chain($inner.end..$plane.ow) {
            match $plane.taps_inside(ox) {
                (0, 2) => { $outputs!($stride, 1, ox, 0, 2); }
                (1, 3) => { $outputs!($stride, 1, ox, 1, 3); }
                (0, 1) => { $outputs!($stride, 1, ox, 0, 1); }
                (1, 2) => { $outputs!($stride, 1, ox, 1, 2); }
                (2, 3) => { $outputs!($stride, 1, ox, 2, 3); }
                _ => { $outputs!($stride, 1, ox, 0, 0); }
            }
        }
        let mut ox = $inner.start;
        $(
            while $inner.end - ox >= $g {
                $outputs!($stride, $g, ox, 0, 3);
                ox += $g;
            }
        )*
    };
}
pub(super) use along_row;
