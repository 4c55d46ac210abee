//! `Y = end(bias + X·B)`.

use super::panels::panel_vectors;
use super::{GemmEpilogue, MatrixRows, Panels, RawRows, with_rows};
use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::simd::Simd;

/// `y = end(bias + x·b)`. `x` `[m, k]`, `y` and `aux` `[m, n]` without gaps; overwrites `y`.
///
/// # Panics
/// If a buffer is too short, or `b` was packed for another instruction set.
pub(in crate::kernel) fn product(
    isa: Isa,
    m: usize,
    x: MatrixRows,
    b: &Panels,
    y: &mut [f32],
    end: GemmEpilogue,
    aux: Option<&[f32]>,
) {
    assert_eq!(b.lanes, isa.lanes(), "packed for another instruction set");
    assert!(x.covers(m, b.k) && y.len() >= m * b.n, "matrix product outside its buffers");
    assert!(matches!(end, GemmEpilogue::Store | GemmEpilogue::Clamp) == aux.is_none(), "{end:?} and its operand");
    assert!(aux.is_none_or(|aux| aux.len() >= m * b.n), "second operand of {end:?}");
    let aux = aux.map_or(std::ptr::null(), <[f32]>::as_ptr);
    // SAFETY: the assertions above; the panels have the layout that `pack` gave them for these vectors.
    unsafe {
        let out = ProductPlace { y: y.as_mut_ptr(), stride: b.n, aux, end };
        product_raw(isa, [m, b.k, b.n], x.raw(), b.as_ptr(), out);
    }
}

per_simd! {
    unsafe fn product_raw(size: [usize; 3], x: RawRows, b: *const f32, out: ProductPlace) = product_body
}

/// Panels of all columns up to this many bytes stay in the first-level cache while rows run.
const RESIDENT_BYTES: usize = 24 << 10;

/// Beside them this many bytes of rows do, which one panel after the other is multiplied with.
const ROWS_BYTES: usize = 8 << 10;

#[inline(always)]
unsafe fn product_body<S: Simd>([m, k, n]: [usize; 3], x: RawRows, b: *const f32, out: ProductPlace) {
    // Rows in tiles of nearly equal height.
    let tiles = m.div_ceil(S::ROWS).max(1);
    let (low, higher) = (m / tiles, m % tiles);
    let block = if 4 * k * n <= RESIDENT_BYTES { (ROWS_BYTES / (4 * k * S::ROWS)).max(1) } else { tiles };
    let mut tile = 0;
    while tile < tiles {
        let last = (tile + block).min(tiles);
        let (mut first, mut left, mut panel) = (0, n.div_ceil(S::LANES), b);
        while left > 0 {
            let vectors = panel_vectors::<S>(left);
            let last_lanes = (n - first).min(vectors * S::LANES) - (vectors - 1) * S::LANES;
            for t in tile..last {
                let (row, rows) = (t * low + t.min(higher), low + usize::from(t < higher));
                // SAFETY: rows and columns lie inside the matrices.
                unsafe {
                    let (x, out) = (x.at(row, 0), out.at(row, first));
                    match vectors {
                        3 => rows_of::<S, 3>(rows, k, x, panel, out, last_lanes),
                        2 => rows_of::<S, 2>(rows, k, x, panel, out, last_lanes),
                        _ => rows_of::<S, 1>(rows, k, x, panel, out, last_lanes),
                    }
                }
            }
            // SAFETY: the next panel starts where this one ends.
            panel = unsafe { panel.add((k + 1) * vectors * S::LANES) };
            first += vectors * S::LANES;
            left -= vectors;
        }
        tile = last;
    }
}

/// The place of the product, or of a tile of it.
#[derive(Clone, Copy)]
struct ProductPlace {
    y: *mut f32,
    stride: usize,
    /// Null where the end needs none.
    aux: *const f32,
    end: GemmEpilogue,
}

