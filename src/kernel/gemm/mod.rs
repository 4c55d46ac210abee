//! Matrix products with everything around them fused in.
//!
//! `Y[m,n] = end(bias + X[m,k]·B[k,n])`: B is packed once into panels of [`Simd::VECTORS`] vectors' width with its bias in front and
//! its scale worked in; a tile of [`Simd::ROWS`] rows by one panel stays in registers while k runs; `end` is applied
//! before the tile is stored. X is read where it lies.
//!
//! `dW[k,n] += scale[n]·Σ_m X[m,k]·G[m,n]`: both operands are read where they lie, a tile of dW stays in registers
//! while m runs.

mod panels;
mod product;
mod weight_product;

pub(super) use panels::Panels;
pub(super) use product::product;
pub(super) use weight_product::weight_product;

/// The last operation on a sum before it is stored. `aux` has the shape and place of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GemmEpilogue {
    Store,
    /// ReLU6.
    Clamp,
    /// Plus `aux`.
    Add,
    /// The sum where `0 < aux < 6`, else 0: the backward pass through the ReLU6 whose output `aux` is.
    Mask,
}

/// Rows of a matrix in memory, `stride` numbers apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatrixRows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

impl MatrixRows<'_> {
    fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || (rows - 1) * self.stride + columns <= self.data.len()
    }

    fn raw(&self) -> RawRows {
        RawRows { data: self.data.as_ptr(), stride: self.stride }
    }
}

/// [`MatrixRows`] whose bounds were checked.
#[derive(Clone, Copy)]
struct RawRows {
    data: *const f32,
    stride: usize,
}

impl RawRows {
    /// The rows from row `row` and column `column` on.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> Self {
        // SAFETY: the caller checked that the place exists.
        Self { data: unsafe { self.data.add(row * self.stride + column) }, stride: self.stride }
    }
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
use with_rows;
