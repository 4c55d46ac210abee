//! Saves checkpoints during a run, and copes with a storage that refuses: full, read-only, or failing.
//!
//! A checkpoint that could not be written leaves the one before as it was; training goes on and tries again, some ten
//! times. A fault that lasts longer ends the run, which can be resumed from the last good checkpoint.

use super::checkpoint::Checkpoint;
use super::good_weights;
use super::header::{Header, TrainingData};
use super::save_clock::SaveClock;
use crate::train::error::TrainError;
use crate::train::event::Event;
use crate::train::run::Run;
use crate::train::state::TrainState;
use crate::watchdog::Mode;
use std::time::Duration;

/// Times that a storage may refuse, one after the other.
const TRIES: u32 = 10;

/// Waits between tries at what has to be written now.
const WAITS_S: [u64; 4] = [1, 2, 4, 8];

impl Run<'_> {
    /// Saves the state.
    ///
    /// # Errors
    /// If the storage refuses.
    pub(in crate::train) fn save(&mut self, state: &TrainState, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let job = self.job;
        let training = TrainingData { images: self.training.len(), crc32: self.training.crc32() };
        let header = Header::of(state.model.specs(), job.size, &job.class_names, &job.recipe, training, job.schedule);
        self.saving.tried();
        Checkpoint::save(&job.checkpoint_path(), state, header)?;
        self.saving = SaveClock::new();
        on(Event::Checkpoint { step: state.progress.step });
        Ok(())
    }

    /// Saves the state, or tells why it could not be. Returns whether it was.
    ///
    /// # Errors
    /// If the storage has refused too often.
    pub(in crate::train) fn try_save(
        &mut self,
        state: &TrainState,
        on: &mut dyn FnMut(Event),
    ) -> Result<bool, TrainError> {
        match self.save(state, on) {
            Ok(()) => Ok(true),
            Err(error) if error.is_storage() && self.saving.refused() + 1 < TRIES => {
                self.saving.refuse();
                on(Event::Refused { error: &error, goes_on: true });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Saves the state if it is time to, or somebody asks for it.
    ///
    /// # Errors
    /// As for [`Run::try_save`].
    pub(in crate::train) fn save_when_due(
        &mut self,
        state: &TrainState,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        let every = self.job.requests.checkpoint_every(self.job.checkpoint_every);
        if self.job.requests.take_save() || self.saving.is_due(every) {
            self.try_save(state, on)?;
        }
        Ok(())
    }

    /// Keeps what was just saved as the weights to go back to.
    pub(in crate::train) fn keep_good(&self, state: &TrainState) -> Result<(), TrainError> {
        if self.job.watchdog == Mode::Cure && state.watchdog.is_some() {
            return good_weights::keep_good(&self.job.checkpoint_path());
        }
        Ok(())
    }
}

/// Does what has to be done now, some times if the storage refuses.
///
/// # Errors
/// If it went on refusing.
pub(in crate::train) fn insist(
    on: &mut dyn FnMut(Event),
    mut write: impl FnMut() -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    for seconds in WAITS_S {
        match write() {
            Err(error) if error.is_storage() => on(Event::Refused { error: &error, goes_on: true }),
            done => return done,
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
    write()
}
