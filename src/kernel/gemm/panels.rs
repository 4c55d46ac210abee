//! The right-hand side of a product, packed.

use crate::kernel::isa::{Isa, per_simd};
use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Numbers that one thread packs: below twice as many, a fork costs more than it gains.
const TASK_NUMBERS: usize = 1 << 14;

/// A packed right-hand side.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Panels {
    numbers: LineBuffer,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) lanes: usize,
    len: usize,
}

impl Panels {
    /// Numbers that a packed `[k, n]` takes.
    pub(in crate::kernel) fn len_of(isa: Isa, k: usize, n: usize) -> usize {
        n.div_ceil(isa.lanes()) * isa.lanes() * (k + 1)
    }

    /// Packs `weight` `[k, n]` with each column times its `scale`, behind `bias`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub(in crate::kernel) fn pack(&mut self, isa: Isa, weight: &[f32], scale: &[f32], bias: &[f32]) {
        let n = scale.len();
        let k = weight.len() / n;
        assert!(weight.len() == k * n && bias.len() == n, "packing of [{k}, {n}]");
        let pack = |columns: Range<usize>, to: &mut [f32]| {
            let (from, to) = (weight.as_ptr(), to.as_mut_ptr());
            // SAFETY: the assertion above; there is room for k + 1 rows of whole vectors.
            unsafe { pack_raw(isa, [k, n], columns, from, scale.as_ptr(), bias.as_ptr(), to) }
        };
        shared(isa, k, 0..n, self.reset(isa, k, n), &pack);
    }

    /// Packs the transpose of `weight` `[n, k]`, each of its columns (rows here) times its `scale` `[k]`, without bias.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub(in crate::kernel) fn pack_transposed(&mut self, isa: Isa, weight: &[f32], scale: &[f32]) {
        let k = scale.len();
        let n = weight.len() / k;
        assert!(weight.len() == n * k, "packing of [{n}, {k}]");
        let pack = |columns: Range<usize>, to: &mut [f32]| {
            let (from, to) = (weight.as_ptr(), to.as_mut_ptr());
            // SAFETY: the assertion above; there is room for k + 1 rows of whole vectors.
            unsafe { transposed_raw(isa, [k, n], columns, from, scale.as_ptr(), to) }
        };
        shared(isa, k, 0..n, self.reset(isa, k, n), &pack);
    }

    /// Room for a packed `[k, n]`, all of which packing writes.
    fn reset(&mut self, isa: Isa, k: usize, n: usize) -> &mut [f32] {
        (self.k, self.n, self.lanes, self.len) = (k, n, isa.lanes(), Self::len_of(isa, k, n));
        self.numbers.first(self.len)
    }

    pub(super) fn as_ptr(&self) -> *const f32 {
        self.numbers.filled(self.len).as_ptr()
    }
}

/// Has whole panels of a matrix of `k` rows packed, each half of many on a thread of its own.
fn shared(
    isa: Isa,
    k: usize,
    columns: Range<usize>,
    to: &mut [f32],
    pack: &(impl Fn(Range<usize>, &mut [f32]) + Sync),
) {
    let panel = isa.panel_columns();
    let half = columns.len() / panel / 2 * panel;
    if half == 0 || k * columns.len() < 2 * TASK_NUMBERS || rayon::current_num_threads() == 1 {
        return pack(columns, to);
    }
    let (to, to_rest) = to.split_at_mut((k + 1) * half);
    let (one, other) = (columns.start..columns.start + half, columns.start + half..columns.end);
    rayon::join(|| shared(isa, k, one, to, pack), || shared(isa, k, other, to_rest, pack));
}

/// Vectors of the next panel where so many are left: as many as fit into registers, but no single one at the end, which
/// would have loads for each multiply-add.
#[inline(always)]
pub(super) fn panel_vectors<S: Simd>(left: usize) -> usize {
    if left == S::VECTORS + 1 { left.div_ceil(2) } else { left.min(S::VECTORS) }
}

per_simd! {
    // `columns` begin and end between panels.
    unsafe fn pack_raw(
        size: [usize; 2], columns: Range<usize>, weight: *const f32, scale: *const f32, bias: *const f32, to: *mut f32
    ) = pack_body
}

