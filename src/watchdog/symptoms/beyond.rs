//! Is a series, after something was changed, better than where it was going anyway?
//!
//! The trend before is a line of Theil-Sen slope through the medians, carried on over what came after. The differences
//! of what came after from that line are held against the differences before by rank (Mann & Whitney 1947), so that
//! neither a steady rise nor one lucky value counts as help. A trend against the wanted direction is not carried on:
//! what was getting worse may have been about to stop.

use super::centre::median;
use super::rank::higher;

/// Chance below which the difference is told.
const CHANCE: f64 = 0.02;

/// Fewest values on either side that can tell anything at that level.
const FEWEST: usize = 4;

/// True if `after` lies beyond the trend of `before` in the direction of `sign` (1: higher is better, -1: lower is).
pub fn beyond(before: &[f64], after: &[f64], sign: f64) -> bool {
    if before.len() < FEWEST || after.len() < FEWEST {
        return false;
    }
    let (before, after): (Vec<f64>, Vec<f64>) =
        (before.iter().map(|v| sign * v).collect(), after.iter().map(|v| sign * v).collect());
    let mut slopes: Vec<f64> = Vec::new();
    for i in 0..before.len() {
        slopes.extend((i + 1..before.len()).map(|j| (before[j] - before[i]) / (j - i) as f64));
    }
    let slope = median(&slopes).max(0.0);
    let rest = |values: &[f64], from: usize| -> Vec<f64> {
        values.iter().enumerate().map(|(i, v)| v - slope * (from + i) as f64).collect()
    };
    higher(&rest(&before, 0), &rest(&after, before.len())) < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    fn series(noise: &mut Noise, n: usize, at: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|i| at(i as f64) + 0.02 * noise.normal()).collect()
    }

    #[test]
    fn a_rise_that_goes_on_is_no_help_and_a_leap_is() {
        let mut noise = Noise::new(11);
        let (mut rise, mut leap, mut flat) = (0, 0, 0);
        for _ in 0..500 {
            let before = series(&mut noise, 8, |i| 0.02 * i);
            rise += usize::from(beyond(&before, &series(&mut noise, 4, |i| 0.16 + 0.02 * i), 1.0));
            leap += usize::from(beyond(&before, &series(&mut noise, 4, |i| 0.36 + 0.02 * i), 1.0));
            let level = series(&mut noise, 8, |_| 0.5);
            flat += usize::from(beyond(&level, &series(&mut noise, 4, |_| 0.5), -1.0));
        }
        assert!(rise < 50 && flat < 50, "told of nothing: {rise} and {flat} of 500");
        assert!(leap > 450, "{leap} of 500");
    }

    #[test]
    fn a_loss_that_grew_and_falls_is_help_and_little_tells_nothing() {
        assert!(beyond(&[3.0, 5.0, 8.0, 12.0, 20.0], &[2.6, 2.5, 2.4, 2.3], -1.0));
        assert!(!beyond(&[3.0, 5.0, 8.0], &[2.6, 2.5, 2.4, 2.3], -1.0));
        assert!(!beyond(&[2.6, 2.5, 2.4, 2.3], &[3.0, 5.0, 8.0, 12.0, 20.0], -1.0));
    }
}
