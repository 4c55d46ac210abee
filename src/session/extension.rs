//! A run that is given other epochs than it began with: what changes in its recipe, and the schedule from here on.

use crate::optim::{Restart, Schedule};
use crate::train::{Header, Recipe};
use anyhow::{Result, anyhow, bail};

/// Longest rise to the new rate, in steps.
const MOST_RISE: u64 = 50;

/// A run to another number of epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    pub recipe: Recipe,
    pub schedule: Schedule,
}

impl Extension {
    /// From where `header` stands to `epochs` in all. The rate goes to what a run of that length has at this step, and
    /// from there by half a cosine to 0 at the new end. Shares of the run that are behind it stay as many steps.
    ///
    /// # Errors
    /// If the run has done as many epochs already.
    pub fn of(header: &Header, epochs: u64) -> Result<Self> {
        let (old, progress) = (&header.recipe, &header.progress);
        if epochs <= progress.epoch {
            bail!(
                "epochs = {epochs}, but the run has done {} already\nhelp: give --epochs the epochs in all, more than that",
                progress.epoch
            );
        }
        let images = header.training.images;
        let (before, long) = (old.schedule(images), Recipe { epochs, ..old.clone() }.schedule(images));
        let share = |of_old: f64, old_all: u64, new_all: u64| {
            let kept = (of_old * old_all as f64).round();
            (kept / new_all.max(1) as f64).clamp(0.0, 0.99)
        };
        let mut recipe = Recipe {
            epochs,
            hold: share(old.hold, before.total, long.total),
            inside: share(old.inside, old.epochs, epochs),
            ..old.clone()
        };
        let since = progress.epoch.saturating_sub(progress.best.map_or(0, |b| b.epoch));
        if old.patience > 0 && since >= old.patience {
            log::warn!("the run had ended for want of a better AP: --patience does not hold any more");
            recipe.patience = 0;
        }
        if old.until_ap > 0.0 && progress.best.is_some_and(|best| best.ap >= old.until_ap) {
            log::warn!("the run had ended with the AP that was asked for: --until does not hold any more");
            recipe.until_ap = 0.0;
        }
        recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
        let from = progress.step;
        let rise = (long.total.saturating_sub(from) / 10).min(MOST_RISE);
        let again = Restart { from, rise, to: long.total.max(from + 1), peak: long.factor(from) };
        Ok(Self { recipe, schedule: Schedule { again: Some(again), ..long } })
    }

    /// The sentence for the owner of the run.
    pub fn sentence(&self, began_with: u64) -> String {
        let again = self.schedule.again.map_or((0, 0, 0.0), |a| (a.from, a.to, a.peak));
        format!(
            "{} epochs instead of {began_with}: from step {} on the learning rate is {:.2} of its full height and falls by a \
             cosine to 0 at step {}; the watchdog begins anew",
            self.recipe.epochs, again.0, again.2, again.1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ssdlite_mobilenet_v2;
    use crate::train::TrainingData;

    #[test]
    fn the_rate_goes_on_as_in_a_run_of_that_length() {
        let recipe = Recipe { epochs: 20, batch: 2, micro_batch: 2, hold: 0.1, patience: 3, ..Recipe::default() };
        let training = TrainingData { images: 40, crc32: 0 };
        let network = ssdlite_mobilenet_v2(0.35, 2, false);
        let mut header = Header::of(network, 96.into(), &["a".into()], &recipe, training, None);
        (header.progress.epoch, header.progress.step) = (20, 400);
        assert!(Extension::of(&header, 20).unwrap_err().to_string().contains("has done 20 already"));
        let longer = Extension::of(&header, 40).unwrap();
        assert_eq!(longer.recipe.held_steps(&longer.schedule), recipe.held_steps(&recipe.schedule(40)));
        assert_eq!((longer.recipe.patience, longer.schedule.total), (0, 800));
        let rates: Vec<f64> = (400..800).map(|s| longer.schedule.factor(s)).collect();
        let top = rates.iter().copied().fold(0.0, f64::max);
        assert!((top - 0.55).abs() < 0.01 && rates[0] < 0.1 && rates[399] < 1e-3, "{top}, {}", rates[0]);
        assert!(rates[40..].windows(2).all(|w| w[1] <= w[0]));
        assert!(longer.sentence(20).contains("40 epochs instead of 20: from step 400"));
    }
}
