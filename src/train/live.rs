//! The recipe, schedule, loss and epoch sampler that hold at the moment: the job's own with the watchdog's
//! adjustments applied.
//!
//! The epoch loop reads this and never the job's recipe, so that an adjustment reaches every place that it concerns.

use super::job::Job;
use super::mixture::Mixture;
use super::recipe::Recipe;
use crate::boxes::ScoreFunction;
use crate::data::{AugmentOptions, Crop};
use crate::loss::SsdLoss;
use crate::optim::{Restart, Schedule};
use crate::watchdog::{Adjustments, Reschedule};

/// The settings that a step follows; made anew whenever the adjustments change, and none of it is state.
#[derive(Clone, Debug)]
pub struct Live {
    pub recipe: Recipe,
    pub schedule: Schedule,
    pub loss: SsdLoss,
    /// The images that an epoch shows.
    pub mixture: Mixture,
    /// True if the watchdog holds the backbone for the rest of the run.
    pub held: bool,
    /// True if the watchdog ends the run.
    pub stop: bool,
}

impl Live {
    /// The settings of `job` on `images` training images and a network with these `scores`. Without adjustments it is
    /// the job's own, bit for bit.
    pub fn of(job: &Job, scores: ScoreFunction, images: usize, now: Option<&Adjustments>) -> Self {
        let given = job.schedule.unwrap_or_else(|| job.recipe.schedule(images));
        let none = Adjustments::default();
        let now = now.unwrap_or(&none);
        let recipe = adjusted(&job.recipe, now);
        let mut loss = job.recipe.ssd_loss(&job.class_names, scores);
        for (weight, times) in loss.class_weights.iter_mut().skip(1).zip(&now.class_weights) {
            *weight *= times;
        }
        let held = recipe.backbone_rate == 0.0 && job.recipe.backbone_rate > 0.0;
        let (schedule, mixture) = (rescheduled(&given, now), Mixture::of(now));
        Self { recipe, schedule, loss, mixture, held, stop: now.stop }
    }

    /// True if the backbone is held at `step`: early in the run, or by the watchdog.
    pub fn holds_backbone(&self, step: u64) -> bool {
        self.held || step < self.recipe.held_steps(&self.schedule)
    }
}

/// The recipe with the adjustments worked in. Without any it is the recipe, bit for bit.
fn adjusted(recipe: &Recipe, now: &Adjustments) -> Recipe {
    Recipe {
        lr: recipe.lr * now.rate,
        backbone_rate: recipe.backbone_rate * now.backbone,
        weight_decay: recipe.weight_decay * now.decay,
        clip: now.clip.unwrap_or(recipe.clip),
        batch: recipe.batch * now.batch as usize,
        augment: if now.augment { widened(&recipe.augment) } else { recipe.augment.clone() },
        ..recipe.clone()
    }
}

/// Photos changed more, but gently: crops and a zoom-out of every photo would take more steps to learn from than a run
/// on few photos has.
fn widened(options: &AugmentOptions) -> AugmentOptions {
    let usual = AugmentOptions::default();
    let gentle = || [Crop::Whole, Crop::Whole].into_iter().chain([0.5, 0.7, 0.9].map(Crop::MinIou)).collect();
    AugmentOptions {
        zoom_out_probability: options.zoom_out_probability.max(0.5 * usual.zoom_out_probability),
        crops: if options.crops.is_empty() { gentle() } else { options.crops.clone() },
        brightness_probability: options.brightness_probability.max(usual.brightness_probability),
        contrast_probability: options.contrast_probability.max(usual.contrast_probability),
        color_probability: options.color_probability.max(usual.color_probability),
        flip_horizontal: options.flip_horizontal.max(usual.flip_horizontal),
        ..options.clone()
    }
}

/// True if there is anything that [`Adjustments::augment`] would change.
pub fn can_be_widened(options: &AugmentOptions) -> bool {
    widened(options) != *options
}

/// The schedule with what has taken its place.
fn rescheduled(schedule: &Schedule, now: &Adjustments) -> Schedule {
    let restart = |s: &Reschedule| Restart { from: s.from, rise: s.rise, to: s.to, peak: s.peak };
    Schedule { again: now.schedule.as_ref().map(restart).or(schedule.again), ..*schedule }
}
