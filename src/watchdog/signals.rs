//! The signals of every optimizer step and every epoch. Plain numbers; nothing here knows a tensor.

use super::plausible::{MOST_CLASSES, at_most, count, finite};
use super::shortfall::Shortfall;
use super::suspects::{ImageSignals, NAMED, Suspicion};
use serde::{Deserialize, Serialize};

/// A part of the window's loss: of one class, or of one feature map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Portion {
    /// Matched anchors.
    pub positives: u64,
    /// Loss of those anchors, summed, class and box part.
    pub loss: f64,
}

/// How a stage is doing at one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSignals {
    /// Norm of the normalised gradient before clipping; 0 where the stage is not trained.
    pub grad_norm: f32,
    pub weight_norm: f32,
    /// Norm of the step over norm of the weights; 0 where the stage is not trained or held.
    pub update_ratio: f32,
    /// Largest share, over its layers, of channels that were zero everywhere in the batch.
    pub dead: f32,
    /// Largest share, over its layers, of channels whose mean output is at ReLU6's upper bound.
    pub saturated: f32,
}

/// One optimizer step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSignals {
    /// Counted from 1.
    pub step: u64,
    /// Counted from 1.
    pub epoch: u64,
    /// Class loss of the window over its positives.
    pub class_loss: f64,
    /// Box loss of the window over its positives.
    pub box_loss: f64,
    pub micro_batches: u32,
    /// Micro-batches without any matched anchor.
    pub barren: u32,
    /// Norm of the normalised gradient before clipping.
    pub grad_norm: f64,
    /// Base learning rate.
    pub lr: f64,
    /// The schedule's factor, in [0, 1].
    pub factor: f64,
    /// By class, without the background.
    pub classes: Vec<Portion>,
    /// By feature map, largest first.
    pub maps: Vec<Portion>,
    /// Looked at now and then.
    pub stages: Option<Vec<StageSignals>>,
    /// Deviation over images divided by root mean square of the backbone's output; needs two images.
    pub response: Option<f64>,
    /// Gradient noise scale in images (McCandlish et al. 2018).
    pub noise: Option<f64>,
    pub images: Vec<ImageSignals>,
}

impl StepSignals {
    /// True if every number that steers the step is one.
    pub fn is_finite(&self) -> bool {
        self.class_loss.is_finite() && self.box_loss.is_finite() && self.grad_norm.is_finite()
    }
}

/// The figures of an epoch, as the trainer knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochFigures {
    /// Counted from 1.
    pub epoch: u64,
    pub step: u64,
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    pub class_ap: Vec<Option<f64>>,
    /// Losses on the validation images, class and box part, per positive.
    pub validation: Option<[f64; 2]>,
    /// The part of that class loss that is about which object it is.
    pub naming: Option<f64>,
    /// Bounds that hold AP, and AP50, with 95 %.
    pub ap_interval: Option<[f64; 2]>,
    pub ap50_interval: Option<[f64; 2]>,
    pub shortfall: Option<Shortfall>,
}

/// An epoch as it is remembered and journalled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSignals {
    pub epoch: u64,
    pub step: u64,
    /// Mean training loss per positive, class and box part.
    pub training: [f32; 2],
    pub validation: Option<[f32; 2]>,
    pub ap: Option<f32>,
    pub ap50: Option<f32>,
    /// By class; 0 where it is undefined.
    pub class_ap: Vec<f32>,
    /// Loss per positive that is about which object it is, on training and on validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<[f32; 2]>,
    /// Bounds that hold AP, and AP50, with 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ap_interval: Option<[f32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ap50_interval: Option<[f32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
    /// Images whose losses stand out over the epochs.
    pub suspicion: Suspicion,
}

impl EpochSignals {
    /// # Errors
    /// If a count or a list is beyond any run's, or a number is none.
    pub fn check(&self) -> Result<(), String> {
        count("step", self.step)?;
        count("epoch", self.epoch)?;
        at_most("classes", self.class_ap.len(), MOST_CLASSES)?;
        at_most("suspects", self.suspicion.worst.len(), NAMED)?;
        finite("a loss", self.training.iter().chain(self.validation.iter().flatten()))?;
        finite("a naming loss", self.naming.iter().flatten())?;
        finite("a bound", self.ap_interval.iter().chain(&self.ap50_interval).flatten())?;
        self.shortfall.iter().try_for_each(Shortfall::check)?;
        finite("an AP", self.class_ap.iter().chain(&self.ap).chain(&self.ap50))
    }
}

/// How fast the run is fed. Time is no part of the state: a resumed run is the same run at another speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedRate {
    pub step: u64,
    pub images_per_second: f32,
    /// Share of the time in which the network waited for images.
    pub waiting: f32,
}

/// Four significant digits, and finite: what is judged is what the journal can hold, so that a replay sees the same.
pub fn short(value: f64) -> f32 {
    if !value.is_finite() {
        return if value == f64::NEG_INFINITY { -1e30 } else { 1e30 };
    }
    format!("{value:.3e}").parse::<f32>().map_or(0.0, |v| v.clamp(-1e30, 1e30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_survive_json_and_toml() {
        for value in [0.0, 1.0 / 3.0, -7.389056, 1.23456e-12, 9.9999e20, f64::NAN, f64::INFINITY] {
            let v = short(value);
            assert!(v.is_finite());
            assert_eq!(serde_json::from_str::<f32>(&serde_json::to_string(&v).unwrap()).unwrap(), v);
            let table = std::collections::BTreeMap::from([("v", v)]);
            let text = toml::to_string(&table).unwrap();
            let back: std::collections::BTreeMap<String, f32> = toml::from_str(&text).unwrap();
            assert_eq!(back["v"], v, "{text}");
        }
        assert_eq!(short(1.0 / 3.0), 0.3333);
    }
}
