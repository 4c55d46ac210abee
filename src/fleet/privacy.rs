//! Differential privacy of a node's updates: each is clipped to a norm and gets Gaussian noise on the board, before anything
//! leaves it; and what that comes to over rounds.
//!
//! The unit of privacy is the node: two sets of updates are neighbours if one node's are left out of the other. The noise of
//! each number has deviation `noise * clip`. The accountant adds up Rényi divergences (Mironov 2017, "Rényi Differential
//! Privacy"): a round of the Gaussian mechanism has divergence `α / (2 noise²)` of order α (corollary 3), and rounds add
//! (proposition 1). Divergence r of order α gives `(r + ln((α - 1) / α) - (ln δ + ln α) / (α - 1), δ)` (Canonne, Kamath and
//! Steinke 2020, proposition 12), which is below Mironov's own bound. Where a server picks a random share of the nodes, the
//! divergence of a whole order is that of Mironov, Talwar and Zhang 2019 ("Rényi Differential Privacy of the Sampled Gaussian
//! Mechanism", section 3.3). That holds against those who see the rounds' results, not against the server: it knows whom it
//! picked.

use anyhow::{Result, bail};
use rand::Rng;

/// Clipping and noise of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Privacy {
    /// Largest L2 norm of all differences together.
    pub clip: f64,
    /// Deviation of the noise of each number, in clips.
    pub noise: f64,
}

/// Whole orders that are looked at.
const ORDERS: std::ops::RangeInclusive<u32> = 2..=512;

/// Orders where all nodes take part, which need not be whole: from just above 1 by these steps of the distance to 1.
const FIRST_ORDER: f64 = 1e-3;
const ORDER_STEP: f64 = 1.02;
const MOST_ORDERS: i32 = 1200;

impl Privacy {
    /// # Errors
    /// If the numbers make no sense.
    pub fn new(clip: f64, noise: f64) -> Result<Self> {
        if !(clip.is_finite() && clip > 0.0) {
            bail!("clip = {clip}, expected more than 0");
        }
        if !(noise.is_finite() && noise >= 0.0) {
            bail!("noise = {noise}, expected 0 or more");
        }
        Ok(Self { clip, noise })
    }

    /// Clips differences to the norm, adds the noise, and returns their norm before.
    pub fn apply(&self, differences: &mut [Vec<f32>], rng: &mut impl Rng) -> f64 {
        let square: f64 = differences.iter().flatten().map(|&v| f64::from(v).powi(2)).sum();
        let norm = square.sqrt();
        let times = if norm > self.clip { self.clip / norm } else { 1.0 };
        let deviation = self.noise * self.clip;
        for value in differences.iter_mut().flatten() {
            let noise = if deviation > 0.0 { deviation * normal(rng) } else { 0.0 };
            *value = (f64::from(*value) * times + noise) as f32;
        }
        norm
    }

    /// The epsilon of (epsilon, `delta`) after so many rounds, in each of which a node takes part with probability `share`;
    /// infinite without noise.
    ///
    /// # Panics
    /// If `delta` or `share` is not inside of (0, 1) or (0, 1].
    pub fn epsilon(&self, rounds: u64, share: f64, delta: f64) -> f64 {
        assert!(delta > 0.0 && delta < 1.0 && share > 0.0 && share <= 1.0, "delta {delta}, share {share}");
        if rounds == 0 {
            return 0.0;
        }
        if self.noise == 0.0 {
            return f64::INFINITY;
        }
        let rounds = rounds as f64;
        let bound = |order: f64, divergence: f64| {
            rounds * divergence + ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0)
        };
        let best = if share == 1.0 {
            let orders = (0..MOST_ORDERS).map(|i| 1.0 + FIRST_ORDER * ORDER_STEP.powi(i));
            orders.map(|a| bound(a, a / (2.0 * self.noise.powi(2)))).fold(f64::INFINITY, f64::min)
        } else {
            ORDERS.map(|a| bound(f64::from(a), sampled(a, share, self.noise))).fold(f64::INFINITY, f64::min)
        };
        // The bound may fall below what no mechanism has.
        best.max(0.0)
    }
}

/// Divergence of a whole order of the sampled Gaussian mechanism: `ln(Σ_k C(α,k) (1-q)^(α-k) q^k exp((k² - k) / 2σ²)) /
/// (α - 1)`.
fn sampled(order: u32, share: f64, noise: f64) -> f64 {
    let (mut binomial, mut terms) = (0f64, Vec::with_capacity(order as usize + 1));
    for k in 0..=order {
        let (of, k) = (f64::from(order), f64::from(k));
        terms.push(binomial + (of - k) * (1.0 - share).ln() + k * share.ln() + k * (k - 1.0) / (2.0 * noise.powi(2)));
        binomial += (of - k).ln() - (k + 1.0).ln();
    }
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|t| (t - most).exp()).sum();
    (most + sum.ln()) / f64::from(order - 1)
}

