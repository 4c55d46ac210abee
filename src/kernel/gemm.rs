//! Matrix products with everything around them fused in.
//!
//! `Y[m,n] = end(bias + X[m,k]·B[k,n])`: B is packed once into panels of [`Simd::VECTORS`] vectors' width with its bias in front and
//! its scale worked in; a tile of [`Simd::ROWS`] rows by one panel stays in registers while k runs; `end` is applied
//! before the tile is stored. X is read where it lies.
//!
//! `dW[k,n] += scale[n]·Σ_m X[m,k]·G[m,n]`: both operands are read where they lie, a tile of dW stays in registers
//! while m runs.

use super::isa::{Isa, per_simd};
use super::simd::Simd;

/// What becomes of a sum before it is stored. `aux` has the shape and place of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Store,
    /// ReLU6.
    Clamp,
    /// Plus `aux`.
    Add,
    /// Where `0 < aux < 6`, else 0: the way back through the ReLU6 whose output `aux` is.
    Mask,
}

/// A packed right-hand side.
#[derive(Clone, Debug, Default)]
pub(super) struct Panels {
    data: Vec<f32>,
    k: usize,
    n: usize,
    lanes: usize,
}

impl Panels {
    /// Numbers that a packed `[k, n]` takes.
    pub(super) fn len_of(isa: Isa, k: usize, n: usize) -> usize {
        n.div_ceil(isa.lanes()) * isa.lanes() * (k + 1)
    }

    /// Packs `weight` `[k, n]` with each column times its `scale`, behind `bias`.
    pub(super) fn pack(&mut self, isa: Isa, weight: &[f32], scale: &[f32], bias: &[f32]) {
        let n = scale.len();
        self.reset(isa, weight.len() / n, n);
        let (k, mut rest) = (self.k, self.data.as_mut_slice());
        for (first, width, vectors) in panels(n, isa) {
            let stride = vectors * self.lanes;
            let (panel, behind) = std::mem::take(&mut rest).split_at_mut((k + 1) * stride);
            rest = behind;
            panel[..width].copy_from_slice(&bias[first..first + width]);
            panel[width..stride].fill(0.0);
            let scale = &scale[first..first + width];
            for (row, weight) in panel[stride..].chunks_exact_mut(stride).zip(weight.chunks_exact(n)) {
                for ((to, w), s) in row.iter_mut().zip(&weight[first..first + width]).zip(scale) {
                    *to = w * s;
                }
                row[width..].fill(0.0);
            }
        }
    }

    /// Packs the transpose of `weight` `[n, k]`, each of its columns (rows here) times its `scale` `[k]`, without bias.
    pub(super) fn pack_transposed(&mut self, isa: Isa, weight: &[f32], scale: &[f32]) {
        let k = scale.len();
        let n = weight.len() / k;
        self.reset(isa, k, n);
        let mut rest = self.data.as_mut_slice();
        for (first, width, vectors) in panels(n, isa) {
            let stride = vectors * self.lanes;
            let (panel, behind) = std::mem::take(&mut rest).split_at_mut((k + 1) * stride);
            rest = behind;
            let (bias, panel) = panel.split_at_mut(stride);
            bias.fill(0.0);
            if width < stride {
                panel.fill(0.0);
            }
            // Eight columns of the result at a time: whole cache lines are read, and stores stay within few lines.
            for c in (0..width).step_by(8) {
                let rows = 8.min(width - c);
                let source = &weight[(first + c) * k..][..rows * k];
                if rows == 8 {
                    let row = |r: usize| &source[r * k..][..k];
                    let [a, b, d, e, f, g, h, i] = [0, 1, 2, 3, 4, 5, 6, 7].map(row);
                    for (p, to) in panel.chunks_exact_mut(stride).enumerate() {
                        let s = scale[p];
                        let line = [a[p], b[p], d[p], e[p], f[p], g[p], h[p], i[p]].map(|v| v * s);
                        to[c..c + 8].copy_from_slice(&line);
                    }
                } else {
                    for (r, row) in source.chunks_exact(k).enumerate() {
                        for (p, (w, s)) in row.iter().zip(scale).enumerate() {
                            panel[p * stride + c + r] = w * s;
                        }
                    }
                }
            }
        }
    }

    fn reset(&mut self, isa: Isa, k: usize, n: usize) {
        (self.k, self.n, self.lanes) = (k, n, isa.lanes());
        // Contents do not matter: packing writes all of it.
        self.data.resize(Self::len_of(isa, k, n), 0.0);
    }
}

/// (first column, columns, vectors) of each panel of `n` columns.
fn panels(n: usize, isa: Isa) -> impl Iterator<Item = (usize, usize, usize)> {
    let (lanes, wide) = (isa.lanes(), isa.vectors() * isa.lanes());
    (0..n).step_by(wide).map(move |first| {
        let width = (n - first).min(wide);
        (first, width, width.div_ceil(lanes))
    })
}

