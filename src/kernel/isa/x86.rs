//! The vectors of x86-64: AVX2 with FMA, and AVX-512.
//!
//! A product with one number of a row costs nothing extra here: the multiply reads it from memory and spreads it.

// Every function here is unsafe by the contract of `Simd`, which is also what its body needs.
#![allow(unsafe_op_in_unsafe_fn)]

use super::opaque;
use crate::kernel::simd::Simd;
use std::arch::x86_64::*;

#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx2;

#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx512;

impl Avx2 {
    /// All ones in the first `n` lanes.
    #[inline(always)]
    unsafe fn lanes(n: usize) -> __m256i {
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

/// [`Simd::transpose`] in vectors of four, which either instruction set has.
#[inline(always)]
unsafe fn transpose(from: *const f32, stride: usize, scale: *const f32, to: *mut f32, to_stride: usize) {
    let scale = _mm_loadu_ps(scale);
    let [a, b, c, d] = std::array::from_fn(|i| _mm_mul_ps(_mm_loadu_ps(from.add(i * stride)), scale));
    let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
    let (ab_rest, cd_rest) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
    let columns = [
        _mm_movelh_ps(ab, cd),
        _mm_movehl_ps(cd, ab),
        _mm_movelh_ps(ab_rest, cd_rest),
        _mm_movehl_ps(cd_rest, ab_rest),
    ];
    for (j, column) in columns.into_iter().enumerate() {
        _mm_storeu_ps(to.add(j * to_stride), column);
    }
}

impl Simd for Avx2 {
    type V = __m256;
    type Quad = *const f32;
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const VECTORS: usize = 2;

    #[inline(always)]
    fn opaque(pointer: *const f32) -> *const f32 {
        opaque(pointer)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        _mm256_set1_ps(value)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        _mm256_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        _mm256_storeu_ps(to, v)
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m256 {
        _mm256_maskload_ps(from, Self::lanes(n))
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m256, n: usize) {
        _mm256_maskstore_ps(to, Self::lanes(n), v)
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    unsafe fn clamp6(v: __m256) -> __m256 {
        // Of a NaN and a number these give the second operand.
        _mm256_min_ps(_mm256_set1_ps(6.0), _mm256_max_ps(_mm256_setzero_ps(), v))
    }

    #[inline(always)]
    unsafe fn mask6(d: __m256, y: __m256) -> __m256 {
        let above = _mm256_cmp_ps::<_CMP_GT_OQ>(y, _mm256_setzero_ps());
        let below = _mm256_cmp_ps::<_CMP_LT_OQ>(y, _mm256_set1_ps(6.0));
        _mm256_and_ps(d, _mm256_and_ps(above, below))
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(from.cast()))
    }

    #[inline(always)]
    unsafe fn store_half(to: *mut u16, v: __m256) {
        _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v))
    }

    #[inline(always)]
    unsafe fn quad(from: *const f32) -> *const f32 {
        from
    }

    #[inline(always)]
    unsafe fn fma_lane<const LANE: usize>(quad: *const f32, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(_mm256_set1_ps(*quad.add(LANE)), b, c)
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, scale: *const f32, to: *mut f32, to_stride: usize) {
        transpose(from, stride, scale, to, to_stride)
    }
}

impl Simd for Avx512 {
    type V = __m512;
    type Quad = *const f32;
    const LANES: usize = 16;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;

    #[inline(always)]
    fn opaque(pointer: *const f32) -> *const f32 {
        opaque(pointer)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        _mm512_set1_ps(value)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        _mm512_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m512) {
        _mm512_storeu_ps(to, v)
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m512 {
        _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, from)
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m512, n: usize) {
        _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as u16, v)
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    unsafe fn clamp6(v: __m512) -> __m512 {
        // Of a NaN and a number these give the second operand.
        _mm512_min_ps(_mm512_set1_ps(6.0), _mm512_max_ps(_mm512_setzero_ps(), v))
    }

    #[inline(always)]
    unsafe fn mask6(d: __m512, y: __m512) -> __m512 {
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(y, _mm512_setzero_ps());
        let inside = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, y, _mm512_set1_ps(6.0));
        _mm512_maskz_mov_ps(inside, d)
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))
    }

    #[inline(always)]
    unsafe fn store_half(to: *mut u16, v: __m512) {
        _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v))
    }

    #[inline(always)]
    unsafe fn quad(from: *const f32) -> *const f32 {
        from
    }

    #[inline(always)]
    unsafe fn fma_lane<const LANE: usize>(quad: *const f32, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(_mm512_set1_ps(*quad.add(LANE)), b, c)
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, scale: *const f32, to: *mut f32, to_stride: usize) {
        transpose(from, stride, scale, to, to_stride)
    }
}
