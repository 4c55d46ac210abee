//! The sizes of a 3x3 depthwise layer, its rows and its weights as the kernels take them.

use crate::kernel::isa::Isa;
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

    /// True if these kernels can do it.
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

    /// Channels that all outputs of some rows are computed for before the next are, so that the three rows they read,
    /// and their weights, stay in the first-level cache. All of them where rows are wide: few channels at a time would
    /// jump from line to line.
    pub(super) fn channel_blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (c, fitting) = (self.c, NEAR_FLOATS / (3 * self.w) / WHOLE_GROUPS * WHOLE_GROUPS);
        let block = if fitting < 4 * WHOLE_GROUPS { c } else { fitting };
        (0..c).step_by(block).map(move |begin| begin..c.min(begin + block))
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

/// Numbers of three rows that stay in the first-level cache beside weights and outputs.
const NEAR_FLOATS: usize = 6 << 10;

/// A number of channels that is whole groups of every instruction set.
const WHOLE_GROUPS: usize = 16;

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

/// Taps and the sum's start, ready for use: for every group of channels that the kernels work on together, nine rows of
/// taps and one of starts, one group behind the other. That of channel `c` begins at `10·c`.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel) struct PackedTaps {
    numbers: Vec<f32>,
    lanes: usize,
}

/// Rows of numbers of a group of channels.
pub(super) const GROUP_ROWS: usize = 10;

impl PackedTaps {
    /// For the forward pass: `weight` `[3, 3, c]` times `scale`.
    pub(in crate::kernel) fn forward(&mut self, isa: Isa, weight: &[f32], scale: &[f32], bias: &[f32]) {
        self.fill(isa, weight, scale, Some(bias), false);
    }

    /// For the gradient of the input. At stride 1 that is a convolution with the kernel turned round.
    pub(in crate::kernel) fn backward(&mut self, isa: Isa, weight: &[f32], scale: &[f32], stride: usize) {
        self.fill(isa, weight, scale, None, stride == 1);
    }

    fn fill(&mut self, isa: Isa, weight: &[f32], scale: &[f32], bias: Option<&[f32]>, turned: bool) {
        let (c, lanes) = (scale.len(), isa.lanes());
        assert!(weight.len() == 9 * c && bias.is_none_or(|b| b.len() == c), "weights of {c} channels");
        self.lanes = lanes;
        self.numbers.clear();
        let mut at = 0;
        while at < c {
            let left = c - at;
            let together = isa.channels_together();
            let width = if left >= together { together } else { left.min(lanes) };
            let group = at..at + width;
            for tap in 0..9 {
                let row = &weight[if turned { 8 - tap } else { tap } * c..][group.clone()];
                self.numbers.extend(row.iter().zip(&scale[group.clone()]).map(|(w, s)| w * s));
            }
            match bias {
                Some(bias) => self.numbers.extend_from_slice(&bias[group]),
                None => self.numbers.resize(self.numbers.len() + width, 0.0),
            }
            at += width;
        }
    }

    pub(super) fn as_ptr(&self) -> *const f32 {
        self.numbers.as_ptr()
    }
}

/// Zeros that stand in for rows and columns of padding; long enough for a row of the image.
pub(in crate::kernel) type Zeros<'a> = &'a [f32];

/// A layer as the kernels that gather and spread over its taps take it.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct NineTaps<'a> {
    pub plane: &'a Plane,
    pub weights: &'a PackedTaps,
    pub zeros: Zeros<'a>,
}

pub(super) fn check(isa: Isa, taps: NineTaps, row: usize) {
    let NineTaps { plane, weights, zeros } = taps;
    assert!(weights.numbers.len() == GROUP_ROWS * plane.c && weights.lanes == isa.lanes(), "weights of {plane:?}");
    assert!(zeros.len() >= row, "zeros for {plane:?}");
}

/// Channels worked on together: whole vectors, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Lanes(pub(super) usize);

