//! Exponential moving average of the weights: what a run keeps is steadier than its last step.

/// One average per parameter, in the optimizer's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    /// Share of the old average kept per step, in the long run.
    pub decay: f64,
    pub averages: Vec<Vec<f32>>,
}

impl Ema {
    /// Starts at the given values.
    pub fn new(decay: f64, values: Vec<Vec<f32>>) -> Self {
        Self { decay, averages: values }
    }

    /// Share of the old average kept at `step` (from 0): rises as (1 + t) / (10 + t) so that the first weights are
    /// soon forgotten.
    pub fn keep(&self, step: u64) -> f64 {
        self.decay.min((1 + step) as f64 / (10 + step) as f64)
    }
}
