//! `fieldtune train`.

use super::loaded::DEFAULT_SIZE;
use super::log_file;
use super::memory::fit_memory;
use super::process::{set_threads, stop_on_signal};
use super::progress::TrainingProgress;
use super::resume::{Overrides, resume};
use super::run_folder::{Source, check_size, new_run, open_source, tell_findings};
use super::{RESUMABLE, train_report, watchdog_report};
use crate::board::release_freed_memory;
use crate::config::JobFile;
use crate::data::{AugmentOptions, Split};
use crate::model::{ConvWeights, Ssd};
use crate::onnx::{Imported, import};
use crate::optim::{Decay, OptimizerKind};
use crate::train::{
    Ending, Event, Job, LossKind, PROBE_STEPS, RANGE_STEPS, Recipe, Records, TrainError, TrainState, overfit_probe,
    range_test, start, train,
};
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a run keeps from its beginning: all but threads and the time between checkpoints.
const FIXED: [&str; 29] = [
    "watchdog",
    "probe_overfit",
    "data",
    "weights",
    "config",
    "epochs",
    "batch",
    "micro_batch",
    "imgsz",
    "lr",
    "backbone_rate",
    "weight_decay",
    "optimizer",
    "decay",
    "warmup",
    "clip",
    "ema",
    "freeze",
    "hold",
    "loss",
    "class_weight",
    "no_augment",
    "patience",
    "seed",
    "train_split",
    "val_split",
    "val_share",
    "name",
    "out",
];

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArguments {
    /// Folder of labelled photos, a label file, or a pack
    pub data: Option<PathBuf>,
    /// Pretrained detector or backbone (ONNX)
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Job file (TOML); flags override it
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Continue a run: its folder, or one of its checkpoints
    #[arg(long, conflicts_with_all = FIXED)]
    pub resume: Option<PathBuf>,
    /// Passes over the training images [default: 20]
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Images per optimizer step
    #[arg(long)]
    pub batch: Option<usize>,
    /// Images per forward and backward pass; a divisor of the batch
    #[arg(long)]
    pub micro_batch: Option<usize>,
    /// Input size in pixels [default: the file's, or 300]
    #[arg(long)]
    pub imgsz: Option<usize>,
    /// Learning rate of extras and heads, or auto for a range test before the run
    #[arg(long, value_parser = parse_rate)]
    pub lr: Option<Rate>,
    /// First see whether a few photos can be learned by heart; end if not
    #[arg(long)]
    pub probe_overfit: bool,
    /// Rate of the backbone as a share of --lr
    #[arg(long)]
    pub backbone_rate: Option<f64>,
    #[arg(long)]
    pub weight_decay: Option<f64>,
    #[arg(long, value_parser = parse_optimizer)]
    pub optimizer: Option<OptimizerKind>,
    /// cosine, step, staircase or constant
    #[arg(long, value_parser = parse_decay)]
    pub decay: Option<Decay>,
    /// Steps of rising rate at the start
    #[arg(long)]
    pub warmup: Option<u64>,
    /// Largest gradient norm; 0 for none
    #[arg(long)]
    pub clip: Option<f64>,
    /// Share of the moving average kept per step; 0 for none
    #[arg(long)]
    pub ema: Option<f64>,
    /// Leading stages not trained: 0 none, 1 the stem, k + 1 the stem and k blocks, 19 the backbone
    #[arg(long)]
    pub freeze: Option<usize>,
    /// Share of the run during which the backbone is held
    #[arg(long)]
    pub hold: Option<f64>,
    /// mining or focal
    #[arg(long, value_parser = parse_loss)]
    pub loss: Option<LossKind>,
    /// Weight of a class in the loss, as NAME=WEIGHT; may be repeated
    #[arg(long, value_parser = parse_class_weight)]
    pub class_weight: Vec<(String, f32)>,
    /// Show every photo as it is
    #[arg(long)]
    pub no_augment: bool,
    /// Epochs without a better validation AP before ending early; 0 never
    #[arg(long)]
    pub patience: Option<u64>,
    #[arg(long)]
    pub seed: Option<u64>,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    #[arg(long)]
    pub train_split: Option<String>,
    #[arg(long)]
    pub val_split: Option<String>,
    /// Share of the images held back for validation where the data set has no split
    #[arg(long)]
    pub val_share: Option<f64>,
    /// Name of the run folder
    #[arg(long)]
    pub name: Option<String>,
    /// Folder for run folders [default: runs/train]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// What the watchdog may do about stagnation: cure, advise or off [default: cure]
    #[arg(long, value_parser = parse_watchdog)]
    pub watchdog: Option<Mode>,
    /// Longest time between checkpoints, in seconds; 0 saves after every step [default: 300]
    #[arg(long)]
    pub checkpoint_every: Option<u64>,
}

/// A learning rate, or the wish for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    Of(f64),
    Auto,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text {
        "auto" => Ok(Rate::Auto),
        _ => text.parse().map(Rate::Of).map_err(|_| "expected a number or auto".into()),
    }
}

fn parse_optimizer(text: &str) -> Result<OptimizerKind, String> {
    match text {
        "adamw" => Ok(OptimizerKind::adamw()),
        "sgd" => Ok(OptimizerKind::Sgd { momentum: 0.9 }),
        _ => Err("expected adamw or sgd".into()),
    }
}

fn parse_decay(text: &str) -> Result<Decay, String> {
    match text {
        "cosine" => Ok(Decay::Cosine),
        "step" => Ok(Decay::Step),
        "staircase" => Ok(Decay::Staircase),
        "constant" => Ok(Decay::Constant),
        _ => Err("expected cosine, step, staircase or constant".into()),
    }
}

