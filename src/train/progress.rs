//! How far a run is and how it went so far: all of a checkpoint that is not weights.

use serde::{Deserialize, Serialize};

/// Sums over the optimizer steps of an epoch so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSums {
    pub steps: u64,
    /// Class loss of each step, normalised.
    pub class: f64,
    /// Box loss of each step, normalised.
    pub boxes: f64,
    pub grad_norm: f64,
}

impl LossSums {
    /// Mean over the steps.
    pub fn mean(&self, sum: f64) -> f64 {
        sum / self.steps.max(1) as f64
    }
}

/// One line of results.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    pub class_loss: f64,
    pub box_loss: f64,
    pub grad_norm: f64,
    /// Base rate at the epoch's last step.
    pub lr: f64,
    /// Validation figures of the averaged weights; `None` where a figure is undefined.
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    pub ap75: Option<f64>,
}

/// The best epoch so far by validation AP.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub epoch: u64,
    pub ap: f64,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: u64,
    /// Samples of the current epoch that are behind us; always at the end of a window.
    pub position: usize,
    /// Optimizer steps done.
    pub step: u64,
    pub sums: LossSums,
    pub best: Option<Best>,
    pub history: Vec<EpochRecord>,
}
