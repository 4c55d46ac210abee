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

/// `P(X ≥ k)` of a binomial with `n` trials of probability `p`: the sign test, and every "too many of n".
pub fn binomial_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    let (ln_p, ln_q) = (p.ln(), (-p).ln_1p());
    let mut ln_choose = 0.0;
    let mut total = 0.0;
    for i in 0..=n {
        if i > 0 {
            ln_choose += ((n - i + 1) as f64).ln() - (i as f64).ln();
        }
        if i >= k {
            total += (ln_choose + i as f64 * ln_p + (n - i) as f64 * ln_q).exp();
        }
    }
    total.min(1.0)
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
}
