//! Depthwise 3x3 convolutions over some rows of one image, in three directions.
//!
//! One vector of channels at a time: its nine weights stay in registers while all rows and columns run. Taps that fall
//! on padding read zeros. Frozen scale is worked into the weights ([`Weights`]) on the way forward and to the input,
//! and multiplied into the sums of the weight gradient.

use super::gemm::End;
use super::isa::{Isa, per_simd};
use super::shape::ConvGeometry;
use super::simd::Simd;
use std::ops::Range;

/// Sizes of one image: input `[h, w, c]`, output `[oh, ow, c]`, stride 1 or 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
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
    pub(super) fn of(g: &ConvGeometry) -> Self {
        let ConvGeometry { h, w, oh, ow, cout, stride, top, left, .. } = *g;
        Self { h, w, oh, ow, c: cout, stride, top, left }
    }

    /// Whether these kernels can do it.
    pub(super) fn fits(g: &ConvGeometry) -> bool {
        g.kh == 3 && g.kw == 3 && g.stride <= 2 && g.top <= 2 && g.left <= 2
    }

    /// Input rows that output rows read.
    pub(super) fn inputs(&self, outputs: Range<usize>) -> Range<usize> {
        let first = (outputs.start * self.stride).saturating_sub(self.top);
        let last = ((outputs.end - 1) * self.stride + 3).saturating_sub(self.top);
        first.min(self.h)..last.min(self.h)
    }

    /// Output rows that read any of these input rows.
    pub(super) fn outputs(&self, inputs: Range<usize>) -> Range<usize> {
        let first = (inputs.start + self.top).saturating_sub(2).div_ceil(self.stride);
        let last = (inputs.end - 1 + self.top) / self.stride + 1;
        first.min(self.oh)..last.min(self.oh)
    }
}

/// Some rows of an image, `[rows, width, c]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band<'a> {
    pub data: &'a [f32],
    /// Index of the first row in the image.
    pub first: usize,
}

impl Band<'_> {
    fn covers(&self, rows: Range<usize>, row: usize) -> bool {
        rows.is_empty() || self.first <= rows.start && (rows.end - self.first) * row <= self.data.len()
    }
}

/// Nine rows of weights ready for use, and the sum's start.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    /// `[3, 3, c]`.
    taps: Vec<f32>,
    /// `[c]`.
    bias: Vec<f32>,
}

impl Weights {
    /// For the way forward: `weight` `[3, 3, c]` times `scale`.
    pub(super) fn forward(&mut self, weight: &[f32], scale: &[f32], bias: &[f32]) {
        self.fill(weight.chunks_exact(scale.len()), scale);
        self.bias.clear();
        self.bias.extend_from_slice(bias);
    }

    /// For the gradient of the input. At stride 1 that is a convolution with the kernel turned round.
    pub(super) fn backward(&mut self, weight: &[f32], scale: &[f32], stride: usize) {
        let rows = weight.chunks_exact(scale.len());
        if stride == 1 { self.fill(rows.rev(), scale) } else { self.fill(rows, scale) }
        self.bias.clear();
        self.bias.resize(scale.len(), 0.0);
    }

    fn fill<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]>, scale: &[f32]) {
        self.taps.clear();
        rows.for_each(|row| self.taps.extend(row.iter().zip(scale).map(|(w, s)| w * s)));
    }
}

/// Zeros that stand in for rows and columns of padding; long enough for a row of the image.
pub(super) type Zeros<'a> = &'a [f32];