/// Rows of a matrix in memory, `stride` numbers apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

impl Rows<'_> {
    fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || (rows - 1) * self.stride + columns <= self.data.len()
    }
}

/// `y = end(bias + x·b)`. `x` `[m, k]`, `y` and `aux` `[m, n]` without gaps; overwrites `y`.
///
/// # Panics
/// If a buffer is too short, or `b` was packed for another instruction set.
pub(super) fn product(isa: Isa, m: usize, x: Rows, b: &Panels, y: &mut [f32], end: End, aux: Option<&[f32]>) {
    assert_eq!(b.lanes, isa.lanes(), "packed for another instruction set");
    assert!(x.covers(m, b.k) && y.len() >= m * b.n, "matrix product outside its buffers");
    assert!(matches!(end, End::Store | End::Clamp) == aux.is_none(), "{end:?} and its operand");
    assert!(aux.is_none_or(|aux| aux.len() >= m * b.n), "second operand of {end:?}");
    let aux = aux.map_or(std::ptr::null(), <[f32]>::as_ptr);
    // SAFETY: the assertions above; the panels have the layout that `pack` gave them for these vectors.
    unsafe {
        product_raw(isa, m, b.k, b.n, x.data.as_ptr(), x.stride, b.data.as_ptr(), y.as_mut_ptr(), b.n, end, aux);
    }
}

per_simd! {
    unsafe fn product_raw(
        m: usize,
        k: usize,
        n: usize,
        x: *const f32,
        x_stride: usize,
        b: *const f32,
        y: *mut f32,
        y_stride: usize,
        end: End,
        aux: *const f32,
    ) = product_body
}

/// Panels of all columns up to this many bytes stay in the first-level cache while rows run.
const RESIDENT_BYTES: usize = 24 << 10;

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn product_body<S: Simd>(
    m: usize,
    k: usize,
    n: usize,
    x: *const f32,
    x_stride: usize,
    b: *const f32,
    y: *mut f32,
    y_stride: usize,
    end: End,
    aux: *const f32,
) {
    let wide = S::VECTORS * S::LANES;
    // Rows in tiles of nearly equal height.
    let tiles = m.div_ceil(S::ROWS);
    let block = if 4 * k * n <= RESIDENT_BYTES { 1 } else { tiles };
    let mut tile = 0;
    while tile < tiles {
        let last = (tile + block).min(tiles);
        let (mut first, mut panel) = (0, b);
        while first < n {
            let width = (n - first).min(wide);
            for t in tile..last {
                let (row, rows) = (m * t / tiles, m * (t + 1) / tiles - m * t / tiles);
                // SAFETY: rows and columns lie inside the matrices.
                unsafe {
                    let aux = if aux.is_null() { aux } else { aux.add(row * y_stride + first) };
                    let out = Out { y: y.add(row * y_stride + first), stride: y_stride, aux, end };
                    let x = x.add(row * x_stride);
                    if width > 2 * S::LANES {
                        rows_of::<S, 3>(rows, k, x, x_stride, panel, out, width - 2 * S::LANES);
                    } else if width > S::LANES {
                        rows_of::<S, 2>(rows, k, x, x_stride, panel, out, width - S::LANES);
                    } else {
                        rows_of::<S, 1>(rows, k, x, x_stride, panel, out, width);
                    }
                }
            }
            // SAFETY: the next panel starts where this one ends.
            panel = unsafe { panel.add((k + 1) * width.div_ceil(S::LANES) * S::LANES) };
            first += width;
        }
        tile = last;
    }
}

/// Where a tile goes.
#[derive(Clone, Copy)]
struct Out {
    y: *mut f32,
    stride: usize,
    aux: *const f32,
    end: End,
}

/// Calls the tile of the right height: `rows` becomes a constant.
macro_rules! with_rows {
    ($rows:expr, $limit:expr, $call:ident) => {
        match $rows {
            8 if $limit >= 8 => $call!(8),
            7 if $limit >= 7 => $call!(7),
            6 if $limit >= 6 => $call!(6),
            5 if $limit >= 5 => $call!(5),
            4 => $call!(4),
            3 => $call!(3),
            2 => $call!(2),
            _ => $call!(1),
        }
    };
}

#[inline(always)]
unsafe fn rows_of<S: Simd, const NV: usize>(
    rows: usize,
    k: usize,
    x: *const f32,
    x_stride: usize,
    panel: *const f32,
    out: Out,
    last: usize,
) {
    macro_rules! call {
        ($r:literal) => {
            // SAFETY: handed on from the caller.
            unsafe { tile::<S, $r, NV>(k, x, x_stride, panel, out, last) }
        };
    }
    with_rows!(rows, S::ROWS, call)
}