/// Standard normal by Box and Muller (1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn epsilon(noise: f64, rounds: u64, share: f64, delta: f64) -> f64 {
        Privacy::new(1.0, noise).unwrap().epsilon(rounds, share, delta)
    }

    /// The values that TensorFlow Privacy's tests of its accountant state for these runs.
    #[test]
    fn a_sampled_run_has_the_published_epsilon() {
        for (examples, batch, noise, epochs, delta, published) in
            [(60_000, 150, 1.3, 15, 1e-5, 0.724_223_402_6), (100_000, 100, 1.0, 30, 1e-7, 1.415_498_849_5)]
        {
            let found = epsilon(noise, epochs * examples / batch, batch as f64 / examples as f64, delta);
            assert!((found - published).abs() < 1e-6, "{found}, published {published}");
        }
    }

    /// The exact privacy of the Gaussian mechanism (Balle and Wang 2018, theorem 8) is a lower bound, and Mironov's
    /// proposition 3 with its best order an upper one.
    #[test]
    fn a_run_of_all_nodes_lies_between_the_exact_value_and_mironovs_bound() {
        let delta_of = |epsilon: f64, noise: f64| {
            let tail = |x: f64| 0.5 * erfc(x / std::f64::consts::SQRT_2);
            tail(epsilon * noise - 0.5 / noise) - epsilon.exp() * tail(epsilon * noise + 0.5 / noise)
        };
        for (noise, rounds, delta) in [(1.0, 1, 1e-5), (4.0, 10, 1e-5), (20.0, 100, 1e-6), (2.0, 50, 1e-3)] {
            let found = epsilon(noise, rounds, 1.0, delta);
            let (r, doubt) = (rounds as f64 / (2.0 * noise * noise), (1.0f64 / delta).ln());
            assert!(found < r + 2.0 * (r * doubt).sqrt(), "{found}");
            // Rounds of one mechanism are one with less noise.
            let together = noise / (rounds as f64).sqrt();
            assert!(delta_of(found, together) <= delta, "{found} promises too much");
            assert!(delta_of(0.75 * found, together) > delta, "{found} is far too careful");
        }
    }

    #[test]
    fn more_noise_and_fewer_rounds_are_more_private() {
        assert!(epsilon(2.0, 10, 1.0, 1e-5) < epsilon(1.0, 10, 1.0, 1e-5));
        assert!(epsilon(1.0, 5, 0.1, 1e-5) < epsilon(1.0, 50, 0.1, 1e-5));
        assert!(epsilon(1.0, 10, 0.1, 1e-5) < epsilon(1.0, 10, 1.0, 1e-5));
        assert_eq!((epsilon(0.0, 1, 1.0, 1e-5), epsilon(1.0, 0, 1.0, 1e-5)), (f64::INFINITY, 0.0));
        for (clip, noise) in [(0.0, 1.0), (f64::NAN, 1.0), (1.0, -1.0), (1.0, f64::INFINITY)] {
            assert!(Privacy::new(clip, noise).is_err());
        }
    }

    #[test]
    fn an_update_is_clipped_as_a_whole_and_noise_has_its_deviation() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        let mut small = vec![vec![0.3f32], vec![0.4]];
        assert!((Privacy::new(1.0, 0.0).unwrap().apply(&mut small, &mut rng) - 0.5).abs() < 1e-6);
        assert_eq!(small, [[0.3], [0.4]]);
        let mut large = vec![vec![3.0f32], vec![4.0]];
        assert_eq!(Privacy::new(1.0, 0.0).unwrap().apply(&mut large, &mut rng), 5.0);
        assert!((large[0][0] - 0.6).abs() < 1e-6 && (large[1][0] - 0.8).abs() < 1e-6);
        let mut many = vec![vec![0f32; 100_000]];
        Privacy::new(0.5, 3.0).unwrap().apply(&mut many, &mut rng);
        let square = many[0].iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 100_000.0;
        assert!((square.sqrt() - 1.5).abs() < 0.02, "{}", square.sqrt());
    }

    /// By numerical integration: Simpson's rule.
    fn erfc(x: f64) -> f64 {
        let (steps, far) = (20_000, 12.0f64);
        let h = (far - x) / f64::from(steps);
        let f = |i: i32| (-(x + h * f64::from(i)).powi(2)).exp();
        let inner: f64 = (1..steps).map(|i| if i % 2 == 1 { 4.0 * f(i) } else { 2.0 * f(i) }).sum();
        2.0 / std::f64::consts::PI.sqrt() * h / 3.0 * (f(0) + inner + f(steps))
    }
}
