//! The job of a bench's run: nothing is asked for while it goes on, and its checkpoints are of no use.

use crate::boxes::InputSize;
use crate::train::{Job, Recipe};
use crate::watchdog::Mode;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A job in `folder`, which gets its folder for weights.
///
/// # Errors
/// If the folder cannot be made.
pub fn bench_job(
    recipe: Recipe,
    folder: &Path,
    watchdog: Mode,
    size: InputSize,
    class_names: &[String],
) -> Result<Job> {
    std::fs::create_dir_all(folder.join("weights")).context("a run folder")?;
    Ok(Job {
        recipe,
        size,
        class_names: class_names.to_vec(),
        folder: folder.into(),
        checkpoint_every: Duration::from_secs(3600),
        loader_threads: 0,
        watchdog,
        schedule: None,
        requests: Arc::default(),
        trained_on: None,
        mishap: None,
    })
}
