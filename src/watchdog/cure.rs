//! What can be done about a cause: bounded actions as values, and for each cause the ladder of what to try in turn.
//!
//! Nothing here touches training. What lasts is [`Adjustments`], a value that training reads; what happens once (going
//! back, renewing a stage) is read off the [`Action`] by whoever applies it.

use super::diagnosis::{Cause, Diagnosis};
use super::facts::{RunFacts, StageKind};
use super::resampling::{MOST_ASIDE, repeat, surplus};
use serde::{Deserialize, Serialize};

/// What is done once or changed from now on.
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
    /// Give those layers of these stages that say nothing new weights, scaled to what they are shown.
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
                format!(
                    "gives the layers of {} that say nothing new weights, fitted to the photos",
                    names.join(" and ")
                )
            }
            Action::Reinitialise { stage } => format!("gives {} fresh weights", facts.stage_name(*stage)),
            Action::ScaleDecay { by } => plain(format!("goes on with the weight decay {}", times(*by))),
            Action::Stop => "ends here and keeps its best weights".into(),
            Action::Advise => "goes on as it is".into(),
        }
    }

    /// Whether giving it up leaves no trace but time. Going on at a rate that broke the network would.
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

/// A schedule put in the place of the recipe's from step `from` (counted from 0) on: linear rise over `rise` steps, then
/// half a cosine to nothing at `to`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reschedule {
    pub from: u64,
    pub rise: u64,
    pub to: u64,
    /// Of the base rate.
    pub peak: f64,
}

/// All that is different from the recipe at the moment. The default changes nothing, to the last bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Adjustments {
    pub rate: f64,
    /// Multiplies the backbone's rate besides; 0 holds it.
    pub backbone: f64,
    pub decay: f64,
    pub batch: u32,
    pub clip: Option<f64>,
    pub schedule: Option<Reschedule>,
    /// By class; empty for the recipe's.
    pub class_weights: Vec<f32>,
    /// Training images left out, sorted.
    pub set_aside: Vec<u32>,
    /// Training images shown more often, and how many times an epoch.
    pub repeated: Vec<u32>,
    pub times: u32,
    /// Change photos more than the recipe does.
    pub augment: bool,
    pub stop: bool,
}

impl Default for Adjustments {
    fn default() -> Self {
        Self {
            rate: 1.0,
            backbone: 1.0,
            decay: 1.0,
            batch: 1,
            clip: None,
            schedule: None,
            class_weights: Vec::new(),
            set_aside: Vec::new(),
            repeated: Vec::new(),
            times: 1,
            augment: false,
            stop: false,
        }
    }
}

impl Adjustments {
    /// As they are after an action at `step`, where the schedule stands at `factor`.
    pub fn after(&self, action: &Action, step: u64, factor: f64, facts: &RunFacts) -> Self {
        let mut new = self.clone();
        match action {
            Action::RollBack { rate, backbone } => {
                new.rate *= f64::from(*rate);
                new.backbone *= f64::from(*backbone);
            }
            Action::ScaleRate { by } => new.rate *= f64::from(*by),
            Action::Reschedule => {
                let left = facts.total_steps.saturating_sub(step);
                let rise = (left / 10).min(50);
                new.schedule = Some(Reschedule { from: step, rise, to: facts.total_steps, peak: 1.0 });
            }
            Action::Clip { norm } => new.clip = Some(f64::from(*norm)),
            Action::Accumulate { times } => {
                // As many images are left, for fewer steps: the decay is to end with them.
                let left = facts.total_steps.saturating_sub(step) / u64::from(new.batch * times);
                new.batch *= times;
                new.schedule = Some(Reschedule { from: step, rise: 0, to: step + left, peak: factor });
            }
            Action::WeighClasses { weights } => new.class_weights.clone_from(weights),
            Action::FreezeBackbone => new.backbone = 0.0,
            Action::Repeat { images, times } => {
                new.repeated.clone_from(images);
                new.times = *times;
            }
            Action::Augment => new.augment = true,
            Action::SetAside { images } => {
                new.set_aside.extend(images);
                new.set_aside.sort_unstable();
                new.set_aside.dedup();
            }
            Action::ScaleDecay { by } => new.decay *= f64::from(*by),
            Action::Stop => new.stop = true,
            Action::Reload { .. } | Action::Renew { .. } | Action::Reinitialise { .. } | Action::Advise => {}
        }
        new
    }
}

