//! The peak rates that kernels are measured against: this core's multiplications and additions when nothing holds it
//! up, and its memory.

use super::isa::{Isa, per_simd};
use super::simd::Simd;
use std::hint::black_box;
use std::time::Instant;

/// Sums kept under way: enough to hide the latency of any multiply-add so far, few enough for 16 registers.
const SUMS: usize = 12;

/// Rounds of one measurement, and how many of them; the fastest counts.
const ROUNDS: usize = 1 << 20;
const REPEATS: usize = 8;

per_simd! {
    unsafe fn rounds(count: usize, out: *mut f32) = rounds_body
}

#[inline(always)]
unsafe fn rounds_body<S: Simd>(count: usize, out: *mut f32) {
    // SAFETY: plain arithmetic on this instruction set, and one number is written.
    unsafe {
        // Numbers that the compiler does not know: otherwise it makes one sum of twelve equal ones, and none at all when
        // these rounds are no different from the last.
        let (factor, term) = (S::splat(black_box(0.999)), S::splat(black_box(1e-3)));
        let mut sums = [term; SUMS];
        for sum in &mut sums {
            *sum = S::splat(black_box(1e-3));
        }
        for _ in 0..count {
            for sum in &mut sums {
                *sum = S::fma(*sum, factor, term);
            }
        }
        let total = sums.into_iter().fold(S::splat(0.0), |a, b| S::add(a, b));
        S::store_part(out, total, 1);
    }
}

/// Floating-point operations per second of one core on `isa`'s fused multiply-adds (two operations each), in 10^9.
pub fn peak_gflops(isa: Isa) -> f64 {
    measured_gflops(isa, ROUNDS)
}

fn measured_gflops(isa: Isa, count: usize) -> f64 {
    let (mut fastest, mut out) = (f64::INFINITY, 0f32);
    for _ in 0..REPEATS {
        let began = Instant::now();
        // SAFETY: `out` takes the one number written.
        unsafe { rounds(isa, count, &mut out) };
        black_box(out);
        fastest = fastest.min(began.elapsed().as_secs_f64());
    }
    (count * SUMS * isa.lanes() * 2) as f64 / fastest / 1e9
}

/// Numbers of each of the two arrays that are copied to measure memory: more than the caches of such machines hold.
const COPIED: usize = 16 << 20;

/// Bytes per second that this core reads and writes together when it copies what no cache holds, in 10^9.
pub fn memory_gb_per_s() -> f64 {
    let (from, mut to) = (vec![1f32; COPIED], vec![0f32; COPIED]);
    let mut fastest = f64::INFINITY;
    for _ in 0..REPEATS {
        let began = Instant::now();
        to.copy_from_slice(black_box(&from));
        fastest = fastest.min(began.elapsed().as_secs_f64());
        black_box(&mut to);
    }
    (2 * COPIED * size_of::<f32>()) as f64 / fastest / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two multiply-adds of sixteen lanes a cycle at 8 GHz: no core does as much. A loop that does was optimised away.
    #[test]
    fn the_rounds_are_really_made() {
        for isa in Isa::available() {
            let gflops = measured_gflops(isa, 1 << 14);
            assert!(gflops < 512.0, "{}: {gflops} GFLOP/s", isa.name());
        }
    }
}