/// One tile: `R` rows by `NV` vectors, of the last of which `last` lanes are stored.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const NV: usize>(
    k: usize,
    x: *const f32,
    x_stride: usize,
    panel: *const f32,
    out: Out,
    last: usize,
) {
    // SAFETY: k numbers of R rows, and k + 1 rows of the panel, are there.
    unsafe {
        let bias: [S::V; NV] = std::array::from_fn(|v| S::load(panel.add(v * S::LANES)));
        let mut b = panel.add(NV * S::LANES);
        let rows: [*const f32; R] = std::array::from_fn(|r| S::opaque(x.add(r * x_stride)));
        let mut sums = [bias; R];
        let mut p = 0;
        macro_rules! step {
            ($lane:literal, $quads:ident) => {
                let line: [S::V; NV] = std::array::from_fn(|v| S::load(b.add(($lane * NV + v) * S::LANES)));
                for r in 0..R {
                    for v in 0..NV {
                        sums[r][v] = S::fma_lane::<$lane>($quads[r], line[v], sums[r][v]);
                    }
                }
            };
        }
        while p + 4 <= k {
            let quads: [S::Quad; R] = std::array::from_fn(|r| S::quad(rows[r].add(p)));
            step!(0, quads);
            step!(1, quads);
            step!(2, quads);
            step!(3, quads);
            b = b.add(4 * NV * S::LANES);
            p += 4;
        }
        while p < k {
            let line: [S::V; NV] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
            for (r, sum) in sums.iter_mut().enumerate() {
                let factor = S::splat(*rows[r].add(p));
                for (sum, &line) in sum.iter_mut().zip(&line) {
                    *sum = S::fma(factor, line, *sum);
                }
            }
            b = b.add(NV * S::LANES);
            p += 1;
        }
        finish::<S, R, NV>(sums, out, last);
    }
}

/// Ends and stores a tile.
#[inline(always)]
unsafe fn finish<S: Simd, const R: usize, const NV: usize>(mut sums: [[S::V; NV]; R], out: Out, last: usize) {
    let whole = last == S::LANES;
    macro_rules! each {
        (|$sum:ident, $aux:ident| $value:expr) => {
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, $sum) in row.iter_mut().enumerate() {
                    let at = r * out.stride + v * S::LANES;
                    let $aux = || {
                        // SAFETY: `aux` has the output's shape; the last vector only as many lanes as are stored.
                        unsafe {
                            if whole || v + 1 < NV {
                                S::load(out.aux.add(at))
                            } else {
                                S::load_part(out.aux.add(at), last)
                            }
                        }
                    };
                    // SAFETY: as above.
                    unsafe { *$sum = $value };
                }
            }
        };
    }
    match out.end {
        End::Store => {}
        End::Clamp => each!(|sum, _aux| S::clamp6(*sum)),
        End::Add => each!(|sum, aux| S::add(*sum, aux())),
        End::Mask => each!(|sum, aux| S::mask6(*sum, aux())),
    }
    for (r, row) in sums.iter().enumerate() {
        for (v, &sum) in row.iter().enumerate() {
            // SAFETY: the tile lies inside the output.
            unsafe {
                let to = out.y.add(r * out.stride + v * S::LANES);
                if whole || v + 1 < NV { S::store(to, sum) } else { S::store_part(to, sum, last) }
            }
        }
    }
}

/// `dw += scale·xᵀ·g`. `x` `[m, k]`, `g` `[m, n]`, `dw` `[k, n]`, `scale` `[n]`.
///
/// # Panics
/// If a buffer is too short.
pub(super) fn weight_product(isa: Isa, [m, k, n]: [usize; 3], x: Rows, g: Rows, scale: &[f32], dw: &mut [f32]) {
    assert!(x.covers(m, k) && g.covers(m, n), "weight gradient outside its buffers");
    assert!(dw.len() == k * n && scale.len() == n, "weight gradient [{k}, {n}]");
    // SAFETY: the assertions above.
    unsafe {
        weight_raw(
            isa,
            [m, k, n],
            x.data.as_ptr(),
            x.stride,
            g.data.as_ptr(),
            g.stride,
            scale.as_ptr(),
            dw.as_mut_ptr(),
            n,
        )
    }
}

per_simd! {
    unsafe fn weight_raw(
        size: [usize; 3],
        x: *const f32,
        x_stride: usize,
        g: *const f32,
        g_stride: usize,
        scale: *const f32,
        dw: *mut f32,
        dw_stride: usize,
    ) = weight_body
}