/// Output rows `rows`: `y = end(bias + conv(x, w))`, `[rows, ow, c]`, overwritten.
///
/// # Panics
/// If a buffer is too short.
pub(super) fn forward(
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

/// Gradient of input rows `rows` before anything that precedes them: `dx = where 0 < mask < 6: convᵀ(dy, w)`,
/// `[rows, w, c]`, overwritten; without a mask, everywhere. `sums` `[c]`: the sum of `dx` over pixels is **added**.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(super) fn backward_input(
    isa: Isa,
    plane: &Plane,
    dy: Band,
    weights: &Weights,
    zeros: Zeros,
    rows: Range<usize>,
    dx: &mut [f32],
    mask: Option<&[f32]>,
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
    assert!(dx.len() >= rows.len() * row && mask.is_none_or(|m| m.len() >= rows.len() * row), "gradient of {plane:?}");
    assert!(sums.as_ref().is_none_or(|s| s.len() == c), "sums of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        spread_raw(
            isa,
            *plane,
            dy.data.as_ptr(),
            dy.first,
            weights.taps.as_ptr(),
            zeros.as_ptr(),
            rows,
            dx.as_mut_ptr(),
            mask.map_or(std::ptr::null(), <[f32]>::as_ptr),
            sums.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
        )
    }
}

/// `dw[i,j,c] += scale[c]·Σ x[y·s+i−top, x·s+j−left, c]·dy[y,x,c]` and `db[c] += Σ dy[y,x,c]` over output rows `rows`.
/// `dy` begins with row `rows.start`.
///
/// # Panics
/// If a buffer is too short.
#[allow(clippy::too_many_arguments)]
pub(super) fn backward_weight(
    isa: Isa,
    plane: &Plane,
    x: Band,
    dy: &[f32],
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
    assert!(dy.len() >= rows.len() * plane.ow * c && zeros.len() >= plane.w * c, "output gradient of {plane:?}");
    assert!(dw.len() == 9 * c && db.len() == c && scale.len() == c, "weight gradient of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        weight_raw(
            isa,
            *plane,
            x.data.as_ptr(),
            x.first,
            dy.as_ptr(),
            zeros.as_ptr(),
            rows,
            scale.as_ptr(),
            dw.as_mut_ptr(),
            db.as_mut_ptr(),
        )
    }
}

fn check(plane: &Plane, weights: &Weights, zeros: Zeros, row: usize) {
    assert!(weights.taps.len() == 9 * plane.c && weights.bias.len() == plane.c, "weights of {plane:?}");
    assert!(zeros.len() >= row, "zeros for {plane:?}");
}

#[allow(clippy::too_many_arguments)]
fn gather(
    isa: Isa,
    plane: &Plane,
    x: Band,
    weights: &Weights,
    zeros: Zeros,
    rows: Range<usize>,
    y: &mut [f32],
    end: End,
    aux: Option<&[f32]>,
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
    assert!(aux.is_none_or(|a| a.len() >= rows.len() * plane.ow * c), "mask of {plane:?}");
    assert!(sums.as_ref().is_none_or(|s| s.len() == c), "sums of {plane:?}");
    // SAFETY: the assertions above.
    unsafe {
        gather_raw(
            isa,
            *plane,
            x.data.as_ptr(),
            x.first,
            weights.taps.as_ptr(),
            weights.bias.as_ptr(),
            zeros.as_ptr(),
            rows,
            y.as_mut_ptr(),
            end,
            aux.map_or(std::ptr::null(), <[f32]>::as_ptr),
            sums.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
        )
    }
}

/// Vectors of channels as whole ones and perhaps a part at the end.
#[derive(Clone, Copy)]
struct Lanes(usize);

impl Lanes {
    #[inline(always)]
    unsafe fn load<S: Simd, const PART: bool>(self, from: *const f32) -> S::V {
        // SAFETY: the caller vouches for as many numbers as there are lanes.
        unsafe { if PART { S::load_part(from, self.0) } else { S::load(from) } }
    }

    #[inline(always)]
    unsafe fn store<S: Simd, const PART: bool>(self, to: *mut f32, v: S::V) {
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
            let $lanes = Lanes(S::LANES);
            $body;
            $at += S::LANES;
        }
        if $at < $c {
            const $part: bool = true;
            let $lanes = Lanes($c - $at);
            $body;
        }
    };
}