fn parse_loss(text: &str) -> Result<LossKind, String> {
    match text {
        "mining" => Ok(LossKind::Mining),
        "focal" => Ok(LossKind::Focal),
        _ => Err("expected mining or focal".into()),
    }
}

fn parse_watchdog(text: &str) -> Result<Mode, String> {
    match text {
        "cure" => Ok(Mode::Cure),
        "advise" => Ok(Mode::Advise),
        "off" => Ok(Mode::Off),
        _ => Err("expected cure, advise or off".into()),
    }
}

fn parse_class_weight(text: &str) -> Result<(String, f32), String> {
    let (name, weight) = text.rsplit_once('=').ok_or("expected NAME=WEIGHT")?;
    weight.parse().map(|w| (name.to_string(), w)).map_err(|_| format!("{weight:?} is no number"))
}

/// Puts a flag's value over the job's where the flag was given.
fn set<T>(value: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *value = flag;
    }
}

/// The job file with the flags over it.
fn job_file(a: TrainArguments) -> Result<JobFile> {
    let mut job = a.config.as_deref().map(JobFile::read).transpose()?.unwrap_or_default();
    job.data = a.data.or(job.data);
    job.weights = a.weights.or(job.weights);
    job.imgsz = a.imgsz.or(job.imgsz);
    job.name = a.name.or(job.name);
    job.threads = a.threads.or(job.threads);
    job.train_split = a.train_split.or(job.train_split);
    job.val_split = a.val_split.or(job.val_split);
    set(&mut job.val_share, a.val_share);
    set(&mut job.out, a.out);
    set(&mut job.checkpoint_every_s, a.checkpoint_every);
    set(&mut job.watchdog, a.watchdog);
    let recipe = &mut job.recipe;
    set(&mut recipe.epochs, a.epochs);
    // A smaller batch than the micro-batch means smaller micro-batches, not an error.
    let micro = a.micro_batch.or(a.batch.map(|batch| recipe.micro_batch.min(batch)));
    let batch = a.batch.or(a.micro_batch.map(|micro| recipe.batch.max(micro)));
    set(&mut recipe.batch, batch);
    set(&mut recipe.micro_batch, micro);
    if let Some(Rate::Of(lr)) = a.lr {
        recipe.lr = lr;
    }
    set(&mut recipe.backbone_rate, a.backbone_rate);
    set(&mut recipe.weight_decay, a.weight_decay);
    set(&mut recipe.optimizer, a.optimizer);
    set(&mut recipe.decay, a.decay);
    set(&mut recipe.warmup, a.warmup);
    set(&mut recipe.clip, a.clip);
    set(&mut recipe.ema, a.ema);
    set(&mut recipe.freeze, a.freeze);
    set(&mut recipe.hold, a.hold);
    set(&mut recipe.loss, a.loss);
    set(&mut recipe.patience, a.patience);
    set(&mut recipe.seed, a.seed);
    recipe.class_weights.extend(a.class_weight);
    if a.no_augment {
        recipe.augment = AugmentOptions::none();
    }
    Ok(job)
}

pub fn run(mut arguments: TrainArguments) -> Result<u8> {
    match arguments.resume.take() {
        Some(path) => {
            let (threads, checkpoint_every_s) = (arguments.threads, arguments.checkpoint_every);
            resume(&path, &Overrides { threads, checkpoint_every_s })
        }
        None => {
            let wishes = Wishes { auto_rate: arguments.lr == Some(Rate::Auto), probe_overfit: arguments.probe_overfit };
            new_training(job_file(arguments)?, wishes)
        }
    }
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
pub fn new_training(mut file: JobFile, wishes: Wishes) -> Result<u8> {
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
    let threads = set_threads(file.threads)?;
    let imported = import(&weights)?;
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
    let begin = start(imported.network, same_classes, class_names.len() + 1, &file.recipe, &training, size)?;
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
    fit_memory(&state, &mut file.recipe, size, [threads, loader_threads(threads)], file.watchdog)?;
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
        mishap: None,
    };
    execute(&job, state, &training, &validation)
}

/// One worker keeps a small board's network fed; more only take its cores.
pub fn loader_threads(threads: usize) -> usize {
    if threads > 2 { 2 } else { 1 }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}: cannot write", path.display()))
}

/// Runs a job to its end, says what came of it, and verifies the exported file.
pub fn execute(job: &Job, mut state: TrainState, training: &Records, validation: &Records) -> Result<u8> {
    let stop = stop_on_signal()?;
    let mut progress = TrainingProgress::new(job.recipe.epochs);
    let mut pictures = train_report::Pictures::new(job);
    let ending = train(job, &mut state, training, validation, &stop, &mut |event: Event| {
        progress.show(&event);
        watchdog_report::tell(&event);
        pictures.collect(&event);
    });
    progress.finish();
    let ending = ending?;
    if ending == Ending::Stopped {
        log::info!(
            "stopped at step {}; continue with `fieldtune train --resume {}`",
            state.progress.step,
            job.folder.display()
        );
        return Ok(RESUMABLE);
    }
    if ending == Ending::GivenUp {
        log::info!("ended early by the watchdog");
    }
    if ending == Ending::Patience {
        log::info!("ended early: no better validation AP for {} epochs", job.recipe.patience);
    }
    let best = state.progress.best;
    // What follows works with the exported file; on a small board there is no room for both.
    drop(state);
    release_freed_memory();
    pictures.write(training)?;
    train_report::verify_export(job, validation)?;
    watchdog_report::story(job, training)?;
    if let Some(best) = best {
        log::info!("best epoch {} with AP {:.3}: {}", best.epoch, best.ap, job.best_path().display());
    }
    Ok(0)
}