#[inline(always)]
unsafe fn pack_body<S: Simd>(
    [k, n]: [usize; 2],
    columns: Range<usize>,
    weight: *const f32,
    scale: *const f32,
    bias: *const f32,
    mut to: *mut f32,
) {
    let Range { start: mut first, end } = columns;
    let mut left = (n - first).div_ceil(S::LANES);
    while first < end {
        let vectors = panel_vectors::<S>(left);
        let last = (n - first).min(vectors * S::LANES) - (vectors - 1) * S::LANES;
        macro_rules! panel {
            ($nv:literal) => {
                if last == S::LANES {
                    pack_panel::<S, $nv, true>(k, n, weight.add(first), scale.add(first), bias.add(first), to, last)
                } else {
                    pack_panel::<S, $nv, false>(k, n, weight.add(first), scale.add(first), bias.add(first), to, last)
                }
            };
        }
        // SAFETY: columns lie inside the matrix; the next panel starts where this one ends.
        unsafe {
            match vectors {
                3 => panel!(3),
                2 => panel!(2),
                _ => panel!(1),
            }
            to = to.add((k + 1) * vectors * S::LANES);
        }
        first += vectors * S::LANES;
        left -= vectors;
    }
}

/// One panel of `NV` vectors, of the last of which `last` lanes exist unless it is `WHOLE`.
#[inline(always)]
unsafe fn pack_panel<S: Simd, const NV: usize, const WHOLE: bool>(
    k: usize,
    n: usize,
    mut weight: *const f32,
    scale: *const f32,
    bias: *const f32,
    mut to: *mut f32,
    last: usize,
) {
    // SAFETY: the caller vouches for k rows of so many columns, and room for k + 1 of whole vectors.
    unsafe {
        let line = |from: *const f32| -> [S::V; NV] {
            std::array::from_fn(|v| {
                let from = from.add(v * S::LANES);
                if WHOLE || v + 1 < NV { S::load(from) } else { S::load_part(from, last) }
            })
        };
        let put = |to: *mut f32, line: [S::V; NV]| {
            for (v, &numbers) in line.iter().enumerate() {
                S::store(to.add(v * S::LANES), numbers);
            }
        };
        let scale = line(scale);
        put(to, line(bias));
        for _ in 0..k {
            to = to.add(NV * S::LANES);
            let row = line(weight);
            put(to, std::array::from_fn(|v| S::mul(row[v], scale[v])));
            weight = weight.wrapping_add(n);
        }
    }
}

per_simd! {
    // `columns` begin and end between panels.
    unsafe fn transposed_raw(
        size: [usize; 2], columns: Range<usize>, weight: *const f32, scale: *const f32, to: *mut f32
    ) = transposed_body
}

#[inline(always)]
unsafe fn transposed_body<S: Simd>(
    [k, n]: [usize; 2],
    columns: Range<usize>,
    weight: *const f32,
    scale: *const f32,
    mut to: *mut f32,
) {
    let Range { start: mut first, end } = columns;
    let mut left = (n - first).div_ceil(S::LANES);
    while first < end {
        let vectors = panel_vectors::<S>(left);
        let stride = vectors * S::LANES;
        let width = (n - first).min(stride);
        // SAFETY: rows and columns lie inside the matrix and the panel; the next panel starts where this one ends.
        unsafe {
            // No bias, and nothing behind the last column.
            std::ptr::write_bytes(to, 0, if width < stride { (k + 1) * stride } else { stride });
            let panel = to.add(stride);
            let from = weight.add(first * k);
            let (whole, whole_rows) = (width / 4 * 4, k / 4 * 4);
            // Along four rows of the weight, which processors fetch ahead of.
            for c in (0..whole).step_by(4) {
                for p in (0..whole_rows).step_by(4) {
                    S::transpose(from.add(c * k + p), k, scale.add(p), panel.add(p * stride + c), stride);
                }
            }
            for c in 0..width {
                for p in if c < whole { whole_rows..k } else { 0..k } {
                    *panel.add(p * stride + c) = *from.add(c * k + p) * *scale.add(p);
                }
            }
            to = to.add((k + 1) * stride);
        }
        first += stride;
        left -= vectors;
    }
}
