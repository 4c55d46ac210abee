//! Has the loss stopped falling, and is it the loss of a network that ignores its input?
//!
//! *Flat* is a claim of equivalence, not the absence of proof: the whole interval of slopes that fit the series must
//! lie within a margin (two one-sided tests, Schuirmann 1987, with Sen's interval). A noisy short series is never flat.
//!
//! *Blind*: a network whose output does not depend on the image can at best predict the shares of the classes among the
//! mined anchors. With `r` negatives per positive its loss per positive is `(1+r)·H(1/(1+r)) + H(classes)`: 2.25 for
//! one class and 3 : 1, whatever the data set. Where each class has a sigmoid of its own, the loss is
//! `(1+r)·Σ H(share of the class)`, the same for one class.

use super::trend::trend;

/// True if the change over the series is within ± `margin` (in the values' unit) with 95 % on either side.
pub fn is_flat(values: &[f64], margin: f64) -> bool {
    trend(values).is_some_and(|t| t.bounds[0] > -margin && t.bounds[1] < margin)
}

/// Class loss per positive of the best constant predictor, in nats. `positives` counts by class.
pub fn blind_class_loss(negatives_per_positive: f64, positives: &[f64], sigmoids: bool) -> f64 {
    let share = 1.0 / (1.0 + negatives_per_positive);
    let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let total: f64 = positives.iter().sum();
    if sigmoids && total > 0.0 {
        let shares = positives.iter().map(|p| share * p / total);
        return shares.map(|p| entropy(p) + entropy(1.0 - p)).sum::<f64>() / share;
    }
    let classes: f64 = if total > 0.0 { positives.iter().map(|p| entropy(p / total)).sum() } else { 0.0 };
    (entropy(share) + entropy(1.0 - share)) / share + classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    #[test]
    fn the_constant_predictor_has_the_loss_of_its_entropy() {
        assert!((blind_class_loss(3.0, &[7.0], false) - 2.249).abs() < 1e-3);
        assert!((blind_class_loss(3.0, &[5.0, 5.0], false) - 2.249 - 2f64.ln()).abs() < 1e-3);
        // By hand: cross-entropy of predicting the shares over one positive of each class and three negatives each.
        let by_hand = -(0.125f64.ln() * 2.0 + 0.75f64.ln() * 6.0) / 2.0;
        assert!((blind_class_loss(3.0, &[1.0, 1.0], false) - by_hand).abs() < 1e-12);
        // Two sigmoids over eight anchors, each right for one of them.
        let by_hand = -2.0 * (0.125f64.ln() + 7.0 * 0.875f64.ln()) / 2.0;
        assert!((blind_class_loss(3.0, &[1.0, 1.0], true) - by_hand).abs() < 1e-12);
        assert!((blind_class_loss(3.0, &[7.0, 0.0], true) - 2.249).abs() < 1e-3);
    }

    #[test]
    fn flat_needs_proof() {
        let mut noise = Noise::new(9);
        let (mut wrong, mut right) = (0, 0);
        for _ in 0..1000 {
            let mut series = |fall: f64, spread: f64| {
                let line = (0..24).map(|i| 2.0 - fall * i as f64 / 23.0 + spread * noise.normal());
                line.collect::<Vec<f64>>()
            };
            wrong += usize::from(is_flat(&series(0.2, 0.1), 0.2));
            right += usize::from(is_flat(&series(0.0, 0.03), 0.2));
            assert!(!is_flat(&series(0.0, 2.0), 0.2));
        }
        // At the margin itself the chance of calling it flat is 2.5 %.
        assert!(wrong < 45 && right > 950, "{wrong} wrong, {right} right of 1000");
    }
}
