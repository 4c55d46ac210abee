//! `fieldtune train --resume`: a run goes on as if it had never stopped.

use super::attendant::Attendant;
use super::board_settings::board_of;
use super::execution::{Outcome, execute};
use super::log_file;
use super::process::set_threads;
use super::run_folder::open_source;
use super::train::{loader_threads, splits};
use crate::config::JobFile;
use crate::train::{Checkpoint, Header, Job, PREVIOUS, Records, TrainingData};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What may change when a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Another number adds up gradients in another order: the result differs by rounding.
    pub threads: Option<usize>,
    pub checkpoint_every_s: Option<u64>,
    /// Largest micro-batch: sums in another order as well.
    pub micro_batch: Option<usize>,
}

/// Continues the run in the folder `path`, or from one of its checkpoints.
///
/// # Errors
/// If there is no run, its checkpoint is damaged, or its data set is another one now.
pub fn resume(path: &Path, overrides: &Overrides, attendant: &mut Attendant) -> Result<Outcome> {
    let (folder, checkpoint) = find(path)?;
    let file = JobFile::read(&folder.join("config.toml"))?;
    let loaded = Checkpoint::load(&checkpoint)?;
    let header = loaded.header.clone();
    log_file::follow(&folder)?;
    let threads = set_threads(overrides.threads.or(file.threads))?;
    if let Some(began) = file.threads.filter(|&began| began != threads) {
        log::warn!("{threads} threads, the run began with {began}: the weights will differ by rounding");
    }
    let data = file.data.clone().context("config.toml: no data set named")?;
    let out = folder.parent().unwrap_or(Path::new(".")).to_path_buf();
    let source = open_source(&data, &out, file.val_share, header.recipe.seed)?;
    let splits = splits(&file, &source)?;
    let [training, validation] = splits.each_ref().map(Records::of_split);
    check_data(&data, &training, source.pack.classes(), &header)?;
    let every = overrides.checkpoint_every_s.unwrap_or(file.checkpoint_every_s);
    let job = Job {
        recipe: header.recipe.clone(),
        size: header.size,
        class_names: header.class_names.clone(),
        folder,
        checkpoint_every: Duration::from_secs(every),
        loader_threads: loader_threads(threads),
        watchdog: file.watchdog,
        schedule: None,
        requests: Arc::default(),
        mishap: None,
    };
    attendant.beat();
    if let Some(most) = overrides.micro_batch {
        job.requests.ask_micro_batch(most);
        let now = job.requests.micro_batch(job.recipe.batch, job.recipe.micro_batch);
        if now != job.recipe.micro_batch {
            log::warn!(
                "micro-batch {now}, the run began with {}: the weights will differ by rounding",
                job.recipe.micro_batch
            );
        }
    }
    attendant.board = board_of(&file.board, Path::new("/"))?;
    let state = loaded.restore(&checkpoint)?;
    set_aside(&job.checkpoint_path(), &checkpoint)?;
    log::info!("resuming at step {}, epoch {}", state.progress.step, state.progress.epoch + 1);
    execute(&job, state, &training, &validation, attendant)
}

/// The run folder and the checkpoint to go on from.
fn find(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let no_run = "give a run folder (it has config.toml and weights/last.ckpt) or a checkpoint in its weights folder";
    let full = path.canonicalize().with_context(|| format!("{}: cannot resume\nhelp: {no_run}", path.display()))?;
    if !full.is_dir() {
        let folder = full.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_path_buf();
        if !folder.join("config.toml").is_file() {
            // A checkpoint alone says what is wrong with it first.
            Checkpoint::load(&full)?;
            bail!("{}: no config.toml in {}\nhelp: {no_run}", path.display(), folder.display());
        }
        return Ok((folder, full));
    }
    let (last, previous) = (full.join("weights/last.ckpt"), full.join("weights").join(PREVIOUS));
    if !full.join("config.toml").is_file() {
        bail!("{}: no config.toml in it, expected a run folder\nhelp: {no_run}", path.display());
    }
    if !last.exists() && previous.exists() {
        log::warn!("{}: not there, going on from previous.ckpt", last.display());
        return Ok((full, previous));
    }
    if !last.exists() {
        bail!(
            "{}: no checkpoint, the run ended before its first\nhelp: remove the folder and start the run anew",
            last.display()
        );
    }
    Ok((full, last))
}

/// Moves a last checkpoint that is not gone on from out of the way, so that saving does not put it (it may be
/// damaged) in the place of the sound one.
fn set_aside(last: &Path, chosen: &Path) -> Result<()> {
    if last == chosen || !last.exists() {
        return Ok(());
    }
    let aside = last.with_file_name("abandoned.ckpt");
    log::warn!("{} is kept as abandoned.ckpt", last.display());
    fs::rename(last, &aside).with_context(|| format!("{}: cannot rename", last.display()))
}

fn check_data(data: &Path, training: &Records, classes: &[String], header: &Header) -> Result<()> {
    let found = TrainingData { images: training.len(), crc32: training.crc32() };
    let expected = header.training;
    if found == expected && classes == header.class_names {
        return Ok(());
    }
    bail!(
        "{}: the data set has changed since the run began: {} training images (checksum {:08x}) of classes {}, \
         expected {} (checksum {:08x}) of classes {}\n\
         help: put the data set back as it was, or start a new run from weights/best.onnx",
        data.display(),
        found.images,
        found.crc32,
        classes.join(", "),
        expected.images,
        expected.crc32,
        header.class_names.join(", ")
    );
}
