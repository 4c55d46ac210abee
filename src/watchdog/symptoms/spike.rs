//! Does one value stand out of those before it? Distance from the median in robust deviations (Hampel 1974; Iglewicz &
//! Hoaglin 1993), in logarithms where the values are positive by nature, because losses and gradient norms are skewed.
//!
//! The deviation of few values is itself uncertain, so a bare normal level would be wrong: with 16 values before,
//! distance 12 is passed by fewer than 1 in 10,000 normal values (tested).

use super::centre::{deviation, median};

/// Deviations from the median of `before` at which `value` lies; 0 for fewer than eight values before.
///
/// Deviations below 1 % of the median count as that much: a series that hardly moves does not make everything a spike.
pub fn spike(before: &[f64], value: f64) -> f64 {
    if before.len() < 8 {
        return 0.0;
    }
    let centre = median(before);
    let scale = deviation(before).max(0.01 * centre.abs()).max(f64::MIN_POSITIVE);
    (value - centre) / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    #[test]
    fn a_spike_stands_out_and_noise_does_not() {
        let mut noise = Noise::new(11);
        let mut alarms = 0;
        for _ in 0..20_000 {
            let before: Vec<f64> = (0..16).map(|_| 5.0 + noise.normal()).collect();
            alarms += usize::from(spike(&before, 5.0 + noise.normal()).abs() > 12.0);
            assert!(spike(&before, 60.0) > 12.0);
        }
        assert!(alarms <= 4, "{alarms} of 20000");
        assert_eq!(spike(&[1.0; 7], 100.0), 0.0);
        assert!(spike(&[2.0; 9], 2.01) < 1.0);
    }
}
