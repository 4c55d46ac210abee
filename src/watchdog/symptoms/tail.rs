//! Tail probabilities.

/// `P(Z ≥ z)` of a standard normal.
///
/// The complementary error function by Press et al., Numerical Recipes (1992), section 6.2: relative error below 1.2e-7
/// everywhere, so that levels of 1e-6 mean something.
pub fn normal_tail(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    const C: [f64; 9] =
        [1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
    let series = C.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let upper = 0.5 * t * (-x * x - 1.26551223 + t * series).exp();
    if z >= 0.0 { upper } else { 1.0 - upper }
}

/// Trials that are counted in full. As many decide everything that matters here, and more would take longer.
const MOST_TRIALS: u64 = 1 << 24;

/// Factors that are multiplied out one by one; beyond, Stirling's series is as exact.
const FEW: u64 = 256;

/// `P(X ≥ k)` of a binomial with `n` trials of probability `p`: the sign test, and every "too many of n".
///
/// Of more than `MOST_TRIALS` trials the same share of that many is judged, which asks for a stronger effect. Terms are
/// summed from `k` away from the mean until they no longer count: some ten standard deviations, whatever `n` is.
pub fn binomial_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p.is_nan() || p <= 0.0 {
        return 0.0;
    }
    let (k, n) = if n > MOST_TRIALS { scaled(k, n) } else { (k, n) };
    let (ln_p, ln_q) = (p.ln(), (-p).ln_1p());
    let term = |i: u64| (ln_choose(n, i) + i as f64 * ln_p + (n - i) as f64 * ln_q).exp();
    let odds = p / (1.0 - p);
    let (mut total, mut i) = (0.0, k);
    if k as f64 > n as f64 * p {
        let mut now = term(k);
        while i <= n && now > total * f64::EPSILON {
            total += now;
            now *= (n - i) as f64 / (i + 1) as f64 * odds;
            i += 1;
        }
        return f64::min(total, 1.0);
    }
    let mut now = term(k - 1);
    while i > 0 && now > total * f64::EPSILON {
        i -= 1;
        total += now;
        now *= i as f64 / (n - i + 1) as f64 / odds;
    }
    (1.0 - total).max(0.0)
}

/// The share `k` of `n` among [`MOST_TRIALS`], rounded down.
fn scaled(k: u64, n: u64) -> (u64, u64) {
    let share = u128::from(k) * u128::from(MOST_TRIALS) / u128::from(n);
    (u64::try_from(share).unwrap_or(MOST_TRIALS).max(1), MOST_TRIALS)
}

/// Natural logarithm of n over k.
fn ln_choose(n: u64, k: u64) -> f64 {
    let few = k.min(n - k);
    if few <= FEW {
        return (0..few).map(|i| ((n - i) as f64).ln() - ((i + 1) as f64).ln()).sum();
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, with a relative error below 1e-16 from [`FEW`] on.
fn ln_factorial(n: u64) -> f64 {
    let x = n as f64;
    let series = (1.0 / 12.0 - 1.0 / (360.0 * x * x)) / x;
    (x + 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_tables() {
        for (z, p) in [(0.0, 0.5), (1.959964, 0.025), (3.090232, 1e-3), (4.753424, 1e-6), (-1.0, 0.8413447)] {
            assert!((normal_tail(z) / p - 1.0).abs() < 1e-5, "{z}: {}", normal_tail(z));
        }
        assert!((binomial_tail(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert!((binomial_tail(1, 5, 0.1) - (1.0 - 0.9f64.powi(5))).abs() < 1e-12);
        assert_eq!((binomial_tail(0, 5, 0.1), binomial_tail(6, 5, 0.1)), (1.0, 0.0));
    }

    /// Every term, multiplied out.
    fn summed(k: u64, n: u64, p: f64) -> f64 {
        let mut ln_choose = 0.0;
        let mut total = 0.0;
        for i in 0..=n {
            if i > 0 {
                ln_choose += ((n - i + 1) as f64).ln() - (i as f64).ln();
            }
            if i >= k {
                total += (ln_choose + i as f64 * p.ln() + (n - i) as f64 * (-p).ln_1p()).exp();
            }
        }
        total
    }

    #[test]
    fn the_sum_cut_short_is_the_whole_sum() {
        for n in [1, 2, 7, 64, 700, 5000] {
            for p in [1e-4, 0.03, 0.2, 0.5, 0.97] {
                for k in [1, n / 5, n / 2, (n as f64 * p) as u64 + 1, n - n / 9, n].into_iter().filter(|k| *k > 0) {
                    let (short, whole) = (binomial_tail(k, n, p), summed(k, n, p));
                    assert!((short - whole).abs() <= 1e-9 * whole + 1e-12, "{k} of {n} at {p}: {short} and {whole}");
                }
            }
        }
    }

    #[test]
    fn no_count_takes_long() {
        let began = std::time::Instant::now();
        for n in [1 << 24, 1 << 31, 1 << 40, u64::MAX] {
            for p in [1e-9, 0.004, 0.2, 0.5, 1.0 - 1e-9] {
                for k in [1, n / 1000, n / 5, n / 2, n - 1, n] {
                    let tail = binomial_tail(k, n, p);
                    assert!((0.0..=1.0).contains(&tail), "{k} of {n} at {p}: {tail}");
                }
            }
        }
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }
}