/// Numbers of both operands that are worked on together: half of a small second-level cache.
const BLOCK_FLOATS: usize = 1 << 16;

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn weight_body<S: Simd>(
    [m, k, n]: [usize; 3],
    x: *const f32,
    x_stride: usize,
    g: *const f32,
    g_stride: usize,
    scale: *const f32,
    dw: *mut f32,
    dw_stride: usize,
) {
    let block = (BLOCK_FLOATS / (k + n)).clamp(64, 512);
    // Tiles of nearly equal height, in steps of four rows that are loaded together.
    let high = if k <= S::ROWS { k } else { k.div_ceil(k.div_ceil(S::ROWS)).next_multiple_of(4).min(S::ROWS) };
    let mut row = 0;
    while row < m {
        let rows = (m - row).min(block);
        let mut first = 0;
        while first < n {
            let width = (n - first).min(S::VECTORS * S::LANES);
            let mut top = 0;
            while top < k {
                let height = (k - top).min(high);
                // SAFETY: rows and columns lie inside the matrices.
                unsafe {
                    let (x, g) = (x.add(row * x_stride + top), g.add(row * g_stride + first));
                    let to = Weights { dw: dw.add(top * dw_stride + first), stride: dw_stride, scale: scale.add(first) };
                    if width > 2 * S::LANES {
                        weight_rows::<S, 3>(height, rows, x, x_stride, g, g_stride, to, width - 2 * S::LANES);
                    } else if width > S::LANES {
                        weight_rows::<S, 2>(height, rows, x, x_stride, g, g_stride, to, width - S::LANES);
                    } else {
                        weight_rows::<S, 1>(height, rows, x, x_stride, g, g_stride, to, width);
                    }
                }
                top += height;
            }
            first += width;
        }
        row += rows;
    }
}

/// Where a tile of a weight gradient goes.
#[derive(Clone, Copy)]
struct Weights {
    dw: *mut f32,
    stride: usize,
    scale: *const f32,
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn weight_rows<S: Simd, const NV: usize>(
    height: usize,
    m: usize,
    x: *const f32,
    x_stride: usize,
    g: *const f32,
    g_stride: usize,
    to: Weights,
    last: usize,
) {
    macro_rules! call {
        ($r:literal) => {
            // SAFETY: handed on from the caller.
            unsafe {
                if last == S::LANES {
                    weight_tile::<S, $r, NV, true>(m, x, x_stride, g, g_stride, to, last)
                } else {
                    weight_tile::<S, $r, NV, false>(m, x, x_stride, g, g_stride, to, last)
                }
            }
        };
    }
    with_rows!(height, S::ROWS, call)
}

/// One tile of a weight gradient: `R` rows by `NV` vectors, the last with `last` lanes unless `WHOLE`.
#[inline(always)]
unsafe fn weight_tile<S: Simd, const R: usize, const NV: usize, const WHOLE: bool>(
    m: usize,
    mut x: *const f32,
    x_stride: usize,
    mut g: *const f32,
    g_stride: usize,
    to: Weights,
    last: usize,
) {
    // SAFETY: m rows of R and of NV vectors' numbers are there.
    unsafe {
        let line = |from: *const f32| -> [S::V; NV] {
            std::array::from_fn(|v| {
                let from = from.add(v * S::LANES);
                if WHOLE || v + 1 < NV { S::load(from) } else { S::load_part(from, last) }
            })
        };
        let mut sums = [[S::splat(0.0); NV]; R];
        for _ in 0..m {
            let d = line(g);
            let mut r = 0;
            while r + 4 <= R {
                let quad = S::quad(x.add(r));
                for v in 0..NV {
                    sums[r][v] = S::fma_lane::<0>(quad, d[v], sums[r][v]);
                    sums[r + 1][v] = S::fma_lane::<1>(quad, d[v], sums[r + 1][v]);
                    sums[r + 2][v] = S::fma_lane::<2>(quad, d[v], sums[r + 2][v]);
                    sums[r + 3][v] = S::fma_lane::<3>(quad, d[v], sums[r + 3][v]);
                }
                r += 4;
            }
            while r < R {
                let factor = S::splat(*x.add(r));
                for v in 0..NV {
                    sums[r][v] = S::fma(factor, d[v], sums[r][v]);
                }
                r += 1;
            }
            x = x.add(x_stride);
            g = g.add(g_stride);
        }
        let scale = line(to.scale);
        for (r, row) in sums.iter().enumerate() {
            let at = to.dw.add(r * to.stride);
            let old = line(at);
            for v in 0..NV {
                let (new, at) = (S::fma(row[v], scale[v], old[v]), at.add(v * S::LANES));
                if WHOLE || v + 1 < NV { S::store(at, new) } else { S::store_part(at, new, last) }
            }
        }
    }
}
