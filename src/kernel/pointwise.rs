//! 1x1 convolutions as matrix products: `Y[M,N] = X[M,K]·W[K,N]` with M output pixels, K = Cin, N = Cout.
//!
//! The products are the `gemm` crate's. Forward works through blocks of rows so that scale, bias, activation and
//! residual are applied while the block is still in cache.

use super::activation::{add, finish};
use super::isa::Isa;
use super::shape::Layer;
use rayon::prelude::*;

/// Floats of output per block of rows: small enough for L2, large enough to amortise packing the weights.
const BLOCK_FLOATS: usize = 1 << 16;

/// Below this many multiply-accumulates a fork costs more than it gains.
const FORK_MACS: usize = 1 << 19;

/// A matrix in memory: element (r, c) at `r·row + c·col`.
#[derive(Clone, Copy)]
struct Strided<'a> {
    data: &'a [f32],
    row: usize,
    col: usize,
}

impl<'a> Strided<'a> {
    fn rows(data: &'a [f32], columns: usize) -> Self {
        Self { data, row: columns, col: 1 }
    }

    fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// The matrix without its first `r` rows and `c` columns.
    fn skip(self, r: usize, c: usize) -> Self {
        Self { data: &self.data[(r * self.row + c * self.col).min(self.data.len())..], ..self }
    }

    fn covers(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row + (cols - 1) * self.col < self.data.len()
    }
}

/// `dst = lhs·rhs`, or `dst += lhs·rhs` where `accumulate`. `dst` is row-major `[m, n]`, `lhs` `[m, k]`, `rhs` `[k, n]`.
fn product([m, n, k]: [usize; 3], dst: &mut [f32], accumulate: bool, lhs: Strided, rhs: Strided) {
    assert!(dst.len() >= m * n && lhs.covers(m, k) && rhs.covers(k, n), "matrix product outside its buffers");
    // SAFETY: the assertion above checks that the last element of each matrix lies inside its slice; strides are
    // positive, so all others do too. `dst` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col as isize,
            lhs.row as isize,
            rhs.data.as_ptr(),
            rhs.col as isize,
            rhs.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// How many rows one task takes so that the threads share `rows` evenly in blocks of at most `block`.
fn rows_per_task(rows: usize, block: usize, macs: usize) -> usize {
    let threads = rayon::current_num_threads();
    if threads == 1 || macs < FORK_MACS { rows.max(1) } else { rows.div_ceil(threads).min(block.max(1)).max(1) }
}

/// `y = act(scale·(x·w) + bias) + residual`. Overwrites `y`.
pub(super) fn forward(isa: Isa, layer: &Layer, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
    let g = layer.geometry;
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let block = (BLOCK_FLOATS / n).max(64);
    let task = rows_per_task(m, usize::MAX, g.macs());
    let run = |first: usize, y: &mut [f32]| {
        for (i, y) in y.chunks_mut(block * n).enumerate() {
            let (row, rows) = (first + i * block, y.len() / n);
            product([rows, n, k], y, false, Strided::rows(&x[row * k..], k), Strided::rows(layer.weight, n));
            finish(isa, y, layer.scale, layer.bias, g.relu6);
            if let Some(r) = residual {
                add(isa, y, &r[row * n..][..y.len()]);
            }
        }
    };
    if task >= m {
        run(0, y);
    } else {
        y.par_chunks_mut(task * n).enumerate().for_each(|(i, y)| run(i * task, y));
    }
}

/// `dx = dy·wᵀ` where `dy` already went back through the activation. Overwrites `dx`.
pub(super) fn backward_input(layer: &Layer, dy: &[f32], dx: &mut [f32]) {
    let g = layer.geometry;
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let task = rows_per_task(m, usize::MAX, g.macs());
    let weight = Strided::rows(layer.weight, n).transposed();
    let run = |first: usize, dx: &mut [f32]| {
        product([dx.len() / k, k, n], dx, false, Strided::rows(&dy[first * n..], n), weight);
    };
    if task >= m {
        run(0, dx);
    } else {
        dx.par_chunks_mut(task * k).enumerate().for_each(|(i, dx)| run(i * task, dx));
    }
}

/// `dw += xᵀ·dy`. With several threads each sums a share of the pixels, and the shares are added in order.
pub(super) fn backward_weight(isa: Isa, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = layer.geometry;
    let (m, k, n) = (g.output_pixels(), g.cin, g.cout);
    let task = rows_per_task(m, usize::MAX, g.macs());
    if task >= m {
        product([k, n, m], dw, true, Strided::rows(x, k).transposed(), Strided::rows(dy, n));
        return;
    }
    if k >= 64 {
        // Rows of dw are independent: no partial sums needed.
        let share = k.div_ceil(rayon::current_num_threads());
        dw.par_chunks_mut(share * n).enumerate().for_each(|(i, dw)| {
            let lhs = Strided::rows(x, k).transposed().skip(i * share, 0);
            product([dw.len() / n, n, m], dw, true, lhs, Strided::rows(dy, n));
        });
        return;
    }
    let partials: Vec<Vec<f32>> = (0..m.div_ceil(task))
        .into_par_iter()
        .map(|i| {
            let (first, last) = (i * task, ((i + 1) * task).min(m));
            let mut sum = vec![0.0; k * n];
            let lhs = Strided::rows(&x[first * k..last * k], k).transposed();
            product([k, n, last - first], &mut sum, false, lhs, Strided::rows(&dy[first * n..last * n], n));
            sum
        })
        .collect();
    for sum in partials {
        add(isa, dw, &sum);
    }
}
