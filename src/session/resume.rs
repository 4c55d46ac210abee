//! Resumes a run from its checkpoint (`fieldtune train --resume`) as if it had never stopped.

use super::begin::{Preflight, loader_threads, new_training, pack_choice, splits, trained_on};
use super::board_settings::board_of;
use super::changes::{check_data, tell_edits, tell_machine};
use super::execution::execute;
use super::extension::Extension;
use super::label_pictures::objects_of;
use super::log_file;
use super::process::set_threads;
use super::reporting::Background;
use super::run_folder::{free_name, open_sources};
use super::run_outcome::RunOutcome;
use super::supervisor::Supervisor;
use crate::config::JobFile;
use crate::train::{Checkpoint, Header, Job, PREVIOUS, Records, TrainError, TrainState, replace_file};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The settings that may change when a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Another number adds up gradients in another order: the result differs by rounding.
    pub threads: Option<usize>,
    pub checkpoint_every_s: Option<u64>,
    /// Largest micro-batch: sums in another order as well.
    pub micro_batch: Option<usize>,
    /// Epochs in all, where the run is to have others than it began with.
    pub epochs: Option<u64>,
}

/// Neither checkpoint of a run can be gone on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: neither checkpoint can be gone on from\n  {last}\n  {previous}\nhelp: `fieldtune train --resume {} --from-best` \
     starts a new run from the best weights so far", folder.display(), folder.display()
)]
pub struct NoSoundCheckpoint {
    folder: PathBuf,
    last: String,
    previous: String,
}

/// Continues the run in the folder `path`, or from one of its checkpoints.
///
/// # Errors
/// If there is no run, its checkpoint is damaged, or its data set is another one now.
pub fn resume(path: &Path, overrides: &Overrides, supervisor: &mut Supervisor) -> Result<RunOutcome> {
    let begun = Instant::now();
    let (folder, checkpoint) = find(path)?;
    let file = JobFile::read(&folder.join("config.toml"))?;
    let loaded = load(&folder, &checkpoint)?;
    let header = loaded.header.clone();
    log_file::follow(&folder)?;
    tell_edits(&file, &header);
    let threads = set_threads(overrides.threads.or(file.threads))?;
    tell_machine(threads, file.threads, &header);
    let data = file.data.clone().context("config.toml: no data set named")?;
    let out = folder.parent().unwrap_or(Path::new(".")).to_path_buf();
    let source = open_sources(&file.all_data(), &out, &pack_choice(&file, header.recipe.seed))?;
    let splits = splits(&file, &source)?;
    let [training, validation] = splits.each_ref().map(Records::of_split);
    check_data(&data, &training, &source.pack, &header)?;
    let trained_on = trained_on(&file, header.recipe.seed, &splits);
    let other = overrides.epochs.filter(|epochs| *epochs != header.recipe.epochs);
    let extension = other.map(|epochs| Extension::of(&header, epochs)).transpose()?;
    let (recipe, schedule) = match &extension {
        Some(longer) => (longer.recipe.clone(), Some(longer.schedule)),
        None => (header.recipe.clone(), header.schedule),
    };
    let job = Job {
        recipe,
        size: header.size,
        class_names: header.class_names.clone(),
        folder,
        checkpoint_every: Duration::from_secs(overrides.checkpoint_every_s.unwrap_or(file.checkpoint_every_s)),
        loader_threads: loader_threads(threads),
        watchdog: file.watchdog,
        schedule,
        requests: Arc::default(),
        trained_on: Some(trained_on),
        mishap: None,
    };
    supervisor.ping();
    if let Some(most) = overrides.micro_batch {
        ask_micro_batch(&job, most);
    }
    supervisor.board = board_of(&file.board, Path::new("/"))?;
    let mut state = loaded.restore(&checkpoint)?;
    set_aside(&job.checkpoint_path(), &checkpoint)?;
    if let Some(longer) = &extension {
        log::info!("{}", longer.sentence(header.recipe.epochs));
        extend(&job, &mut state, header, file)?;
    } else if state.progress.epoch >= job.recipe.epochs {
        log::info!("the run has done its {} epochs; --epochs with more of them extends it", job.recipe.epochs);
    }
    log::info!("resuming at step {}, epoch {}", state.progress.step, state.progress.epoch + 1);
    let objects = objects_of(&splits[0])?;
    let background = Background::new(begun, source.pack.notes(), &objects, job.class_names.len());
    drop(objects);
    execute(&job, state, &training, &validation, background, supervisor)
}

