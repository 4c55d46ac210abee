//! Carries a job out: training with progress and supervision, then verification of the exported file, pictures and
//! the watchdog's story.

use super::closing::Closing;
use super::leftovers::drop_spent;
use super::onlooker::RunEnd;
use super::progress::TrainingProgress;
use super::reporting::{Background, Reporter};
use super::run_outcome::RunOutcome;
use super::supervisor::Supervisor;
use super::{train_report, watchdog_report};
use crate::board::release_freed_memory;
use crate::train::{Ending, Event, Job, MemoryPlan, Records, TrainState, train};
use anyhow::Result;

/// Runs a job to its end, says what came of it, and verifies the exported file.
///
/// # Errors
/// If data or disk fail, or the exported file computes something else than what was trained.
pub fn execute(
    job: &Job,
    state: TrainState,
    training: &Records,
    validation: &Records,
    background: Background,
    supervisor: &mut Supervisor,
) -> Result<RunOutcome> {
    let outcome = carry_out(job, state, training, validation, background, supervisor);
    supervisor.tell_end(&match &outcome {
        Ok(outcome) => RunEnd::Ended(outcome.ending),
        Err(error) => RunEnd::Failed(format!("{error:#}")),
    });
    outcome
}

fn carry_out(
    job: &Job,
    mut state: TrainState,
    training: &Records,
    validation: &Records,
    mut background: Background,
    supervisor: &mut Supervisor,
) -> Result<RunOutcome> {
    let stop = supervisor.listen()?;
    supervisor.run_started(job, state.progress.best.map(|best| best.ap));
    let mut progress = supervisor.shows_progress().then(|| TrainingProgress::new(job.recipe.epochs));
    let threads = [rayon::current_num_threads(), job.loader_threads];
    background.memory = MemoryPlan::new(&state, &job.recipe, job.size, threads, job.watchdog).to_string();
    let mut reporter = Reporter::begin(job, training, validation, &background, &state.progress);
    let ending = train(job, &mut state, training, validation, &stop, &mut |event: Event| {
        if let Some(progress) = &mut progress {
            progress.show(&event);
        }
        watchdog_report::tell(&event);
        reporter.hear(&event);
        supervisor.on_event(job, &event);
    });
    // The bar leaves the screen.
    drop(progress);
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => {
            reporter.fail(&error);
            return Err(error.into());
        }
    };
    let done = state.progress;
    let interval = done.best_interval();
    let writes = supervisor.run_ended();
    if let Some(writes) = &writes {
        log::info!("{writes}");
    }
    let folder = job.folder.clone();
    // Pictures and proof work with what was written; on a small board there is no room for the state besides.
    drop((state.model, state.optimizer, state.ema, state.means, state.watchdog));
    release_freed_memory();
    supervisor.ping();
    let classes = reporter.finish(ending)?;
    let outcome = RunOutcome { ending, folder, best: done.best, epochs: done.epoch, steps: done.step, writes };
    match ending {
        Ending::Stopped | Ending::Refused => {
            log::info!(
                "stopped at step {}; continue with `fieldtune train --resume {}`",
                done.step,
                job.folder.display()
            );
            return Ok(outcome);
        }
        Ending::GivenUp => log::info!("ended early by the watchdog"),
        Ending::Patience => log::info!("ended early: no better validation AP for {} epochs", job.recipe.patience),
        Ending::Reached => log::info!("ended early: a validation AP of {} is reached", job.recipe.until_ap),
        Ending::Finished => {}
    }
    supervisor.ping();
    train_report::verify_export(job, validation)?;
    supervisor.ping();
    watchdog_report::story(job, training)?;
    drop_spent(&job.folder);
    let closing = Closing { classes, interval, images: validation.len(), took: background.begun.elapsed() };
    closing.lines(job, &outcome).iter().for_each(|line| log::info!("{line}"));
    Ok(outcome)
}
