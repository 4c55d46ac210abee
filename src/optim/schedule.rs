//! The learning rate over a run: linear warm-up, then a decay tied to the run's length.
//!
//! A decay that outlasts the run never happens, and one that ends early wastes the rest: both are known ways to
//! stagnate, so every shape here is stated as a share of the run.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

impl Schedule {
    /// What multiplies the base rate at `step`, counted from 0; in `[0, 1]`.
    pub fn factor(&self, step: u64) -> f64 {
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
            let schedule = Schedule { decay, warmup: 10, total: 100 };
            assert!((schedule.factor(0) - 0.1).abs() < 1e-12);
            assert_eq!(schedule.factor(9), 1.0, "{decay:?}");
            let after: Vec<f64> = (10..100).map(|s| schedule.factor(s)).collect();
            assert!(after.windows(2).all(|w| w[1] <= w[0]), "{decay:?}");
        }
        assert!(Schedule { decay: Decay::Cosine, warmup: 10, total: 100 }.factor(99) < 1e-3);
    }
}