/// Starts a new run beside the one in the folder `path`, as that began but from its best weights.
///
/// # Errors
/// If there are none, or as for [`new_training`].
pub fn restart_from_best(path: &Path, epochs: Option<u64>, supervisor: &mut Supervisor) -> Result<RunOutcome> {
    let folder = path.canonicalize().with_context(|| format!("{}: cannot resume", path.display()))?;
    let file = JobFile::read(&folder.join("config.toml"))?;
    let best = folder.join("weights/best.onnx");
    if !best.is_file() {
        bail!("{}: not there, the run ended before its first epoch\nhelp: start the run anew", best.display());
    }
    let out = folder.parent().unwrap_or(Path::new(".")).to_path_buf();
    let name = free_name(&out, &folder.file_name().unwrap_or_default().to_string_lossy());
    log::info!("starting {name} from {}", best.display());
    let mut job = JobFile { weights: Some(best), out, name: Some(name), ..file };
    job.recipe.epochs = epochs.unwrap_or(job.recipe.epochs);
    new_training(job, Preflight::default(), supervisor)
}

fn ask_micro_batch(job: &Job, most: usize) {
    job.requests.ask_micro_batch(most);
    let (now, began) = (job.requests.micro_batch(job.recipe.batch, job.recipe.micro_batch), job.recipe.micro_batch);
    if now != began {
        log::warn!("micro-batch {now}, the run began with {began}: the weights will differ by rounding");
    }
}

/// Writes down that a run has other epochs from now on, its checkpoint before its job file: whatever ends the program
/// in between, the run goes on as extended.
fn extend(job: &Job, state: &mut TrainState, header: Header, mut file: JobFile) -> Result<()> {
    // The watchdog's state is about a run of another length.
    state.watchdog = None;
    let journal = job.folder.join("journal.jsonl");
    if journal.exists() {
        let numbered = (1u64..).map(|n| job.folder.join(format!("journal-{n}.jsonl")));
        let kept = numbered.into_iter().find(|p| !p.exists()).context("journal.jsonl: no name is free")?;
        fs::rename(&journal, kept).with_context(|| format!("{}: cannot rename", journal.display()))?;
    }
    let network = header.network;
    let header = Header::of(network, job.size, &job.class_names, &job.recipe, header.training, job.schedule);
    Checkpoint::save(&job.checkpoint_path(), state, header)?;
    file.recipe = job.recipe.clone();
    let text = file.to_toml();
    Ok(replace_file(&job.folder.join("config.toml"), |temporary| fs::write(temporary, text), |_| Ok(()))?)
}

/// Reads the checkpoint to go on from. Where it is damaged and the other one, too, one answer says what is left.
fn load(folder: &Path, chosen: &Path) -> Result<Checkpoint> {
    let error = match Checkpoint::load(chosen) {
        Err(error @ TrainError::Checkpoint { .. }) => error,
        loaded => return Ok(loaded?),
    };
    let both = ["last.ckpt", PREVIOUS].map(|name| folder.join("weights").join(name));
    if !both.iter().any(|path| path == chosen) {
        return Err(error.into());
    }
    let first_line = |error: TrainError| error.to_string().lines().next().unwrap_or_default().to_string();
    let fault = |path: &PathBuf| match Checkpoint::load(path) {
        Ok(_) => None,
        Err(error) => Some(first_line(error)),
    };
    match (fault(&both[0]), fault(&both[1])) {
        (Some(last), Some(previous)) => Err(NoSoundCheckpoint { folder: folder.into(), last, previous }.into()),
        _ => Err(error.into()),
    }
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
