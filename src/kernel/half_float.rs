//! Numbers kept in half the space: IEEE 754 binary16, eleven significant bits up to 65504.

use super::isa::{Isa, per_simd};
use super::simd::Simd;

/// Rounds `from` into `to`.
///
/// # Panics
/// If the lengths differ.
pub fn narrow(isa: Isa, from: &[f32], to: &mut [u16]) {
    assert_eq!(from.len(), to.len(), "numbers to narrow");
    // SAFETY: both are as long.
    unsafe { narrow_raw(isa, from.len(), from.as_ptr(), to.as_mut_ptr()) }
}

/// The numbers again, exactly.
///
/// # Panics
/// If the lengths differ.
pub fn widen(isa: Isa, from: &[u16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "numbers to widen");
    // SAFETY: both are as long.
    unsafe { widen_raw(isa, from.len(), from.as_ptr(), to.as_mut_ptr()) }
}

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Vectors that a round takes: what a loop costs besides falls on all of them.
const ROUND: usize = 4;

per_simd! {
    unsafe fn narrow_raw(len: usize, from: *const f32, to: *mut u16) = narrow_body
}

#[inline(always)]
unsafe fn narrow_body<S: Simd>(len: usize, from: *const f32, to: *mut u16) {
    let whole = len / S::LANES * S::LANES;
    let rounds = len / (ROUND * S::LANES);
    // SAFETY: the caller vouches for `len` numbers of both; what is left goes through a buffer of a whole vector.
    unsafe {
        for round in 0..rounds {
            let at = round * ROUND * S::LANES;
            let vectors: [S::V; ROUND] = std::array::from_fn(|v| S::load(from.add(at + v * S::LANES)));
            for (v, &vector) in vectors.iter().enumerate() {
                S::store_half(to.add(at + v * S::LANES), vector);
            }
        }
        for i in (rounds * ROUND * S::LANES..whole).step_by(S::LANES) {
            S::store_half(to.add(i), S::load(from.add(i)));
        }
        let mut rest = [0u16; MOST_LANES];
        S::store_half(rest.as_mut_ptr(), S::load_part(from.add(whole), len - whole));
        std::ptr::copy_nonoverlapping(rest.as_ptr(), to.add(whole), len - whole);
    }
}

per_simd! {
    unsafe fn widen_raw(len: usize, from: *const u16, to: *mut f32) = widen_body
}

#[inline(always)]
unsafe fn widen_body<S: Simd>(len: usize, from: *const u16, to: *mut f32) {
    let whole = len / S::LANES * S::LANES;
    let rounds = len / (ROUND * S::LANES);
    // SAFETY: as above.
    unsafe {
        for round in 0..rounds {
            let at = round * ROUND * S::LANES;
            let vectors: [S::V; ROUND] = std::array::from_fn(|v| S::load_half(from.add(at + v * S::LANES)));
            for (v, &vector) in vectors.iter().enumerate() {
                S::store(to.add(at + v * S::LANES), vector);
            }
        }
        for i in (rounds * ROUND * S::LANES..whole).step_by(S::LANES) {
            S::store(to.add(i), S::load_half(from.add(i)));
        }
        let mut rest = [0u16; MOST_LANES];
        std::ptr::copy_nonoverlapping(from.add(whole), rest.as_mut_ptr(), len - whole);
        S::store_part(to.add(whole), S::load_half(rest.as_ptr()), len - whole);
    }
}
