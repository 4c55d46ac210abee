//! The learning rate over a run: linear warm-up, then a decay tied to the run's length.
//!
//! A decay that outlasts the run never happens, and one that ends early wastes the rest: both are known ways to
//! stagnate, so every shape here is stated as a share of the run.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine from 1 to 0.
    Cosine,
    /// A tenth after two thirds of the run, a hundredth after eight ninths.
    Step,
    /// Times 0.95 at each of 60 equal steps (TensorFlow's staircase, scaled to the run).
    Staircase,
    Constant,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub decay: Decay,
    /// Steps over which the rate rises linearly from zero.
    pub warmup: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// The course that takes the decay's place from some step on.
    pub again: Option<Restart>,
}

/// A new beginning: from step `from` on a linear rise over `rise` steps to `peak`, then half a cosine to 0 at step
/// `to`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    pub from: u64,
    pub rise: u64,
    pub to: u64,
    pub peak: f64,
}

impl Restart {
    fn factor(&self, step: u64) -> f64 {
        let since = step - self.from;
        let rise = if self.rise == 0 { 1.0 } else { ((since + 1) as f64 / self.rise as f64).min(1.0) };
        let span = self.to.saturating_sub(self.from + self.rise).max(1) as f64;
        let done = (since.saturating_sub(self.rise) as f64 / span).min(1.0);
        self.peak * rise * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

impl Schedule {
    /// The factor of the base rate at `step`, counted from 0; in `[0, 1]`.
    pub fn factor(&self, step: u64) -> f64 {
        if let Some(again) = self.again.filter(|a| step >= a.from) {
            return again.factor(step);
        }
        let rise = if self.warmup == 0 { 1.0 } else { ((step + 1) as f64 / self.warmup as f64).min(1.0) };
        let span = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = (step.saturating_sub(self.warmup) as f64 / span).clamp(0.0, 1.0);
        rise * match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Decay::Step if done < 2.0 / 3.0 => 1.0,
            Decay::Step if done < 8.0 / 9.0 => 0.1,
            Decay::Step => 0.01,
            Decay::Staircase => 0.95f64.powf((done * 60.0).floor()),
            Decay::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decay_warms_up_and_never_rises_again() {
        for decay in [Decay::Cosine, Decay::Step, Decay::Staircase, Decay::Constant] {
            let schedule = Schedule { decay, warmup: 10, total: 100, again: None };
            assert!((schedule.factor(0) - 0.1).abs() < 1e-12);
            assert_eq!(schedule.factor(9), 1.0, "{decay:?}");
            let after: Vec<f64> = (10..100).map(|s| schedule.factor(s)).collect();
            assert!(after.windows(2).all(|w| w[1] <= w[0]), "{decay:?}");
        }
        assert!(Schedule { decay: Decay::Cosine, warmup: 10, total: 100, again: None }.factor(99) < 1e-3);
    }

    #[test]
    fn a_restart_takes_over_where_it_begins() {
        let again = Some(Restart { from: 40, rise: 5, to: 100, peak: 0.5 });
        let schedule = Schedule { decay: Decay::Constant, warmup: 10, total: 100, again };
        assert_eq!((schedule.factor(39), schedule.factor(44)), (1.0, 0.5));
        assert!(schedule.factor(40) < 0.2 && schedule.factor(99) < 1e-3);
    }
}
