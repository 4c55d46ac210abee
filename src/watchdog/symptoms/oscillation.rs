//! Does a series swing, and does it swing more than it did?
//!
//! *Oscillation*: von Neumann's ratio (1941), mean squared step over variance, is 2 for independent values, towards 0 for
//! a drift and towards 4 where each value answers the one before. Normal approximation, level kept from 16 values on.
//! *Scale*: Brown & Forsythe (1974), the two-sample comparison of distances from the median, here by ranks
//! ([`super::higher`]), so that one spike does not decide.

use super::centre::median;
use super::rank::higher;
use super::tail::normal_tail;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oscillation {
    /// 0 to 4; 2 for independent values.
    pub ratio: f64,
    /// Chance of as high a ratio for independent values.
    pub level: f64,
}

/// `None` for fewer than eight values or without any variance.
pub fn oscillation(values: &[f64]) -> Option<Oscillation> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    if values.len() < 8 || !square.is_finite() || square == 0.0 {
        return None;
    }
    let steps: f64 = values.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
    let ratio = steps / square;
    let z = (ratio - 2.0) / 2.0 * ((n * n - 1.0) / (n - 2.0)).sqrt();
    Some(Oscillation { ratio, level: normal_tail(z) })
}

/// Chance of `after` lying as much farther from its median than `before` does, were both of one scale.
pub fn scale_change(before: &[f64], after: &[f64]) -> f64 {
    let distances = |values: &[f64]| {
        let centre = median(values);
        values.iter().map(|v| (v - centre).abs()).collect::<Vec<_>>()
    };
    higher(&distances(before), &distances(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    #[test]
    fn swinging_is_told_from_noise_and_drift() {
        let swing: Vec<f64> = (0..32).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(oscillation(&swing).unwrap().level < 1e-6);
        let drift: Vec<f64> = (0..24).map(f64::from).collect();
        assert!(oscillation(&drift).unwrap().ratio < 0.1);
        assert!(oscillation(&[1.0; 24]).is_none());
    }

    #[test]
    fn the_stated_levels_are_kept() {
        let mut noise = Noise::new(5);
        let (mut swings, mut wider) = (0, 0);
        for _ in 0..5000 {
            let mut draw = |n: usize| (0..n).map(|_| noise.normal()).collect::<Vec<f64>>();
            swings += usize::from(oscillation(&draw(24)).unwrap().level < 0.01);
            wider += usize::from(scale_change(&draw(20), &draw(20)) < 0.01);
        }
        assert!(swings < 75 && wider < 75, "{swings} and {wider} of 5000, expected about 50");
        let narrow: Vec<f64> = (0..20).map(|_| noise.normal()).collect();
        let wide: Vec<f64> = (0..20).map(|_| 6.0 * noise.normal()).collect();
        assert!(scale_change(&narrow, &wide) < 1e-3);
    }
}