impl ProductPlace {
    /// The place from row `row` and column `column` on.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> Self {
        let Self { y, stride, aux, end } = self;
        let place = row * stride + column;
        // SAFETY: the caller checked that the place exists.
        unsafe { Self { y: y.add(place), stride, aux: if aux.is_null() { aux } else { aux.add(place) }, end } }
    }
}

#[inline(always)]
unsafe fn rows_of<S: Simd, const NV: usize>(
    rows: usize,
    k: usize,
    x: RawRows,
    panel: *const f32,
    out: ProductPlace,
    last: usize,
) {
    macro_rules! call {
        ($r:literal) => {
            // SAFETY: handed on from the caller.
            unsafe { tile::<S, $r, NV>(k, x, panel, out, last) }
        };
    }
    with_rows!(rows, S::ROWS, call)
}

/// One tile: `R` rows by `NV` vectors, of the last of which `last` lanes are stored.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const NV: usize>(
    k: usize,
    x: RawRows,
    panel: *const f32,
    out: ProductPlace,
    last: usize,
) {
    // SAFETY: k numbers of R rows, and k + 1 rows of the panel, are there.
    unsafe {
        let bias: [S::V; NV] = std::array::from_fn(|v| S::load(panel.add(v * S::LANES)));
        let mut b = panel.add(NV * S::LANES);
        let mut next = x.data;
        let rows: [*const f32; R] = std::array::from_fn(|_| {
            let row = S::opaque(next);
            next = row.wrapping_add(x.stride);
            row
        });
        let mut sums = [bias; R];
        let mut p = 0;
        macro_rules! step {
            ($lane:literal, $quads:ident) => {
                let line = S::load_next::<NV>(&mut b, NV * S::LANES * size_of::<f32>());
                for r in 0..R {
                    for v in 0..NV {
                        sums[r][v] = S::fma_lane::<$lane>($quads[r], line[v], sums[r][v]);
                    }
                }
            };
        }
        macro_rules! four_steps {
            () => {
                let quads: [S::Quad; R] = std::array::from_fn(|r| S::quad(rows[r].add(p)));
                step!(0, quads);
                step!(1, quads);
                step!(2, quads);
                step!(3, quads);
                p += 4;
            };
        }
        while p + 8 <= k {
            four_steps!();
            four_steps!();
        }
        if p + 4 <= k {
            four_steps!();
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
unsafe fn finish<S: Simd, const R: usize, const NV: usize>(mut sums: [[S::V; NV]; R], out: ProductPlace, last: usize) {
    let whole = last == S::LANES;
    macro_rules! each {
        (|$sum:ident, $aux:ident| $value:expr) => {{
            let mut line = out.aux;
            for row in sums.iter_mut() {
                for (v, $sum) in row.iter_mut().enumerate() {
                    let at = v * S::LANES;
                    let $aux = || {
                        // SAFETY: `aux` has the output's shape; the last vector only as many lanes as are stored.
                        unsafe {
                            if whole || v + 1 < NV { S::load(line.add(at)) } else { S::load_part(line.add(at), last) }
                        }
                    };
                    // SAFETY: as above.
                    unsafe { *$sum = $value };
                }
                line = S::opaque(line.wrapping_add(out.stride));
            }
        }};
    }
    match out.end {
        GemmEpilogue::Store => {}
        GemmEpilogue::Clamp => each!(|sum, _aux| S::clamp6(*sum)),
        GemmEpilogue::Add => each!(|sum, aux| S::add(*sum, aux())),
        GemmEpilogue::Mask => each!(|sum, aux| S::mask6(*sum, aux())),
    }
    let mut line = out.y;
    for row in &sums {
        for (v, &sum) in row.iter().enumerate() {
            // SAFETY: the tile lies inside the output.
            unsafe {
                let to = line.add(v * S::LANES);
                if whole || v + 1 < NV { S::store(to, sum) } else { S::store_part(to, sum, last) }
            }
        }
        line = S::opaque(line.wrapping_add(out.stride)).cast_mut();
    }
}
