//! Exponential moving average of the weights: what a run keeps is steadier than its last step.

use super::state_vec::StateVec;

/// Size of a lag that no training comes to.
const ABSURD_LAG: f32 = 1e4;

/// One average per parameter, in the optimizer's order, held as how far it lags behind its parameter: parameter minus
/// average.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    /// Share of the old average kept per step, in the long run.
    pub decay: f64,
    /// Empty for a parameter that is not averaged.
    pub lags: Vec<StateVec>,
}

impl Ema {
    /// Starts at the parameters, of which there are so many numbers each; lags have 16 bits where `half`.
    pub fn new(decay: f64, lens: impl IntoIterator<Item = usize>, half: bool) -> Self {
        Self { decay, lags: lens.into_iter().map(|len| StateVec::zeros(len, half)).collect() }
    }

    /// Share of the old average kept at `step` (from 0): rises as (1 + t) / (10 + t) so that the first weights are
    /// soon forgotten.
    pub fn keep(&self, step: u64) -> f64 {
        self.decay.min((1 + step) as f64 / (10 + step) as f64)
    }

    /// Makes of a parameter its average. A lag that no training comes to, as a flipped bit leaves it, is left aside: the
    /// number stays as it is.
    pub fn average(&self, parameter: usize, numbers: &mut [f32]) {
        for (number, lag) in numbers.iter_mut().zip(self.lags[parameter].numbers()) {
            if lag.abs() < ABSURD_LAG {
                *number -= lag;
            }
        }
    }
}
