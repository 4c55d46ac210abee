//! Random draws whose values never change: a checkpoint made today resumes to the same order and the same crops
//! with any later version of any library.
//!
//! Every stream is named by three numbers (seed, epoch, position) and is independent of all others, so no draw
//! depends on how many threads work or on where a run was interrupted. The generator is PCG 128/64 MCG
//! (O'Neill 2014), whose output is fixed by its definition; distributions are ours for the same reason.

use rand::RngCore;
use rand_pcg::Pcg64Mcg;

/// The generator of one stream.
pub fn generator(seed: u64, epoch: u64, position: u64) -> Pcg64Mcg {
    let key = scatter(seed.wrapping_add(scatter(epoch.wrapping_add(scatter(position)))));
    Pcg64Mcg::new(u128::from(scatter(key)) << 64 | u128::from(key))
}

/// SplitMix64's output function after one step: a bijection in which every input bit moves every output bit.
fn scatter(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Distributions over any generator. Each draw consumes exactly one `u64`, whatever its arguments.
pub trait Draw: RngCore {
    /// Uniform in `[0, 1)`, 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform between `low` and `high`; `low` where they are equal.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with `probability`: never at 0, always at 1.
    fn coin(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..n`, and 0 where `n` is 0. The bias is below n / 2^64.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// A uniformly random order (Fisher and Yates).
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end + 1);
            items.swap(end, other);
        }
    }
}

impl<R: RngCore + ?Sized> Draw for R {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_draws_are_pinned() {
        let mut rng = generator(1, 2, 3);
        let drawn = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        let pinned = [11214114483581083106, 15975631216039035312, 12812356761956703894];
        assert_eq!(drawn, pinned, "checkpoints of earlier versions would resume differently");
    }

    #[test]
    fn neighbouring_streams_differ() {
        let firsts: std::collections::BTreeSet<u64> = (0..4)
            .flat_map(|s| (0..4).flat_map(move |e| (0..64).map(move |p| generator(s, e, p).next_u64())))
            .collect();
        assert_eq!(firsts.len(), 4 * 4 * 64);
    }

    #[test]
    fn draws_stay_in_their_ranges_and_fill_them() {
        let mut rng = generator(5, 0, 0);
        let units: Vec<f64> = (0..10_000).map(|_| rng.unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = units.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
        let mut seen = [0; 7];
        (0..7000).for_each(|_| seen[rng.below(7)] += 1);
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert!((0..100).all(|_| rng.coin(1.0) && !rng.coin(0.0)));
        assert_eq!(rng.below(0), 0);
    }
}