/// Bounds of what one cure may do.
const MOST_UP: f64 = 1000.0;
const MOST_DOWN: f64 = 0.02;
const MOST_CLASS_WEIGHT: f64 = 8.0;

/// What to try at this rung of the cause's ladder; `None` above its top.
pub fn rung(found: &Diagnosis, rung: u32, facts: &RunFacts, now: &Adjustments, factor: f64) -> Option<Action> {
    let value = |name: &str| found.evidence.get(name).copied().map(f64::from);
    let ladder: Vec<Action> = match found.cause {
        Cause::RateTooHigh => {
            // The heat will be at its highest when the schedule is.
            let heat = value("heat").unwrap_or(1.0) / factor.clamp(0.05, 1.0);
            let by = (0.5 / heat).clamp(MOST_DOWN, 0.5) as f32;
            let down = |rate| Action::RollBack { rate, backbone: 1.0 };
            vec![down(by), down(by.min(0.3)), down(0.3), Action::Stop]
        }
        Cause::BackboneCollapsed => {
            let down = |backbone| Action::RollBack { rate: 1.0, backbone };
            vec![down(0.2), down(0.0), Action::Stop]
        }
        Cause::RateTooLow => {
            // Half of what a well-set extra moves by at its most.
            let usual = 1.5e-3 * facts.tolerance.min(4.0);
            let by = (usual / value("update_ratio").unwrap_or(usual).max(1e-9)).clamp(2.0, MOST_UP);
            vec![Action::ScaleRate { by: by as f32 }, Action::ScaleRate { by: by.sqrt() as f32 }]
        }
        Cause::NeverWarmsUp | Cause::DecaysAtOnce | Cause::OutlastsRun => vec![Action::Reschedule],
        Cause::NonFinite => {
            let back = |rate| Action::RollBack { rate, backbone: 1.0 };
            vec![back(1.0), back(0.5), back(0.25), Action::Stop]
        }
        Cause::GradientsExplode(_) => {
            let norm = if facts.clip > 0.0 { facts.clip / 4.0 } else { 1.0 };
            let back = Action::RollBack { rate: 0.5, backbone: 1.0 };
            vec![Action::Clip { norm: norm as f32 }, back, Action::Stop]
        }
        Cause::DeadStage(stage) | Cause::SaturatedStage(stage) | Cause::GradientsVanish(stage) => {
            let renew = Action::Renew { stages: vec![stage] };
            // What the run began with is no better where it was so from the beginning.
            if value("from_start") == Some(1.0) { vec![renew] } else { vec![Action::Reload { stage }, renew] }
        }
        Cause::FeatureMapStarves(map) => {
            let kinds = [StageKind::ClassHead, StageKind::BoxHead];
            let stages: Vec<usize> = kinds.iter().filter_map(|k| facts.of_kind(*k).nth(map)).collect();
            let afresh: Vec<Action> = stages.iter().map(|&stage| Action::Reinitialise { stage }).collect();
            std::iter::once(Action::Renew { stages }).chain(afresh).collect()
        }
        Cause::ClassStarves(class) => {
            let share = value("share").unwrap_or(0.0);
            if share <= 0.0 {
                return (rung == 0).then_some(Action::Advise);
            }
            let even = 1.0 / facts.classes.len().max(1) as f64;
            let weights = |power: f64| {
                let mut weights = vec![1.0; facts.classes.len()];
                weights[class] = (even / share).powf(power).clamp(1.0, MOST_CLASS_WEIGHT) as f32;
                Action::WeighClasses { weights }
            };
            repeat(facts, class, 0.5 * even / share).into_iter().chain([weights(0.5), weights(1.0)]).collect()
        }
        Cause::PoisonousImage
        | Cause::BoxesWrong
        | Cause::LabelsSwapped
        | Cause::ObjectsUnlabelled
        | Cause::BoxesUnmatched => {
            let allowed = (MOST_ASIDE * facts.images as f64) as usize;
            let new: Vec<u32> =
                found.images.iter().copied().filter(|i| now.set_aside.binary_search(i).is_err()).collect();
            if new.is_empty() || now.set_aside.len() + new.len() > allowed {
                Vec::new()
            } else {
                vec![Action::SetAside { images: new }]
            }
        }
        Cause::NoPositives => {
            // Gradients are summed over a step's micro-batches: one without positives only wastes time, a step without
            // any follows noise.
            let pieces = (facts.batch * now.batch / facts.micro_batch.max(1)).max(1);
            let idle_steps = value("share").unwrap_or(0.0).powi(pieces as i32);
            let accumulate = (idle_steps > 0.2).then_some(Action::Accumulate { times: 2 });
            // The ladder stays as long when its first rung has been taken.
            let aside = surplus(facts, &Adjustments::default()).map(|all| surplus(facts, now).unwrap_or(all));
            aside.into_iter().chain(accumulate).collect()
        }
        Cause::WeightDecayTooLarge => {
            let by = (facts.usual_weight_decay / facts.weight_decay.max(1e-12)).clamp(1e-4, 1.0);
            vec![Action::ScaleDecay { by: by as f32 }]
        }
        // Told of before the run: more photos help, nothing else was seen to (on scenes and two sets of photos a lower rate
        // or more augmentation gained nothing, or lost).
        Cause::Overfitting if value("passes").is_some() => Vec::new(),
        Cause::Overfitting => {
            let augment = facts.may_augment.then_some(Action::Augment);
            augment.into_iter().chain([Action::ScaleRate { by: 0.3 }, Action::Stop]).collect()
        }
        Cause::DataExhausted => vec![Action::ScaleRate { by: 0.1 }, Action::Stop],
        // Half the rate quiets the noise as twice the batch does (Smith et al. 2018), but on scenes and two sets of photos
        // runs that were left alone came out as well or better.
        Cause::BatchTooSmall => Vec::new(),
        Cause::WeightsNotLoaded | Cause::WeakStart | Cause::PipelineStarved => Vec::new(),
    };
    let top = ladder.len() as u32;
    match ladder.into_iter().nth(rung as usize) {
        // What a machine cannot do is said, once.
        None if rung == 0 && top == 0 => Some(Action::Advise),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::advice;
    use super::*;

    #[test]
    fn no_adjustment_is_no_change() {
        let none = Adjustments::default();
        for lr in [2e-3, 0.1, 1.0 / 3.0] {
            assert_eq!(lr * none.rate * none.backbone, lr);
        }
        let facts = RunFacts { total_steps: 100, ..RunFacts::default() };
        assert_eq!(none.after(&Action::Advise, 3, 1.0, &facts), none);
        let halved = none.after(&Action::RollBack { rate: 0.5, backbone: 1.0 }, 3, 1.0, &facts);
        assert_eq!((halved.rate, halved.backbone), (0.5, 1.0));
    }

    #[test]
    fn a_new_schedule_rises_and_ends_with_the_run() {
        let facts = RunFacts { total_steps: 200, ..RunFacts::default() };
        let schedule = Adjustments::default().after(&Action::Reschedule, 100, 0.5, &facts).schedule;
        assert_eq!(schedule, Some(Reschedule { from: 100, rise: 10, to: 200, peak: 1.0 }));
    }

    #[test]
    fn every_cause_has_a_bounded_ladder_and_an_advice() {
        let facts = RunFacts { classes: vec!["a".into(), "b".into()], images: 20, ..RunFacts::default() };
        let causes = [
            Cause::RateTooHigh,
            Cause::RateTooLow,
            Cause::ClassStarves(1),
            Cause::PoisonousImage,
            Cause::WeakStart,
            Cause::DeadStage(0),
            Cause::NonFinite,
        ];
        for cause in causes {
            let found = Diagnosis::new(cause, 1.0, String::new()).with("share", 0.01).naming(vec![3]);
            let steps = (0..).map_while(|r| rung(&found, r, &facts, &Adjustments::default(), 0.5)).count();
            assert!((1..=4).contains(&steps), "{cause:?}: {steps}");
            assert!(!advice(cause, &facts).is_empty());
        }
        let found = Diagnosis::new(Cause::BoxesWrong, 1.0, String::new()).naming((0..15).collect());
        assert_eq!(rung(&found, 0, &facts, &Adjustments::default(), 1.0), Some(Action::Advise), "more than half");
        let found = Diagnosis::new(Cause::RateTooHigh, 1.0, String::new()).with("heat", 3.0);
        let Some(Action::RollBack { rate, .. }) = rung(&found, 0, &facts, &Adjustments::default(), 0.32) else {
            panic!()
        };
        assert!((0.04..0.06).contains(&rate), "{rate}");
    }
}
