//! `minutes` of a job file: the epochs of a run that ends in time.

use crate::train::{BACKBONE_STAGES, Recipe, TrainingPace};
use anyhow::{Result, bail};

/// Shares of the time that steps and looks do not explain: checkpoints, pictures, the watchdog.
const BESIDES: f64 = 0.03;

/// Looks that the end of a run is worth: the proof of the exported file and its pictures.
const END_LOOKS: f64 = 60.0;

/// Validation against a bare forward pass: losses, suppression and matching come on top.
const VALIDATING: f64 = 1.3;

/// Epochs below which only extras and heads are trained: the backbone is held for a tenth of the run and then warms up,
/// so that fewer epochs hardly move it.
const FEW_EPOCHS: u64 = 3;

/// More epochs than this have not been seen to help.
const MOST_EPOCHS: u64 = 200;

/// Photos that a run trains on and validates on.
#[derive(Clone, Copy, Debug)]
pub struct PhotoCounts {
    pub training: usize,
    pub validation: usize,
}

/// The plan that fits into the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimePlan {
    pub epochs: u64,
    /// Leading stages that are never trained.
    pub freeze: usize,
    /// Seconds that the run is expected to take.
    pub seconds: f64,
}

impl TimePlan {
    /// The plan for `seconds` from now. `shared` where loading takes its time from the network's threads.
    ///
    /// # Errors
    /// If not even one epoch of extras and heads fits.
    pub fn new(pace: &TrainingPace, recipe: &Recipe, photos: PhotoCounts, seconds: f64, shared: bool) -> Result<Self> {
        let whole = Cost::of(pace, recipe, photos, shared);
        let epochs = whole.epochs(seconds);
        if epochs >= FEW_EPOCHS || (epochs > 0 && recipe.freeze >= BACKBONE_STAGES) {
            let epochs = epochs.min(MOST_EPOCHS);
            return Ok(Self { epochs, freeze: recipe.freeze, seconds: whole.seconds(epochs) });
        }
        let heads = Cost::of(pace, &Recipe { hold: 1.0, ..recipe.clone() }, photos, shared);
        let fitting = heads.epochs(seconds);
        if fitting == 0 {
            bail!(
                "{:.1} minutes are left for training, and one epoch takes {:.1} here\nhelp: give --minutes {:.0} or more, \
                 or a smaller --imgsz",
                seconds / 60.0,
                heads.seconds(1) / 60.0,
                ((heads.seconds(1) / 60.0).ceil() + 1.0).max(1.0)
            );
        }
        Ok(Self { epochs: fitting, freeze: BACKBONE_STAGES, seconds: heads.seconds(fitting) })
    }

    /// One sentence for the user.
    pub fn tell(&self, pace: &TrainingPace, recipe: &Recipe) -> String {
        let only = match self.freeze > recipe.freeze {
            true => ", extras and heads only: the time is too short for the backbone",
            false if self.epochs == MOST_EPOCHS => "; the rest of the time would hardly help, a larger --imgsz might",
            false => "",
        };
        let (epochs, minutes, ms) = (self.epochs, self.seconds / 60.0, pace.learning * 1e3);
        format!("{epochs} epochs take about {minutes:.1} minutes at {ms:.0} ms a photo, measured here{only}")
    }
}

/// Seconds of a run: so many an epoch, and so many at its end.
struct Cost {
    epoch: f64,
    end: f64,
}

impl Cost {
    fn of(pace: &TrainingPace, recipe: &Recipe, photos: PhotoCounts, shared: bool) -> Self {
        let frozen = recipe.freeze >= BACKBONE_STAGES;
        let held = if frozen { 1.0 } else { recipe.hold };
        // A frozen backbone costs what a held one does; where nothing was held, nothing was measured.
        let slow = if pace.held > 0.0 { pace.held } else { pace.learning };
        let step = held * slow + (1.0 - held) * pace.learning;
        let step = if shared { step + pace.loading } else { step.max(pace.loading) };
        let epoch = photos.training as f64 * step + photos.validation as f64 * VALIDATING * pace.looking;
        Self { epoch: epoch * (1.0 + BESIDES), end: END_LOOKS * pace.looking }
    }

    fn seconds(&self, epochs: u64) -> f64 {
        self.epoch * epochs as f64 + self.end
    }

    fn epochs(&self, seconds: f64) -> u64 {
        ((seconds - self.end) / self.epoch).max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: TrainingPace = TrainingPace { learning: 0.1, held: 0.05, looking: 0.03, loading: 0.01 };
    const PHOTOS: PhotoCounts = PhotoCounts { training: 100, validation: 20 };

    fn plan(seconds: f64) -> Result<TimePlan> {
        TimePlan::new(&PACE, &Recipe::default(), PHOTOS, seconds, false)
    }

    #[test]
    fn epochs_fill_the_time_and_do_not_exceed_it() {
        for minutes in [2.0, 5.0, 20.0] {
            let plan = plan(minutes * 60.0).unwrap();
            assert_eq!(plan.freeze, Recipe::default().freeze);
            let epoch = plan.seconds / plan.epochs as f64;
            assert!(plan.seconds <= minutes * 60.0 && plan.seconds > minutes * 60.0 - epoch, "{plan:?}");
        }
        assert_eq!(plan(1e6).unwrap().epochs, MOST_EPOCHS);
    }

    #[test]
    fn a_short_time_is_for_the_heads_alone_and_a_shorter_one_is_refused() {
        let short = plan(20.0).unwrap();
        assert_eq!(short.freeze, BACKBONE_STAGES);
        assert!(short.epochs >= 1 && short.seconds <= 20.0, "{short:?}");
        let said = plan(3.0).unwrap_err().to_string();
        assert!(said.contains("one epoch takes") && said.contains("--minutes"), "{said}");
    }

    #[test]
    fn loading_counts_where_it_shares_the_threads() {
        let slow = TrainingPace { loading: 0.3, ..PACE };
        let epochs = |pace: &TrainingPace, shared| {
            TimePlan::new(pace, &Recipe::default(), PHOTOS, 600.0, shared).unwrap().epochs
        };
        assert!(epochs(&PACE, true) < epochs(&PACE, false));
        assert!(epochs(&slow, false) < epochs(&PACE, false) / 2, "a loader slower than the network sets the pace");
    }
}
