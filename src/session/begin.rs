//! Starts a new run: reads the inputs that a job file names, prepares the network, plans the memory, makes the run
//! folder, and trains.

use super::board_settings::settle_on_board;
use super::execution::execute;
use super::fit_memory::fit_memory;
use super::job_check::{check_class_names, check_memory, check_paths};
use super::label_pictures::{LabelPictures, objects_of};
use super::loaded::DEFAULT_SIZE;
use super::log_file;
use super::photo_pack::PackChoice;
use super::process::{bound_photos, set_threads};
use super::reporting::Background;
use super::run_folder::{DataSource, check_size, new_run, open_sources, refuse_unless_accepted, tell_leak, tell_notes};
use super::run_outcome::RunOutcome;
use super::starting_weights::{starting_weights, wanted_classes};
use super::supervisor::Supervisor;
use super::time_plan::{PhotoCounts, TimePlan};
use crate::board::release_freed_memory;
use crate::boxes::{CornerBox, InputSize};
use crate::config::JobFile;
use crate::data::{PackNotes, Split};
use crate::interchange::{Imported, TrainedOn, import};
use crate::model::{ConvWeights, Ssd};
use crate::train::{
    Job, PROBE_STEPS, RANGE_STEPS, Recipe, Records, TrainError, TrainState, overfit_probe, pace, range_test, start,
};
use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Training photos that an exported file lists, at ten bytes each.
const MOST_LISTED: usize = 20_000;

/// The splits that a job trains and validates on.
pub fn splits(job: &JobFile, source: &DataSource) -> Result<[Split; 2]> {
    let roles = source.pack.roles();
    let training = source.pack.split(job.train_split.as_deref().unwrap_or(&roles.train))?;
    let training = training.part(job.train_share, job.recipe.seed);
    let name = job.val_split.as_deref().or(roles.val.as_deref());
    let validation = name.map(|n| source.pack.split(n)).transpose()?.filter(|s| !s.is_empty());
    let validation = validation.unwrap_or_else(|| {
        log::warn!("no image is held back for validation: AP is measured on the training images");
        training.clone()
    });
    log::info!(
        "{} images of split {} to train on, {} of split {} to validate on; classes: {}",
        training.len(),
        training.name(),
        validation.len(),
        validation.name(),
        source.pack.classes().join(", ")
    );
    Ok([training, validation])
}

/// How a job's photos are packed.
pub fn pack_choice(file: &JobFile, seed: u64) -> PackChoice {
    PackChoice { wish: file.pack_as, val_share: file.val_share, seed }
}

/// The exported file's record of the data set.
pub fn trained_on(file: &JobFile, seed: u64, [training, validation]: &[Split; 2]) -> TrainedOn {
    TrainedOn {
        seed,
        val_share: file.val_share,
        train_split: training.name().into(),
        val_split: validation.name().into(),
        train_crc32: training.crc32(),
        photos: if training.len() > MOST_LISTED { Vec::new() } else { training.photos() },
    }
}

/// Says in one line what came out of the weight file; `import.txt` has it tensor by tensor.
fn tell_import(path: &Path, imported: &Imported) {
    log::info!("{}: {} tensors, {} parameters", path.display(), imported.tensor_count(), imported.parameter_count());
    imported.warnings.iter().for_each(|w| log::warn!("{}: {w}", path.display()));
}

/// # Errors
/// If nothing in the split can be learned.
fn check_labelled(data: &Path, split: &Split) -> Result<()> {
    for i in 0..split.len() {
        if split.objects(i)?.iter().any(|o| !o.crowd) {
            return Ok(());
        }
    }
    let found = match split.len() {
        0 => "no image".to_string(),
        n => format!("{n} images without a single object"),
    };
    Err(TrainError::Empty { split: format!("{}: training split {}", data.display(), split.name()), found }.into())
}

/// The split that photos are held back for.
const HELD_BACK: &str = "val";

/// Minutes that a run may be given.
const MINUTES: std::ops::RangeInclusive<f64> = 0.1..=100_000.0;

/// The tests to make before a run begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preflight {
    pub auto_rate: bool,
    pub probe_overfit: bool,
}