impl Lanes {
    /// `NV` vectors side by side, or the part of one.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd, const PART: bool, const NV: usize>(self, from: *const f32) -> [S::V; NV] {
        std::array::from_fn(|v| {
            // SAFETY: the caller vouches for as many numbers as there are lanes.
            unsafe { if PART { S::load_part(from, self.0) } else { S::load(from.add(v * S::LANES)) } }
        })
    }

    /// As [`Lanes::load`]; `from` moves on by `step` bytes.
    #[inline(always)]
    pub(super) unsafe fn next<S: Simd, const PART: bool, const NV: usize>(
        self,
        from: &mut *const f32,
        step: usize,
    ) -> [S::V; NV] {
        // SAFETY: as above.
        let vectors = unsafe { self.load::<S, PART, NV>(*from) };
        *from = S::opaque(from.wrapping_byte_add(step));
        vectors
    }

    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const PART: bool, const NV: usize>(self, to: *mut f32, vectors: [S::V; NV]) {
        for (v, &vector) in vectors.iter().enumerate() {
            // SAFETY: as above.
            unsafe { if PART { S::store_part(to, vector, self.0) } else { S::store(to.add(v * S::LANES), vector) } }
        }
    }
}

/// Runs `$body` for every group of `$channels`, the one from `$at` on, of `$nv` vectors: first those of as many as this
/// instruction set works on together, then single ones, then perhaps a part of one.
macro_rules! each_group {
    ($channels:expr, $at:ident, $lanes:ident, $nv:ident, $part:ident => $body:expr) => {
        let std::ops::Range { start: mut $at, end } = $channels;
        if S::WIDE == 2 {
            while $at + 2 * S::LANES <= end {
                const $nv: usize = 2;
                const $part: bool = false;
                let $lanes = $crate::kernel::depthwise::plane::Lanes(S::LANES);
                $body;
                $at += 2 * S::LANES;
            }
        }
        while $at + S::LANES <= end {
            const $nv: usize = 1;
            const $part: bool = false;
            let $lanes = $crate::kernel::depthwise::plane::Lanes(S::LANES);
            $body;
            $at += S::LANES;
        }
        if $at < end {
            const $nv: usize = 1;
            const $part: bool = true;
            let $lanes = $crate::kernel::depthwise::plane::Lanes(end - $at);
            $body;
        }
    };
}
pub(super) use each_group;

/// How the outputs of a row hang together: from `first` up to `end` each has its three columns of taps inside, but for
/// the first tap of the first where the row is `opening`, and for the last of the last where it is `closing`.
#[derive(Clone, Copy)]
pub(super) struct RowOutputs {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) opening: bool,
    pub(super) closing: bool,
}

impl RowOutputs {
    pub(super) fn of(plane: &Plane) -> Self {
        let inner = plane.inner();
        let opening = inner.start > 0 && plane.taps_inside(inner.start - 1) == (1, 3);
        let closing = inner.end < plane.ow && plane.taps_inside(inner.end) == (0, 2);
        Self { first: inner.start - usize::from(opening), end: inner.end + usize::from(closing), opening, closing }
    }
}

/// Runs `$outputs!(G, ox, FROM, TO)` for the outputs of a row in groups of `G` neighbours from `ox` on, of which the
/// first has its taps from `FROM` on inside and the last those up to `TO`; and `$alone!(ox, from, to)` for those that
/// lack other taps or find no group. Groups are as large as named, the first the largest; few are opening or closing,
/// so that not every size is compiled three times.
macro_rules! along_row {
    ($plane:expr, $along:expr, $outputs:ident, $alone:ident, [$large:literal $($g:literal)*]) => {
        let whole = $along.end - usize::from($along.closing);
        for ox in (0..$along.first).chain($along.end..$plane.ow) {
            let (from, to) = $plane.taps_inside(ox);
            $alone!(ox, from, to);
        }
        let mut ox = $along.first;
        if $along.opening {
            if whole - ox >= $large {
                $outputs!($large, ox, 1, 3);
                ox += $large;
            } else {
                let (from, to) = $plane.taps_inside(ox);
                $alone!(ox, from, to);
                ox += 1;
            }
        }
        while whole.saturating_sub(ox) >= $large {
            $outputs!($large, ox, 0, 3);
            ox += $large;
        }
        $(
            while whole.saturating_sub(ox) >= $g {
                $outputs!($g, ox, 0, 3);
                ox += $g;
            }
        )*
        // One is left for the group that closes.
        let closing = usize::from($along.closing);
        while whole.saturating_sub(ox) >= 2 + closing {
            $outputs!(2, ox, 0, 3);
            ox += 2;
        }
        while whole.saturating_sub(ox) > closing {
            $outputs!(1, ox, 0, 3);
            ox += 1;
        }
        if $along.closing {
            if whole > ox {
                $outputs!(2, ox, 0, 2);
            } else {
                $alone!(whole, 0, 2);
            }
        }
    };
}
pub(super) use along_row;
