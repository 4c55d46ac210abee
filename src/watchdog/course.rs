//! A cure in progress, with the figures from before it that those after it are held against.

use super::action::Action;
use super::adjustments::Adjustments;
use super::cause::Cause;
use super::history::RuleView;
use super::plausible::{at_most, finite};
use super::signals::short;
use super::symptoms::beyond;
use serde::{Deserialize, Serialize};

/// Looks, or epochs, before a cure that what comes after is held against.
const BEFORE: usize = 16;

/// A cure in progress: applied, not yet judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    pub cause: Cause,
    pub action: Action,
    pub since: u64,
    /// Step from which it can be judged.
    pub until: u64,
    /// The values to go back to.
    pub before: Adjustments,
    /// Median loss before; 1e30 where there was none.
    pub loss: f32,
    /// Best validation AP of the two epochs before, where there was one.
    pub ap: Option<f32>,
    /// Losses and validation APs before, oldest first: what the figures after are held against.
    #[serde(default)]
    pub losses: Vec<f32>,
    #[serde(default)]
    pub aps: Vec<f32>,
}

/// When something is decided, and upon which look: what only epochs show is not gone because a look at steps shows
/// nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub step: u64,
    pub epoch_ended: bool,
}

impl Moment {
    /// True if what came of a cure can be seen now.
    pub fn shows(self, course: &Course) -> bool {
        self.step >= course.until && self.epoch_ended == course.cause.shows_by_epoch()
    }
}

impl Course {
    /// # Errors
    /// If it holds more than is remembered, or cannot be about a run on so many images.
    pub fn check(&self, images: u32) -> Result<(), String> {
        at_most("course.losses", self.losses.len().max(self.aps.len()), BEFORE)?;
        finite("course.losses", self.losses.iter().chain(&self.aps))?;
        self.before.check(images)
    }

    /// True if the figures show that the run is better than it would have been: beyond where the trend before leads, by
    /// more than its noise. A cause that keeps a network from learning is itself measured, step by step: its absence
    /// and a lower loss are enough.
    pub fn told(&self, view: &RuleView) -> bool {
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        if self.cause == Cause::NonFinite || self.cause.stops_learning() {
            return view.middle(3, |d| d.loss()).is_none_or(|now| now < f64::from(self.loss));
        }
        if self.cause.shows_by_epoch() && !self.aps.is_empty() {
            let after: Vec<f32> =
                view.memory.epochs.iter().filter(|e| e.step > self.since).filter_map(|e| e.ap).collect();
            return beyond(&wide(&self.aps), &wide(&after), 1.0);
        }
        beyond(&wide(&self.losses), &wide(&losses(view)), -1.0)
    }
}

/// Losses of the last looks, oldest first.
pub fn losses(view: &RuleView) -> Vec<f32> {
    view.recent(BEFORE).iter().map(|d| short(d.loss())).collect()
}

/// Validation APs of the last epochs, oldest first.
pub fn aps(view: &RuleView) -> Vec<f32> {
    let all: Vec<f32> = view.memory.epochs.iter().filter_map(|e| e.ap).collect();
    all[all.len().saturating_sub(BEFORE)..].to_vec()
}

/// Best validation AP of the last two epochs.
pub fn recent_ap(view: &RuleView) -> Option<f32> {
    view.memory.epochs.iter().rev().take(2).filter_map(|e| e.ap).reduce(f32::max)
}