/// Finds out what was asked for, on states of their own.
///
/// # Errors
/// If a few photos cannot be learned by heart, or a record cannot be read.
fn rehearse(
    preflight: Preflight,
    network: &Ssd<ConvWeights>,
    recipe: &mut Recipe,
    training: &Records,
    classes: usize,
    size: InputSize,
) -> Result<()> {
    if preflight.auto_rate {
        log::info!("range test: up to {RANGE_STEPS} steps at rising rates");
        let found = range_test(network, recipe, training, classes, size)?;
        log::info!("learning rate {:.1e} (the default is {:.1e})", found.lr, recipe.lr);
        recipe.lr = found.lr;
    }
    if preflight.probe_overfit {
        let probe = overfit_probe(network, recipe, training, classes, size)?;
        let said = format!(
            "in {PROBE_STEPS} steps on the same few photos the loss went from {:.2} to {:.2}",
            probe.start, probe.end
        );
        if !probe.is_learned() {
            bail!(
                "the network could not overfit a few photos: {said}\nhelp: check the labels of these photos, the weights and --lr"
            );
        }
        log::info!("{said}: they can be learned");
    }
    Ok(())
}

/// Data set and weights of a job that can work.
fn inputs(file: &JobFile) -> Result<(PathBuf, PathBuf)> {
    file.recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    if !(0.0..1.0).contains(&file.val_share) {
        bail!("val_share = {}, expected 0 or more and below 1", file.val_share);
    }
    if !(file.train_share > 0.0 && file.train_share <= 1.0) {
        bail!("train_share = {}, expected above 0 and at most 1", file.train_share);
    }
    let data = file.data.clone();
    let data = data.ok_or_else(|| anyhow!("no data set given\nhelp: fieldtune train DATA [--weights FILE-OR-NAME]"))?;
    let weights = starting_weights(file.weights.as_deref())?;
    if let Some(minutes) = file.minutes.filter(|minutes| !MINUTES.contains(minutes)) {
        bail!("minutes = {minutes}, expected {} to {}", MINUTES.start(), MINUTES.end());
    }
    check_paths(file)?;
    check_memory(file)?;
    Ok((data, weights))
}

/// All that a run starts with, before it has a folder.
struct PreparedRun {
    network: Ssd<ConvWeights>,
    size: InputSize,
    class_names: Vec<String>,
    training: Records,
    validation: Records,
    /// The text of `import.txt`.
    report: String,
    /// The findings of packing.
    notes: PackNotes,
    /// Class and box of every object to train on.
    objects: Vec<(usize, CornerBox)>,
    trained_on: TrainedOn,
}

/// Reads weights and photos, and makes the network ready for them.
fn prepare(
    file: &JobFile,
    data: &Path,
    weights: &Path,
    preflight: Preflight,
    supervisor: &mut Supervisor,
) -> Result<(PreparedRun, Recipe)> {
    let imported = import(weights)?;
    supervisor.ping();
    tell_import(weights, &imported);
    let size = file.imgsz.or(imported.input_size.map(InputSize::from)).unwrap_or(DEFAULT_SIZE);
    check_size(size)?;
    let source = open_sources(&file.all_data(), &file.out, &pack_choice(file, file.recipe.seed))?;
    let notes = source.pack.notes();
    tell_notes(&notes);
    refuse_unless_accepted(&notes, &file.accept)?;
    let splits = splits(file, &source)?;
    let class_names = source.pack.classes().to_vec();
    check_class_names(data, &class_names)?;
    check_labelled(data, &splits[0])?;
    file.recipe.check_classes(&class_names).map_err(|e| anyhow!("recipe: {e}"))?;
    let wanted = wanted_classes(weights, &imported, file.names.as_deref(), &class_names)?;
    let objects = objects_of(&splits[0])?;
    let trained_on = trained_on(file, file.recipe.seed, &splits);
    let [training, validation] = splits.each_ref().map(Records::of_split);
    let mut report = imported.render();
    supervisor.ping();
    let begin = start(imported.network, &wanted, &file.recipe, &training, size)?;
    let columns = class_names.len() + 1;
    supervisor.ping();
    for note in &begin.notes {
        log::info!("{note}");
        report.push_str(&format!("note: {note}\n"));
    }
    let mut recipe = file.recipe.clone();
    rehearse(preflight, &begin.network, &mut recipe, &training, columns, size)?;
    let network = begin.network;
    let prepared = PreparedRun { network, size, class_names, training, validation, report, notes, objects, trained_on };
    Ok((prepared, recipe))
}

