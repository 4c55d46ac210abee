//! The few vector operations that the hot kernels are written in, once for every instruction set.
//!
//! A kernel is one generic body over [`Simd`]; [`dispatch!`] compiles it for each instruction set inside a function
//! with the right target features, so that everything inlines into plain vector code. Nothing else in the crate names
//! an intrinsic or a processor.

use half::f16;

/// A vector of `LANES` numbers and what the kernels do with it.
///
/// # Safety
/// Every function may only run inside a function compiled for the implementor's instruction set, on a processor that
/// has it. Pointers must be good for `LANES` numbers (or as many as the function names); they need no alignment.
pub(super) trait Simd: Copy {
    type V: Copy;
    /// Four numbers of which each can be multiplied into a vector.
    type Quad: Copy;
    const LANES: usize;
    /// Rows of a matrix product that are kept in registers.
    const ROWS: usize;
    /// Vectors of each of these rows, at most 3.
    const VECTORS: usize;
    /// Rows of a tile of a weight gradient, which needs fewer registers besides.
    const WEIGHT_ROWS: usize = Self::ROWS;
    /// Vectors of channels that a depthwise kernel works on together, 1 or 2.
    const WIDE: usize = 1;

    /// The same pointer, of which the compiler forgets where it came from: it then keeps it in a register instead of
    /// computing it again in the loop.
    #[inline(always)]
    fn opaque(pointer: *const f32) -> *const f32 {
        pointer
    }

    /// Nothing; but what is loaded behind it is not loaded before it, where registers would not last.
    #[inline(always)]
    fn fence() {}

    /// Nothing; but `v` is computed before what is pinned behind it, which keeps a long stretch of sums in its order.
    #[inline(always)]
    fn pin(_v: &mut Self::V) {}

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    /// The first `n` lanes, zeros behind them; nothing behind them is read.
    unsafe fn load_part(from: *const f32, n: usize) -> Self::V;
    /// The first `n` lanes; nothing behind them is written.
    unsafe fn store_part(to: *mut f32, v: Self::V, n: usize);
    /// `N` vectors side by side, at most 3; `from` moves on by `step` bytes. Meant for loops in which what was
    /// loaded is used up before the next is.
    #[inline(always)]
    unsafe fn load_next<const N: usize>(from: &mut *const f32, step: usize) -> [Self::V; N] {
        // SAFETY: the caller vouches for as many numbers.
        let vectors = std::array::from_fn(|v| unsafe { Self::load(from.add(v * Self::LANES)) });
        *from = from.wrapping_byte_add(step);
        vectors
    }

    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Into `[0, 6]`; NaN stays NaN.
    unsafe fn clamp6(v: Self::V) -> Self::V;
    /// `d` where `0 < y < 6`, else 0. `y` is what a ReLU6 put out: not below 0, nor -0.
    unsafe fn mask6(d: Self::V, y: Self::V) -> Self::V;

    /// As many numbers of 16 bits (IEEE 754 binary16), made wide.
    unsafe fn load_half(from: *const u16) -> Self::V;
    /// Rounded to the nearest of 16 bits; what is too large becomes infinite.
    unsafe fn store_half(to: *mut u16, v: Self::V);

    unsafe fn quad(from: *const f32) -> Self::Quad;

    /// Eight numbers side by side; `from` moves on by `step` bytes.
    #[inline(always)]
    unsafe fn next_quads(from: &mut *const f32, step: usize) -> [Self::Quad; 2] {
        // SAFETY: the caller vouches for as many numbers.
        let quads = unsafe { [Self::quad(*from), Self::quad(from.add(4))] };
        *from = Self::opaque(from.wrapping_byte_add(step));
        quads
    }

    /// `quad[LANE]·b + c`.
    unsafe fn fma_lane<const LANE: usize>(quad: Self::Quad, b: Self::V, c: Self::V) -> Self::V;

    /// Four rows of four numbers, `stride` apart, become columns; the columns they were are multiplied by `scale`.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, scale: *const f32, to: *mut f32, to_stride: usize) {
        for j in 0..4 {
            for i in 0..4 {
                // SAFETY: the caller vouches for four rows of four numbers, and as many scales.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * stride + j) * *scale.add(j) };
            }
        }
    }
}

/// The instructions that every processor of the target has; the compiler vectorises what it can.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

/// Lanes of the portable vector: one SSE register.
const PORTABLE: usize = 4;

impl Simd for Scalar {
    type V = [f32; PORTABLE];
    type Quad = [f32; 4];
    const LANES: usize = PORTABLE;
    const ROWS: usize = 4;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; PORTABLE]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for the pointer.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self::V {
        let mut v = [0.0; PORTABLE];
        for (i, lane) in v.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for `n` numbers.
            *lane = unsafe { *from.add(i) };
        }
        v
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: Self::V, n: usize) {
        for (i, lane) in v.iter().enumerate().take(n) {
            // SAFETY: the caller vouches for `n` numbers.
            unsafe { *to.add(i) = *lane };
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }

    // Not `mul_add`: without the instruction that is a library call.
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn clamp6(v: Self::V) -> Self::V {
        v.map(|v| v.clamp(0.0, 6.0))
    }

    #[inline(always)]
    unsafe fn mask6(d: Self::V, y: Self::V) -> Self::V {
        std::array::from_fn(|i| if (y[i] > 0.0) & (y[i] < 6.0) { d[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self::V {
        // SAFETY: the caller vouches for the pointer.
        unsafe { from.cast::<[u16; PORTABLE]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn store_half(to: *mut u16, v: Self::V) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { to.cast::<[u16; PORTABLE]>().write_unaligned(v.map(|v| f16::from_f32(v).to_bits())) }
    }

    #[inline(always)]
    unsafe fn quad(from: *const f32) -> Self::Quad {
        // SAFETY: the caller vouches for the pointer.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn fma_lane<const LANE: usize>(quad: Self::Quad, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| quad[LANE] * b[i] + c[i])
    }
}
