//! `fieldtune train`.

use super::attendant::Attendant;
use super::board_settings::settle_on_board;
use super::execution::{Outcome, execute};
use super::loaded::DEFAULT_SIZE;
use super::log_file;
use super::memory::fit_memory;
use super::process::set_threads;
use super::resume::{Overrides, resume};
use super::run_folder::{Source, check_size, new_run, open_source, tell_findings};
use super::train_arguments::{Rate, TrainArguments, job_file};
use crate::board::release_freed_memory;
use crate::config::JobFile;
use crate::data::Split;
use crate::model::{ConvWeights, Ssd};
use crate::onnx::{Imported, import};
use crate::train::{
    Job, PROBE_STEPS, RANGE_STEPS, Recipe, Records, TrainError, TrainState, overfit_probe, range_test, start,
};
use anyhow::{Result, anyhow, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub fn run(mut arguments: TrainArguments) -> Result<u8> {
    let attendant = &mut Attendant::of_command();
    let outcome = match arguments.resume.take() {
        Some(path) => {
            let (threads, checkpoint_every_s) = (arguments.threads, arguments.checkpoint_every);
            resume(&path, &Overrides { threads, checkpoint_every_s, micro_batch: None }, attendant)?
        }
        None => {
            let wishes = Wishes { auto_rate: arguments.lr == Some(Rate::Auto), probe_overfit: arguments.probe_overfit };
            new_training(job_file(arguments)?, wishes, attendant)?
        }
    };
    Ok(outcome.code())
}

/// The splits that a job trains and validates on.
pub fn splits(job: &JobFile, source: &Source) -> Result<[Split; 2]> {
    let roles = source.pack.roles();
    let training = source.pack.split(job.train_split.as_deref().unwrap_or(&roles.train))?;
    let name = job.val_split.as_deref().or(roles.val.as_deref());
    let validation = name.map(|n| source.pack.split(n)).transpose()?.filter(|s| !s.is_empty());
    let validation = validation.unwrap_or_else(|| {
        log::warn!("no image is held back for validation: AP is measured on the training images");
        training.clone()
    });
    log::info!(
        "{} images of split {} to train on, {} of split {} to judge on; classes: {}",
        training.len(),
        training.name(),
        validation.len(),
        validation.name(),
        source.pack.classes().join(", ")
    );
    Ok([training, validation])
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

/// What is to be found out before a run begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    pub auto_rate: bool,
    pub probe_overfit: bool,
}

/// Finds out what was asked for, on states of their own.
///
/// # Errors
/// If a few photos cannot be learned by heart, or a record cannot be read.
fn rehearse(
    wishes: Wishes,
    network: &Ssd<ConvWeights>,
    recipe: &mut Recipe,
    training: &Records,
    classes: usize,
    size: usize,
) -> Result<()> {
    if wishes.auto_rate {
        log::info!("range test: up to {RANGE_STEPS} steps at rising rates");
        let found = range_test(network, recipe, training, classes, size)?;
        log::info!("learning rate {:.1e} (the default is {:.1e})", found.lr, recipe.lr);
        recipe.lr = found.lr;
    }
    if wishes.probe_overfit {
        let probe = overfit_probe(network, recipe, training, classes, size)?;
        let said = format!(
            "in {PROBE_STEPS} steps on the same few photos the loss went from {:.2} to {:.2}",
            probe.start, probe.end
        );
        if !probe.is_learned() {
            bail!(
                "{said}: what cannot be learned by heart will not be learned\nhelp: look at the weights, the labels of these photos, and --lr"
            );
        }
        log::info!("{said}: they can be learned");
    }
    Ok(())
}

/// Trains what a job file describes, from the beginning.
///
/// # Errors
/// If the job cannot work, or data or disk fail.
pub fn new_training(mut file: JobFile, wishes: Wishes, attendant: &mut Attendant) -> Result<Outcome> {
    file.recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    if !(0.0..1.0).contains(&file.val_share) {
        bail!("val_share = {}, expected 0 or more and below 1", file.val_share);
    }
    let data = file
        .data
        .clone()
        .ok_or_else(|| anyhow!("no data set given\nhelp: fieldtune train DATA --weights FILE.onnx"))?;
    let weights = file.weights.clone().ok_or_else(|| {
        anyhow!("no pretrained weights given\nhelp: fieldtune train DATA --weights FILE.onnx; training from nothing needs far more photos")
    })?;
    let board = settle_on_board(&mut file, Path::new("/"))?;
    let threads = set_threads(file.threads)?;
    let imported = import(&weights)?;
    attendant.beat();
    tell_import(&weights, &imported);
    let size = file.imgsz.or(imported.input_size).unwrap_or(DEFAULT_SIZE);
    check_size(size)?;
    let source = open_source(&data, &file.out, file.val_share, file.recipe.seed)?;
    tell_findings(&source.findings);
    let splits = splits(&file, &source)?;
    check_labelled(&data, &splits[0])?;
    let class_names = source.pack.classes().to_vec();
    file.recipe.check_classes(&class_names).map_err(|e| anyhow!("recipe: {e}"))?;
    let same_classes = imported.metadata.class_names.as_ref() == Some(&class_names);
    let [training, validation] = splits.each_ref().map(Records::of_split);
    let mut report = imported.render();
    attendant.beat();
    let begin = start(imported.network, same_classes, class_names.len() + 1, &file.recipe, &training, size)?;
    attendant.beat();
    for note in &begin.notes {
        log::info!("{note}");
        report.push_str(&format!("note: {note}\n"));
    }
    rehearse(wishes, &begin.network, &mut file.recipe, &training, class_names.len() + 1, size)?;
    let folder = new_run(&file.out, file.name.as_deref(), &data)?;
    log_file::follow(&folder)?;
    write(&folder.join("import.txt"), &report)?;
    // Absolute, so that the run can be resumed from anywhere.
    file.data = Some(data.canonicalize().unwrap_or(data));
    file.weights = Some(weights.canonicalize().unwrap_or(weights));
    file.imgsz = Some(size);
    // Sums are made in an order that depends on the threads: going on with as many gives the same bits.
    file.threads = Some(threads);
    file.name = folder.file_name().and_then(|n| n.to_str()).map(str::to_string);
    let state = TrainState::new(&begin.network, &file.recipe);
    drop(begin);
    release_freed_memory();
    let budget = board.as_ref().and_then(|b| b.memory_mb);
    fit_memory(&state, &mut file.recipe, size, [threads, loader_threads(threads)], file.watchdog, budget)?;
    attendant.board = board;
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
        mishap: None,
    };
    execute(&job, state, &training, &validation, attendant)
}

/// One worker keeps a small board's network fed; more only take its cores.
pub fn loader_threads(threads: usize) -> usize {
    if threads > 2 { 2 } else { 1 }
}

/// In one step and synced: a checkpoint is of no use without its job.
fn write(path: &Path, text: &str) -> Result<()> {
    Ok(crate::train::replace_file(path, |temporary| std::fs::write(temporary, text), |_| Ok(()))?)
}
