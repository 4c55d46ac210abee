//! Counters and history of a run, saved with each checkpoint: epoch, step, position, best AP, figures of all epochs.

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

    /// Mean class loss so far, for progress lines.
    pub fn mean_class(&self) -> f64 {
        self.mean(self.class)
    }

    /// Mean box loss so far.
    pub fn mean_boxes(&self) -> f64 {
        self.mean(self.boxes)
    }
}

/// An epoch as the state remembers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Bounds that hold AP, and AP at IoU 0.5, with 95 % (bootstrap over validation images); `None` with a single
    /// image.
    #[serde(default)]
    pub ap_interval: Option<[f64; 2]>,
    #[serde(default)]
    pub ap50_interval: Option<[f64; 2]>,
}

/// The best epoch so far by validation AP.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub epoch: u64,
    pub ap: f64,
}

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
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

impl RunProgress {
    /// Bounds that hold the best epoch's AP with 95 %.
    pub fn best_interval(&self) -> Option<[f64; 2]> {
        let best = self.best?;
        self.history.iter().find(|r| r.epoch == best.epoch).and_then(|r| r.ap_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn every_number_comes_back_from_toml_bit_for_bit() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(0);
        for _ in 0..2000 {
            // Any exponent that is not reserved for infinity and NaN.
            let mut any = || f64::from_bits(rng.random::<u64>() & !(1 << 62));
            let record = EpochRecord {
                epoch: 1,
                step: 2,
                class_loss: any(),
                box_loss: any(),
                grad_norm: any(),
                lr: any(),
                ap: Some(any()),
                ap50: None,
                ap75: Some(any()),
                ap_interval: Some([any(), any()]),
                ap50_interval: None,
            };
            let sums = LossSums { steps: 3, class: any(), boxes: any(), grad_norm: any() };
            let best = Some(Best { epoch: 1, ap: any() });
            let progress = RunProgress { sums, best, history: vec![record], ..RunProgress::default() };
            let text = toml::to_string(&progress).unwrap();
            assert_eq!(toml::from_str::<RunProgress>(&text).unwrap(), progress, "{text}");
        }
    }
}
