//! `fieldtune train`: a new run, or one that is resumed.

use super::train_arguments::{Rate, TrainArguments, job_file};
use crate::config::JobFile;
use crate::serve::{LiveMeans, LiveOptions};
use crate::session::{Overrides, Preflight, Supervisor, new_training, restart_from_best, resume};
use anyhow::Result;
use std::path::Path;

pub fn run(mut arguments: TrainArguments) -> Result<u8> {
    let supervisor = &mut Supervisor::of_command();
    let outcome = match arguments.resume.take() {
        Some(path) => {
            supervisor.onlookers = LiveMeans::start(&resumed_options(&path, &arguments))?.onlookers();
            if arguments.from_best {
                restart_from_best(&path, arguments.epochs, supervisor)?
            } else {
                let overrides = Overrides {
                    threads: arguments.threads,
                    checkpoint_every_s: arguments.checkpoint_every,
                    micro_batch: None,
                    epochs: arguments.epochs,
                };
                resume(&path, &overrides, supervisor)?
            }
        }
        None => {
            let preflight =
                Preflight { auto_rate: arguments.lr == Some(Rate::Auto), probe_overfit: arguments.probe_overfit };
            let job = job_file(arguments)?;
            supervisor.onlookers = LiveMeans::start(&LiveOptions::of(&job))?.onlookers();
            new_training(job, preflight, supervisor)?
        }
    };
    Ok(outcome.code())
}

/// How a run that goes on is followed: as it was, where no flag says otherwise. `path` is its folder or a checkpoint. A run
/// whose job cannot be read is not followed; resuming it says why.
fn resumed_options(path: &Path, arguments: &TrainArguments) -> LiveOptions {
    let folder = if path.is_dir() { Some(path) } else { path.parent().and_then(Path::parent) };
    let job = folder.and_then(|folder| JobFile::read(&folder.join("config.toml")).ok()).unwrap_or_default();
    LiveOptions {
        serve: arguments.serve.or(job.serve),
        metrics_file: arguments.metrics_file.clone().or(job.metrics_file),
        notify: arguments.notify.clone().or(job.notify),
    }
}
