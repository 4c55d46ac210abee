//! A run in progress, without its state; carries out what the watchdog decides.

use super::error::TrainError;
use super::event::Event;
use super::job::Job;
use super::live::Live;
use super::part::RunPart;
use super::records::Records;
use super::state::TrainState;
use super::store::results::ResultsFile;
use super::store::save_clock::SaveClock;
use super::watch::one_off;
use super::watch::recorder::Watching;
use super::watch::reinit::FittingPhotos;
use super::watch::run_facts;
use crate::loss::TargetEncoder;
use crate::watchdog::{Action, JournalEntry};
use std::time::Instant;

/// The parts of a run besides its state.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job,
    /// Of the run, if it is not trained whole.
    pub(super) part: Option<&'a RunPart>,
    pub(super) live: Live,
    pub(super) watching: Watching,
    pub(super) training: &'a Records,
    pub(super) encoder: TargetEncoder,
    /// True if the backbone is held; `None` before the first step of this call.
    pub(super) held: Option<bool>,
    /// As the recipe has it, or smaller where that was asked for.
    pub(super) micro_batch: usize,
    pub(super) saving: SaveClock,
    pub(super) began: Instant,
    /// Images trained on since `began`.
    pub(super) seen: usize,
    pub(super) results: ResultsFile,
    /// Seconds that the run worked before this call.
    pub(super) worked_before: f64,
    /// Training images per second in the epoch under way; `None` before its first step of this call.
    pub(super) pace: Option<f64>,
}

impl Run<'_> {
    /// Does what the watchdog decided and passes on what it says.
    pub(super) fn act(
        &mut self,
        state: &mut TrainState,
        said: &[JournalEntry],
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        for entry in said {
            on(Event::Watchdog(entry));
            if let JournalEntry::Cure(cure) = entry
                && cure.applied
            {
                let stages = one_off::stages_of(&state.model);
                let size = self.job.size;
                let sample = || {
                    let photos =
                        run_facts::probes(self.training, size, run_facts::FIRST_PROBES).collect::<Result<_, _>>()?;
                    Ok(FittingPhotos { photos, size })
                };
                one_off::apply_once(&cure.action, state, &self.job.checkpoint_path(), &stages, &sample)?;
                // Another model may hold its backbone or not.
                self.held = None;
                if matches!(cure.action, Action::Stop) {
                    log::warn!("the watchdog ends the run");
                }
            }
        }
        if said.iter().any(JournalEntry::is_decision) {
            let adjustments = state.watchdog.as_ref().map(|w| w.adjustments());
            self.live = Live::of(self.job, state.model.convention().scores, self.training.len(), adjustments);
        }
        Ok(())
    }

    /// Images of a micro-batch as they are asked for now.
    pub(super) fn requested_micro_batch(&self) -> usize {
        let recipe = &self.job.recipe;
        self.job.requests.micro_batch(recipe.batch, recipe.micro_batch)
    }
}
