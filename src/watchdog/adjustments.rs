//! All that lasts of the cures: what training does otherwise than its recipe says.

use super::action::Action;
use super::facts::RunFacts;
use super::plausible::{MOST_CLASSES, at_most, count, finite, indices};
use serde::{Deserialize, Serialize};

/// Far beyond what eight cures come to: of the batch or an image, and of a rate.
const MOST_TIMES: u32 = 1024;
const MOST_RATE: f64 = 1e9;

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
    /// # Errors
    /// If it cannot be about a run on so many images.
    pub fn check(&self, images: u32) -> Result<(), String> {
        if self.batch == 0 {
            return Err("adjustments.batch = 0".into());
        }
        at_most("adjustments.batch", self.batch, MOST_TIMES)?;
        at_most("adjustments.times", self.times, MOST_TIMES)?;
        at_most("adjustments.class_weights", self.class_weights.len(), MOST_CLASSES)?;
        finite("adjustments.class_weights", &self.class_weights)?;
        indices("adjustments", self.set_aside.iter().chain(&self.repeated), images)?;
        at_most("adjustments.repeated", self.repeated.len().max(self.set_aside.len()), images as usize)?;
        let rates = [self.rate, self.backbone, self.decay, self.clip.unwrap_or(0.0)];
        if let Some(rate) = rates.iter().find(|r| !(0.0..=MOST_RATE).contains(*r)) {
            return Err(format!("an adjustment of {rate}"));
        }
        let Some(Reschedule { from, rise, to, peak }) = self.schedule else { return Ok(()) };
        [from, rise, to].into_iter().try_for_each(|n| count("adjustments.schedule", n))?;
        if (0.0..=MOST_RATE).contains(&peak) { Ok(()) } else { Err(format!("a schedule's peak of {peak}")) }
    }

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

#[cfg(test)]
mod tests {
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
}