per_simd! {
    unsafe fn gather_raw(
        plane: Plane,
        x: *const f32,
        first: usize,
        taps: *const f32,
        bias: *const f32,
        zeros: *const f32,
        rows: Range<usize>,
        y: *mut f32,
        end: End,
        aux: *const f32,
        sums: *mut f32,
    ) = gather_body
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn gather_body<S: Simd>(
    plane: Plane,
    x: *const f32,
    first: usize,
    taps: *const f32,
    bias: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    y: *mut f32,
    end: End,
    aux: *const f32,
    sums: *mut f32,
) {
    let c = plane.c;
    // Outputs whose three columns all lie inside.
    let inner = plane.left.div_ceil(plane.stride);
    let end_inner = if plane.w + plane.left < 3 { 0 } else { (plane.w + plane.left - 3) / plane.stride + 1 };
    let inner = inner.min(plane.ow)..end_inner.min(plane.ow).max(inner.min(plane.ow));
    // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
    unsafe {
        each_vector!(c, at, lanes, PART => {
            let w: [[S::V; 3]; 3] =
                std::array::from_fn(|i| std::array::from_fn(|j| lanes.load::<S, PART>(taps.add((i * 3 + j) * c + at))));
            let b = lanes.load::<S, PART>(bias.add(at));
            let mut total = S::splat(0.0);
            for (r, oy) in rows.clone().enumerate() {
                let lines: [*const f32; 3] = std::array::from_fn(|i| {
                    match (oy * plane.stride + i).checked_sub(plane.top) {
                        Some(iy) if iy < plane.h => x.add((iy - first) * plane.w * c + at),
                        _ => zeros,
                    }
                });
                let begin = r * plane.ow * c + at;
                let out = Out { y: y.add(begin), aux: if aux.is_null() { aux } else { aux.add(begin) }, end, c, lanes };
                for ox in (0..inner.start).chain(inner.end..plane.ow) {
                    let sum = edge::<S, PART>(&plane, lines, ox, &w, b, lanes);
                    total = S::add(total, out.put::<S, PART>(ox, sum));
                }
                let mut ox = inner.start;
                macro_rules! run {
                    ($stride:literal, $g:expr) => {
                        while ox + $g <= inner.end {
                            let from = ox * $stride - plane.left;
                            let got = columns::<S, PART, $stride, { $g }>(lines, from, c, &w, b, lanes);
                            for (o, &sum) in got.iter().enumerate() {
                                total = S::add(total, out.put::<S, PART>(ox + o, sum));
                            }
                            ox += $g;
                        }
                    };
                }
                if plane.stride == 1 {
                    if S::MANY {
                        run!(1, 4);
                    }
                    run!(1, 2);
                    run!(1, 1);
                } else {
                    if S::MANY {
                        run!(2, 4);
                    }
                    run!(2, 2);
                    run!(2, 1);
                }
            }
            if !sums.is_null() {
                let to = sums.add(at);
                let old = lanes.load::<S, PART>(to);
                lanes.store::<S, PART>(to, S::add(old, total));
            }
        });
    }
}

/// Where one row of outputs goes, from the first channel of the vector on.
#[derive(Clone, Copy)]
struct Out {
    y: *mut f32,
    aux: *const f32,
    end: End,
    c: usize,
    lanes: Lanes,
}

impl Out {
    /// Ends and stores the sum of column `ox`; returns what it became.
    #[inline(always)]
    unsafe fn put<S: Simd, const PART: bool>(&self, ox: usize, sum: S::V) -> S::V {
        // SAFETY: the caller vouches for the column.
        unsafe {
            let sum = match self.end {
                End::Clamp => S::clamp6(sum),
                End::Mask => S::mask6(sum, self.lanes.load::<S, PART>(self.aux.add(ox * self.c))),
                End::Store | End::Add => sum,
            };
            self.lanes.store::<S, PART>(self.y.add(ox * self.c), sum);
            sum
        }
    }
}

/// `G` neighbouring outputs, all of whose columns lie inside; the first reads from column `from`.
#[inline(always)]
unsafe fn columns<S: Simd, const PART: bool, const STRIDE: usize, const G: usize>(
    lines: [*const f32; 3],
    from: usize,
    c: usize,
    w: &[[S::V; 3]; 3],
    b: S::V,
    lanes: Lanes,
) -> [S::V; G] {
    let mut sums = [b; G];
    for (line, w) in lines.into_iter().zip(w) {
        // SAFETY: the caller vouches for the columns.
        unsafe {
            let line = line.add(from * c);
            for i in 0..(G - 1) * STRIDE + 3 {
                let x = lanes.load::<S, PART>(line.add(i * c));
                for (o, sum) in sums.iter_mut().enumerate() {
                    if i >= o * STRIDE && i < o * STRIDE + 3 {
                        *sum = S::fma(x, w[i - o * STRIDE], *sum);
                    }
                }
            }
        }
    }
    sums
}

/// One output of which some columns fall on padding.
#[inline(always)]
unsafe fn edge<S: Simd, const PART: bool>(
    plane: &Plane,
    lines: [*const f32; 3],
    ox: usize,
    w: &[[S::V; 3]; 3],
    b: S::V,
    lanes: Lanes,
) -> S::V {
    let mut sum = b;
    for j in 0..3 {
        let Some(ix) = (ox * plane.stride + j).checked_sub(plane.left).filter(|&ix| ix < plane.w) else { continue };
        for (i, line) in lines.into_iter().enumerate() {
            // SAFETY: the column lies inside the row.
            let x = unsafe { lanes.load::<S, PART>(line.add(ix * plane.c)) };
            // SAFETY: plain arithmetic on this instruction set.
            sum = unsafe { S::fma(x, w[i][j], sum) };
        }
    }
    sum
}

per_simd! {
    unsafe fn spread_raw(
        plane: Plane,
        dy: *const f32,
        first: usize,
        taps: *const f32,
        zeros: *const f32,
        rows: Range<usize>,
        dx: *mut f32,
        mask: *const f32,
        sums: *mut f32,
    ) = spread_body
}

/// The gradient of the input at stride 2: each input row hears of one or two output rows, each column likewise.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn spread_body<S: Simd>(
    plane: Plane,
    dy: *const f32,
    first: usize,
    taps: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    dx: *mut f32,
    mask: *const f32,
    sums: *mut f32,
) {
    let (c, row) = (plane.c, plane.ow * plane.c);
    // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
    unsafe {
        each_vector!(c, at, lanes, PART => {
            let line = |oy: Option<usize>| match oy {
                Some(oy) if oy < plane.oh => dy.add((oy - first) * row + at),
                _ => zeros,
            };
            let mut total = S::splat(0.0);
            for (r, iy) in rows.clone().enumerate() {
                let (t, out) = (iy + plane.top, r * plane.w * c + at);
                // Rows of taps and the lines of dy that they meet here.
                let (count, lines) = if t % 2 == 1 {
                    (1, [(1, line(Some(t / 2))), (1, zeros)])
                } else {
                    (2, [(0, line(Some(t / 2))), (2, line((t / 2).checked_sub(1)))])
                };
                let w: [[S::V; 3]; 2] = std::array::from_fn(|i| {
                    std::array::from_fn(|j| lanes.load::<S, PART>(taps.add((lines[i].0 * 3 + j) * c + at)))
                });
                let load = |i: usize, ox: Option<usize>| match ox {
                    Some(ox) if ox < plane.ow => lanes.load::<S, PART>(lines[i].1.add(ox * c)),
                    _ => S::splat(0.0),
                };
                let (aux, end) =
                    if mask.is_null() { (mask, End::Store) } else { (mask.add(out), End::Mask) };
                let out = Out { y: dx.add(out), aux, end, c, lanes };
                // Pairs of columns (2·ox − left, 2·ox + 1 − left) hear of outputs ox and ox − 1.
                let pairs = (plane.w + plane.left).div_ceil(2);
                let mut before: [S::V; 2] = [S::splat(0.0); 2];
                for ox in 0..pairs {
                    let here: [S::V; 2] =
                        std::array::from_fn(|i| if i < count { load(i, Some(ox)) } else { S::splat(0.0) });
                    if let Some(ix) = (2 * ox).checked_sub(plane.left) {
                        let mut sum = S::fma(here[0], w[0][0], S::mul(before[0], w[0][2]));
                        if count == 2 {
                            sum = S::fma(here[1], w[1][0], S::fma(before[1], w[1][2], sum));
                        }
                        total = S::add(total, out.put::<S, PART>(ix, sum));
                    }
                    if let Some(ix) = (2 * ox + 1).checked_sub(plane.left).filter(|&ix| ix < plane.w) {
                        let mut sum = S::mul(here[0], w[0][1]);
                        if count == 2 {
                            sum = S::fma(here[1], w[1][1], sum);
                        }
                        total = S::add(total, out.put::<S, PART>(ix, sum));
                    }
                    before = here;
                }
            }
            if !sums.is_null() {
                let to = sums.add(at);
                let old = lanes.load::<S, PART>(to);
                lanes.store::<S, PART>(to, S::add(old, total));
            }
        });
    }
}

