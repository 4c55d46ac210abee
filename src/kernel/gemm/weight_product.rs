//! `dW += scale·Xᵀ·G`.

use super::{MatrixRows, RawRows, with_rows};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;

/// `dw += scale·xᵀ·g`. `x` `[m, k]`, `g` `[m, n]`, `dw` `[k, n]`, `scale` `[n]`.
///
/// # Panics
/// If a buffer is too short.
pub(in crate::kernel) fn weight_product(
    isa: Isa,
    [m, k, n]: [usize; 3],
    x: MatrixRows,
    g: MatrixRows,
    scale: &[f32],
    dw: &mut [f32],
) {
    assert!(x.covers(m, k) && g.covers(m, n), "weight gradient outside its buffers");
    assert!(dw.len() == k * n && scale.len() == n, "weight gradient [{k}, {n}]");
    // SAFETY: the assertions above.
    unsafe {
        let to = GradientPlace { dw: dw.as_mut_ptr(), stride: n, scale: scale.as_ptr() };
        weight_raw(isa, [m, k, n], x.raw(), g.raw(), to)
    }
}

per_simd! {
    unsafe fn weight_raw(size: [usize; 3], x: RawRows, g: RawRows, to: GradientPlace) = weight_body
}

/// Numbers of both operands that are worked on together: half of a small second-level cache.
const BLOCK_FLOATS: usize = 1 << 16;

#[inline(always)]
unsafe fn weight_body<S: Simd>([m, k, n]: [usize; 3], x: RawRows, g: RawRows, to: GradientPlace) {
    let block = (BLOCK_FLOATS / (k + n)).clamp(64, 512);
    // Tiles of nearly equal height, in steps of four rows that are loaded together.
    let high = if k <= S::WEIGHT_ROWS {
        k
    } else {
        k.div_ceil(k.div_ceil(S::WEIGHT_ROWS)).next_multiple_of(4).min(S::WEIGHT_ROWS)
    };
    let mut row = 0;
    while row < m {
        let rows = (m - row).min(block);
        let (mut first, vectors) = (0, n.div_ceil(S::LANES));
        let panels = vectors.div_ceil(S::VECTORS);
        for panel in 0..panels {
            // Panels of nearly equal width.
            let next = vectors * (panel + 1) / panels * S::LANES;
            let width = n.min(next) - first;
            let mut top = 0;
            while top < k {
                let height = (k - top).min(high);
                // SAFETY: rows and columns lie inside the matrices.
                unsafe {
                    let (x, g, to) = (x.at(row, top), g.at(row, first), to.at(top, first));
                    if width > 2 * S::LANES {
                        weight_rows::<S, 3>(height, rows, x, g, to, width - 2 * S::LANES);
                    } else if width > S::LANES {
                        weight_rows::<S, 2>(height, rows, x, g, to, width - S::LANES);
                    } else {
                        weight_rows::<S, 1>(height, rows, x, g, to, width);
                    }
                }
                top += height;
            }
            first += width;
        }
        row += rows;
    }
}

/// The place of a weight gradient, or of a tile of it.
#[derive(Clone, Copy)]
struct GradientPlace {
    dw: *mut f32,
    stride: usize,
    scale: *const f32,
}

impl GradientPlace {
    /// The place from row `row` and column `column` on.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> Self {
        let Self { dw, stride, scale } = self;
        // SAFETY: the caller checked that the place exists.
        unsafe { Self { dw: dw.add(row * stride + column), stride, scale: scale.add(column) } }
    }
}

#[inline(always)]
unsafe fn weight_rows<S: Simd, const NV: usize>(
    height: usize,
    m: usize,
    x: RawRows,
    g: RawRows,
    to: GradientPlace,
    last: usize,
) {
    macro_rules! call {
        ($r:literal) => {
            // SAFETY: handed on from the caller.
            unsafe {
                if last == S::LANES {
                    weight_tile::<S, $r, NV, true>(m, x, g, to, last)
                } else {
                    weight_tile::<S, $r, NV, false>(m, x, g, to, last)
                }
            }
        };
    }
    with_rows!(height, S::WEIGHT_ROWS, call)
}

/// One tile of a weight gradient: `R` rows by `NV` vectors, the last with `last` lanes unless `WHOLE`.
#[inline(always)]
unsafe fn weight_tile<S: Simd, const R: usize, const NV: usize, const WHOLE: bool>(
    m: usize,
    x: RawRows,
    g: RawRows,
    to: GradientPlace,
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
        let (x_step, g_step) = (x.stride * size_of::<f32>(), g.stride * size_of::<f32>());
        let (mut x, mut g) = (x.data, g.data);
        let mut sums = [[S::splat(0.0); NV]; R];
        macro_rules! four {
            ($quad:expr, $r:literal, $d:expr) => {
                let (quad, d) = ($quad, $d);
                for v in 0..NV {
                    sums[$r][v] = S::fma_lane::<0>(quad, d[v], sums[$r][v]);
                    sums[$r + 1][v] = S::fma_lane::<1>(quad, d[v], sums[$r + 1][v]);
                    sums[$r + 2][v] = S::fma_lane::<2>(quad, d[v], sums[$r + 2][v]);
                    sums[$r + 3][v] = S::fma_lane::<3>(quad, d[v], sums[$r + 3][v]);
                }
            };
        }
        macro_rules! pixel {
            () => {
                let d = if WHOLE { S::load_next::<NV>(&mut g, g_step) } else { line(g) };
                if R == 8 {
                    let [low, high] = S::next_quads(&mut x, x_step);
                    four!(low, 0, d);
                    four!(high, 4, d);
                } else {
                    if R >= 4 {
                        four!(S::quad(x), 0, d);
                    }
                    for r in R / 4 * 4..R {
                        let factor = S::splat(*x.add(r));
                        for v in 0..NV {
                            sums[r][v] = S::fma(factor, d[v], sums[r][v]);
                        }
                    }
                    x = S::opaque(x.wrapping_byte_add(x_step));
                }
                g = S::opaque(if WHOLE { g } else { g.wrapping_byte_add(g_step) });
            };
        }
        let fours = if WHOLE { m / 4 } else { 0 };
        for _ in 0..fours {
            pixel!();
            pixel!();
            pixel!();
            pixel!();
        }
        for _ in 4 * fours..m {
            pixel!();
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
