//! Saving on the way, and a storage that refuses: full, read-only, or failing.
//!
//! A checkpoint that could not be written leaves the one before as it was; training goes on and tries again, some ten
//! times. What lasts longer ends the run, which can be resumed from the last good checkpoint.

use super::checkpoint::{Checkpoint, Header, TrainingData};
use super::cures;
use super::error::TrainError;
use super::run::{Event, Run};
use super::state::TrainState;
use crate::watchdog::Mode;
use std::time::{Duration, Instant};

/// Times that a storage may refuse, one after the other.
const TRIES: u32 = 10;

/// Time between two tries.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Waits between tries at what has to be written now.
const WAITS_S: [u64; 4] = [1, 2, 4, 8];

/// When it was saved last, and how often it could not be since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saving {
    saved: Instant,
    tried: Instant,
    refused: u32,
}

impl Saving {
    pub(super) fn new() -> Self {
        Self { saved: Instant::now(), tried: Instant::now(), refused: 0 }
    }

    fn is_due(&self, every: Duration) -> bool {
        match self.refused {
            0 => self.saved.elapsed() >= every,
            _ => self.tried.elapsed() >= every.clamp(SHORTEST, LONGEST),
        }
    }
}

impl Run<'_> {
    /// Saves the state.
    ///
    /// # Errors
    /// If the storage refuses.
    pub(super) fn save(&mut self, state: &TrainState, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let job = self.job;
        let training = TrainingData { images: self.training.len(), crc32: self.training.crc32() };
        let header = Header::of(state.model.specs(), job.size, &job.class_names, &job.recipe, training);
        self.saving.tried = Instant::now();
        Checkpoint::save(&job.checkpoint_path(), state, header)?;
        self.saving = Saving::new();
        on(Event::Checkpoint { step: state.progress.step });
        Ok(())
    }

    /// Saves the state, or tells why it could not be. Returns whether it was.
    ///
    /// # Errors
    /// If the storage has refused too often.
    pub(super) fn try_save(&mut self, state: &TrainState, on: &mut dyn FnMut(Event)) -> Result<bool, TrainError> {
        match self.save(state, on) {
            Ok(()) => Ok(true),
            Err(error) if error.is_storage() && self.saving.refused + 1 < TRIES => {
                self.saving.refused += 1;
                on(Event::Refused { error: &error, goes_on: true });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Saves the state if it is time to.
    ///
    /// # Errors
    /// As for [`Run::try_save`].
    pub(super) fn save_when_due(&mut self, state: &TrainState, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let every = self.job.requests.checkpoint_every(self.job.checkpoint_every);
        if self.saving.is_due(every) {
            self.try_save(state, on)?;
        }
        Ok(())
    }

    /// Keeps what was just saved as the weights to go back to.
    pub(super) fn keep_good(&self, state: &TrainState) -> Result<(), TrainError> {
        if self.job.watchdog == Mode::Cure && state.watchdog.is_some() {
            return cures::keep_good(&self.job.checkpoint_path());
        }
        Ok(())
    }
}

/// Does what has to be done now, some times if the storage refuses.
///
/// # Errors
/// If it went on refusing.
pub(super) fn insist(
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
