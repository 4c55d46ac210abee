//! The vectors of 64-bit ARM: NEON, which every such processor has.
//!
//! Four numbers of a row are loaded at once and multiplied in by lane, so a product of 8 rows by 8 columns takes 12
//! loads (8 of them paired to 4) for 64 multiply-adds.

// Every function here is unsafe by the contract of `Simd`, which is also what its body needs.
#![allow(unsafe_op_in_unsafe_fn)]

use super::opaque;
use crate::kernel::simd::Simd;
use std::arch::aarch64::*;
use std::arch::asm;

#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Neon;

impl Simd for Neon {
    type V = float32x4_t;
    type Quad = float32x4_t;
    const LANES: usize = 4;
    const ROWS: usize = 7;
    const VECTORS: usize = 3;
    const WEIGHT_ROWS: usize = 8;
    const WIDE: usize = 2;

    #[inline(always)]
    fn opaque(pointer: *const f32) -> *const f32 {
        opaque(pointer)
    }

    #[inline(always)]
    fn fence() {
        // SAFETY: no instruction at all. Not being `pure`, it is what loads are not scheduled across.
        unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn pin(v: &mut float32x4_t) {
        // SAFETY: no instruction at all. Not being `pure`, it keeps its place among its like.
        unsafe { asm!("/* {0:v} */", inout(vreg) * v, options(nomem, nostack, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        vdupq_n_f32(value)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        vld1q_f32(from)
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: float32x4_t) {
        vst1q_f32(to, v)
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
        vld1q_f32(lanes.as_ptr())
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: float32x4_t, n: usize) {
        let mut lanes = [0.0; 4];
        vst1q_f32(lanes.as_mut_ptr(), v);
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
    }

    /// One instruction, which the intrinsics for several vectors are not: they become loads of one and of two, and an
    /// addition. It wants neighbouring registers, so these are named: the next such load
    /// has to wait for the last use of what this one brought.
    #[inline(always)]
    unsafe fn load_next<const N: usize>(from: &mut *const f32, step: usize) -> [float32x4_t; N] {
        let (mut at, mut vectors) = (*from, [vdupq_n_f32(0.0); N]);
        match N {
            1 => asm!(
                "ld1 {{{v:v}.4s}}, [{at}], {step}",
                v = out(vreg) vectors[0],
                at = inout(reg) at,
                step = in(reg) step,
                options(pure, readonly, nostack, preserves_flags),
            ),
            2 => asm!(
                "ld1 {{v27.4s, v28.4s}}, [{at}], {step}",
                at = inout(reg) at,
                step = in(reg) step,
                out("v27") vectors[0],
                out("v28") vectors[1],
                options(readonly, nostack, preserves_flags),
            ),
            _ => asm!(
                "ld1 {{v29.4s, v30.4s, v31.4s}}, [{at}], {step}",
                at = inout(reg) at,
                step = in(reg) step,
                out("v29") vectors[0],
                out("v30") vectors[1],
                out("v31") vectors[2],
                options(readonly, nostack, preserves_flags),
            ),
        }
        *from = at;
        vectors
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vmulq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vfmaq_f32(c, a, b)
    }

    #[inline(always)]
    unsafe fn clamp6(v: float32x4_t) -> float32x4_t {
        vminq_f32(vmaxq_f32(v, vdupq_n_f32(0.0)), vdupq_n_f32(6.0))
    }

    #[inline(always)]
    unsafe fn mask6(d: float32x4_t, y: float32x4_t) -> float32x4_t {
        // `y` is no less than 0, and such numbers are in the order of their bits: 0 < y < 6 is one comparison.
        let above = vsubq_u32(vreinterpretq_u32_f32(y), vdupq_n_u32(1));
        let inside = vcltq_u32(above, vdupq_n_u32(6f32.to_bits() - 1));
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(d), inside))
    }

    // The intrinsics for numbers of 16 bits are not stable yet.
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> float32x4_t {
        let (half, wide): (uint16x4_t, float32x4_t);
        half = vld1_u16(from);
        asm!(
            "fcvtl {wide:v}.4s, {half:v}.4h",
            wide = out(vreg) wide,
            half = in(vreg) half,
            options(pure, nomem, nostack, preserves_flags),
        );
        wide
    }

    #[inline(always)]
    unsafe fn store_half(to: *mut u16, v: float32x4_t) {
        let half: uint16x4_t;
        asm!(
            "fcvtn {half:v}.4h, {wide:v}.4s",
            half = out(vreg) half,
            wide = in(vreg) v,
            options(pure, nomem, nostack, preserves_flags),
        );
        vst1_u16(to, half);
    }

    #[inline(always)]
    unsafe fn quad(from: *const f32) -> float32x4_t {
        vld1q_f32(from)
    }

    #[inline(always)]
    unsafe fn next_quads(from: &mut *const f32, step: usize) -> [float32x4_t; 2] {
        Self::load_next::<2>(from, step)
    }

    #[inline(always)]
    unsafe fn fma_lane<const LANE: usize>(quad: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // The intrinsic wants an `i32` constant, which a `usize` parameter cannot become.
        match LANE {
            0 => vfmaq_laneq_f32::<0>(c, b, quad),
            1 => vfmaq_laneq_f32::<1>(c, b, quad),
            2 => vfmaq_laneq_f32::<2>(c, b, quad),
            _ => vfmaq_laneq_f32::<3>(c, b, quad),
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, scale: *const f32, to: *mut f32, to_stride: usize) {
        let scale = vld1q_f32(scale);
        let [a, b, c, d] = std::array::from_fn(|i| vmulq_f32(vld1q_f32(from.add(i * stride)), scale));
        let wide = |v| vreinterpretq_f64_f32(v);
        let ([ab, cd], [ab_rest, cd_rest]) =
            ([vtrn1q_f32(a, b), vtrn1q_f32(c, d)], [vtrn2q_f32(a, b), vtrn2q_f32(c, d)]);
        let columns = [
            vtrn1q_f64(wide(ab), wide(cd)),
            vtrn1q_f64(wide(ab_rest), wide(cd_rest)),
            vtrn2q_f64(wide(ab), wide(cd)),
            vtrn2q_f64(wide(ab_rest), wide(cd_rest)),
        ];
        for (j, column) in columns.into_iter().enumerate() {
            vst1q_f32(to.add(j * to_stride), vreinterpretq_f32_f64(column));
        }
    }
}