/// Chooses the epochs of a run that began at `begun` and is to take so many minutes, and says so.
fn fit_time(minutes: f64, begun: Instant, recipe: &mut Recipe, run: &PreparedRun, threads: usize) -> Result<()> {
    let measured = pace(&run.network, recipe, &run.training, run.class_names.len() + 1, run.size)?;
    let photos = PhotoCounts { training: run.training.len(), validation: run.validation.len() };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let left = minutes * 60.0 - begun.elapsed().as_secs_f64();
    let plan = TimePlan::new(&measured, recipe, photos, left, threads >= cores)?;
    log::info!("{}", plan.tell(&measured, recipe));
    (recipe.epochs, recipe.freeze) = (plan.epochs, plan.freeze);
    Ok(())
}

/// Trains what a job file describes, from the beginning.
///
/// # Errors
/// If the job cannot work, or data or disk fail.
pub fn new_training(mut file: JobFile, preflight: Preflight, supervisor: &mut Supervisor) -> Result<RunOutcome> {
    let begun = Instant::now();
    let (data, weights) = inputs(&file)?;
    // Photos are held back only where no other split judges the run.
    if file.val_split.as_deref().is_some_and(|split| split != HELD_BACK) {
        file.val_share = 0.0;
    }
    let board = settle_on_board(&mut file, Path::new("/"))?;
    let threads = set_threads(file.threads)?;
    bound_photos(file.memory_mb, threads);
    let (prepared, mut recipe) = prepare(&file, &data, &weights, preflight, supervisor)?;
    if let Some(minutes) = file.minutes {
        fit_time(minutes, begun, &mut recipe, &prepared, threads)?;
        supervisor.ping();
    }
    let PreparedRun { network, size, class_names, training, validation, report, notes, objects, trained_on } = prepared;
    file.recipe = recipe;
    let folder = new_run(&file.out, file.name.as_deref(), &data)?;
    log_file::follow(&folder)?;
    write(&folder.join("import.txt"), &report)?;
    // Absolute, so that the run can be resumed from anywhere.
    file.data = Some(data.canonicalize().unwrap_or(data));
    file.also.iter_mut().for_each(|path| *path = path.canonicalize().unwrap_or(std::mem::take(path)));
    file.weights = Some(weights.canonicalize().unwrap_or(weights));
    file.names = file.names.map(absolute_names);
    file.imgsz = Some(size);
    // Sums are made in an order that depends on the threads: going on with as many gives the same bits.
    file.threads = Some(threads);
    file.name = folder.file_name().and_then(|n| n.to_str()).map(str::to_string);
    let pictures =
        LabelPictures { class_names: &class_names, size, seed: file.recipe.seed, augment: &file.recipe.augment };
    pictures.write(&training, &objects, &folder)?;
    log::info!("{}: labels.png and train_batch0.png show what is trained on", folder.display());
    let state = TrainState::new(&network, &file.recipe);
    drop(network);
    release_freed_memory();
    let budget = file.memory_mb;
    fit_memory(&state, &mut file.recipe, size, [threads, loader_threads(threads)], file.watchdog, budget)?;
    supervisor.board = board;
    write(&folder.join("config.toml"), &file.to_toml())?;
    let job = Job {
        recipe: file.recipe.clone(),
        size,
        class_names,
        folder,
        checkpoint_every: Duration::from_secs(file.checkpoint_every_s),
        loader_threads: loader_threads(threads),
        watchdog: file.watchdog,
        schedule: None,
        requests: Arc::default(),
        trained_on: Some(trained_on),
        mishap: None,
    };
    let background = Background::new(begun, notes.clone(), &objects, job.class_names.len());
    drop(objects);
    let outcome = execute(&job, state, &training, &validation, background, supervisor);
    tell_leak(&notes);
    outcome
}

/// One worker keeps a small board's network fed; more only take its cores.
pub fn loader_threads(threads: usize) -> usize {
    if threads > 2 { 2 } else { 1 }
}

/// A file of class names by its absolute path; a list of names as it is.
fn absolute_names(names: String) -> String {
    let file = Path::new(&names).canonicalize().ok().filter(|path| path.is_file());
    file.and_then(|path| path.to_str().map(str::to_string)).unwrap_or(names)
}

/// In one step and synced: a checkpoint is of no use without its job.
fn write(path: &Path, text: &str) -> Result<()> {
    Ok(crate::train::replace_file(path, |temporary| std::fs::write(temporary, text), |_| Ok(()))?)
}
