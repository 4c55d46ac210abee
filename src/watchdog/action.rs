//! Bounded actions as values. Nothing here touches training: what lasts is [`super::adjustments::Adjustments`], a value
//! that training reads; what happens once (going back, re-initialising a stage) is read off the [`Action`] by the one
//! who applies it.

use super::facts::RunFacts;
use serde::{Deserialize, Serialize};

/// A change that is made once or holds from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Go back to the last good weights and multiply the rates, the backbone's besides.
    RollBack {
        rate: f32,
        backbone: f32,
    },
    ScaleRate {
        by: f32,
    },
    /// Forget the schedule: rise briefly from here, then fall to the run's end.
    Reschedule,
    Clip {
        norm: f32,
    },
    /// Multiply the batch.
    Accumulate {
        times: u32,
    },
    /// Class weights in the loss, by class.
    WeighClasses {
        weights: Vec<f32>,
    },
    /// Hold the backbone for the rest of the run.
    FreezeBackbone,
    /// Show images so many times an epoch, in the place of others.
    Repeat {
        images: Vec<u32>,
        times: u32,
    },
    /// Change photos more before they are shown.
    Augment,
    /// Leave images out of training.
    SetAside {
        images: Vec<u32>,
    },
    /// Put the layers of a stage back to what the run began with.
    Reload {
        stage: usize,
    },
    /// Re-initialise the dead and saturated layers of these stages, scaled to the inputs that they get.
    Renew {
        stages: Vec<usize>,
    },
    /// Give the layers of a stage fresh random weights.
    Reinitialise {
        stage: usize,
    },
    ScaleDecay {
        by: f32,
    },
    /// End the run; the best weights are kept.
    Stop,
    /// Nothing that a machine can do.
    Advise,
}

impl Action {
    /// In words: "the run ...".
    pub fn words(&self, facts: &RunFacts) -> String {
        let times =
            |by: f32| if by < 1.0 { format!("divided by {:.3}", 1.0 / by) } else { format!("multiplied by {by:.3}") };
        let plain = |text: String| text.replace(".000", "");
        match self {
            Action::RollBack { rate, backbone } if *rate == 1.0 && *backbone == 1.0 => {
                "goes back to the last good weights".into()
            }
            Action::RollBack { rate, backbone } if *rate == 1.0 => {
                plain(format!("goes back to the last good weights, the backbone's rate {}", times(*backbone)))
            }
            Action::RollBack { rate, .. } => {
                plain(format!("goes back to the last good weights, the rate {}", times(*rate)))
            }
            Action::ScaleRate { by } => plain(format!("goes on with the rate {}", times(*by))),
            Action::Reschedule => "gets a schedule that fits what is left of it".into(),
            Action::Clip { norm } => format!("clips gradients at norm {norm:.2}"),
            Action::Accumulate { times } => format!("collects {times} times as many images for a step"),
            Action::WeighClasses { weights } => {
                let heavy = weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                heavy.map_or("weighs classes".into(), |(c, w)| {
                    format!("weighs class {} {w:.1} times", facts.class_name(c))
                })
            }
            Action::FreezeBackbone => "holds the backbone from here on".into(),
            Action::Repeat { images, times } => match images.len() {
                1 => format!("shows one image {times} times an epoch"),
                n => format!("shows {n} of the images {times} times an epoch"),
            },
            Action::Augment => "crops, mirrors and recolours photos more than it was told to".into(),
            Action::SetAside { images } => format!("goes on without {} of the images", images.len()),
            Action::Reload { stage } => format!("puts {} back to what it began with", facts.stage_name(*stage)),
            Action::Renew { stages } => {
                let names: Vec<String> = stages.iter().map(|s| facts.stage_name(*s).to_string()).collect();
                format!("re-initialises the dead and saturated layers of {}, fitted to the photos", names.join(" and "))
            }
            Action::Reinitialise { stage } => format!("gives {} fresh weights", facts.stage_name(*stage)),
            Action::ScaleDecay { by } => plain(format!("goes on with the weight decay {}", times(*by))),
            Action::Stop => "ends here and keeps its best weights".into(),
            Action::Advise => "goes on as it is".into(),
        }
    }

    /// True if giving it up leaves no trace but time. Going on at a rate that broke the network would.
    pub fn is_reversible(&self) -> bool {
        !matches!(
            self,
            Action::RollBack { .. }
                | Action::Reload { .. }
                | Action::Renew { .. }
                | Action::Reinitialise { .. }
                | Action::Stop
        )
    }
}