per_simd! {
    unsafe fn weight_raw(
        plane: Plane,
        x: *const f32,
        first: usize,
        dy: *const f32,
        zeros: *const f32,
        rows: Range<usize>,
        scale: *const f32,
        dw: *mut f32,
        db: *mut f32,
    ) = weight_body
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn weight_body<S: Simd>(
    plane: Plane,
    x: *const f32,
    first: usize,
    dy: *const f32,
    zeros: *const f32,
    rows: Range<usize>,
    scale: *const f32,
    dw: *mut f32,
    db: *mut f32,
) {
    let c = plane.c;
    let inner = plane.left.div_ceil(plane.stride);
    let end_inner = if plane.w + plane.left < 3 { 0 } else { (plane.w + plane.left - 3) / plane.stride + 1 };
    let inner = inner.min(plane.ow)..end_inner.min(plane.ow).max(inner.min(plane.ow));
    // SAFETY: rows, columns and channels lie inside the buffers; those that do not are read from `zeros`.
    unsafe {
        each_vector!(c, at, lanes, PART => {
            let mut sums = [[S::splat(0.0); 3]; 3];
            let mut total = S::splat(0.0);
            for (r, oy) in rows.clone().enumerate() {
                let lines: [*const f32; 3] = std::array::from_fn(|i| {
                    match (oy * plane.stride + i).checked_sub(plane.top) {
                        Some(iy) if iy < plane.h => x.add((iy - first) * plane.w * c + at),
                        _ => zeros,
                    }
                });
                let d = dy.add(r * plane.ow * c + at);
                for ox in (0..inner.start).chain(inner.end..plane.ow) {
                    let d = lanes.load::<S, PART>(d.add(ox * c));
                    total = S::add(total, d);
                    for j in 0..3 {
                        let ix = (ox * plane.stride + j).checked_sub(plane.left).filter(|&ix| ix < plane.w);
                        let Some(ix) = ix else { continue };
                        for (line, sums) in lines.into_iter().zip(&mut sums) {
                            sums[j] = S::fma(lanes.load::<S, PART>(line.add(ix * c)), d, sums[j]);
                        }
                    }
                }
                let mut ox = inner.start;
                // Two outputs side by side share a column at stride 2 and two at stride 1.
                macro_rules! run {
                    ($stride:literal, $g:literal) => {
                        while ox + $g <= inner.end {
                            let from = ox * $stride - plane.left;
                            let ds: [S::V; $g] =
                                std::array::from_fn(|o| lanes.load::<S, PART>(d.add((ox + o) * c)));
                            for &d in &ds {
                                total = S::add(total, d);
                            }
                            for (line, sums) in lines.into_iter().zip(&mut sums) {
                                let line = line.add(from * c);
                                for i in 0..($g - 1) * $stride + 3 {
                                    let x = lanes.load::<S, PART>(line.add(i * c));
                                    for (o, &d) in ds.iter().enumerate() {
                                        if i >= o * $stride && i < o * $stride + 3 {
                                            sums[i - o * $stride] = S::fma(x, d, sums[i - o * $stride]);
                                        }
                                    }
                                }
                            }
                            ox += $g;
                        }
                    };
                }
                if plane.stride == 1 {
                    run!(1, 2);
                    run!(1, 1);
                } else {
                    run!(2, 2);
                    run!(2, 1);
                }
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
