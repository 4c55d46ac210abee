//! A job carried out: trained to its end with everyone who looks on, the exported file verified, the story told.

use super::attendant::Attendant;
use super::progress::TrainingProgress;
use super::{RESUMABLE, train_report, watchdog_report};
use crate::board::release_freed_memory;
use crate::train::{Best, Ending, Event, Job, Records, TrainState, train};
use anyhow::Result;
use std::path::PathBuf;

/// What came of a job.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ending: Ending,
    /// The run folder.
    pub folder: PathBuf,
    pub best: Option<Best>,
    /// Epochs and steps done.
    pub epochs: u64,
    pub steps: u64,
}

impl Outcome {
    /// The exit code of a command that did nothing else.
    pub fn code(&self) -> u8 {
        if self.ending == Ending::Stopped { RESUMABLE } else { 0 }
    }
}

/// Runs a job to its end, says what came of it, and verifies the exported file.
///
/// # Errors
/// If data or disk fail, or the exported file computes something else than what was trained.
pub fn execute(
    job: &Job,
    mut state: TrainState,
    training: &Records,
    validation: &Records,
    attendant: &mut Attendant,
) -> Result<Outcome> {
    let stop = attendant.listen()?;
    attendant.meet(job, state.progress.best.map(|best| best.ap));
    let mut progress = TrainingProgress::new(job.recipe.epochs);
    let mut pictures = train_report::Pictures::new(job);
    let ending = train(job, &mut state, training, validation, &stop, &mut |event: Event| {
        progress.show(&event);
        watchdog_report::tell(&event);
        pictures.collect(&event);
        attendant.attend(job, &event);
    });
    progress.finish();
    let (ending, done) = (ending?, state.progress);
    let outcome = Outcome { ending, folder: job.folder.clone(), best: done.best, epochs: done.epoch, steps: done.step };
    match ending {
        Ending::Stopped => {
            log::info!(
                "stopped at step {}; continue with `fieldtune train --resume {}`",
                done.step,
                job.folder.display()
            );
            return Ok(outcome);
        }
        Ending::GivenUp => log::info!("ended early by the watchdog"),
        Ending::Patience => log::info!("ended early: no better validation AP for {} epochs", job.recipe.patience),
        Ending::Finished => {}
    }
    // What follows works with the exported file; on a small board there is no room for both.
    drop((state.model, state.optimizer, state.ema, state.means, state.watchdog));
    release_freed_memory();
    attendant.beat();
    pictures.write(training)?;
    attendant.beat();
    train_report::verify_export(job, validation)?;
    attendant.beat();
    watchdog_report::story(job, training)?;
    if let Some(best) = outcome.best {
        log::info!("best epoch {} with AP {:.3}: {}", best.epoch, best.ap, job.best_path().display());
    }
    Ok(outcome)
}
