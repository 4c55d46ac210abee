//! The flags of `fieldtune train`, and the job file that they are put over.

use crate::config::JobFile;
use crate::data::AugmentOptions;
use crate::optim::{Decay, OptimizerKind};
use crate::train::LossKind;
use crate::watchdog::Mode;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// What a run keeps from its beginning: all but threads and the time between checkpoints.
const FIXED: [&str; 30] = [
    "board",
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
    /// Settings by board: a name of board-configs, none, or auto for this board's [default: auto]
    #[arg(long)]
    pub board: Option<String>,
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
///
/// # Errors
/// If the job file cannot be read.
pub fn job_file(a: TrainArguments) -> Result<JobFile> {
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
    job.given.checkpoint_every |= a.checkpoint_every.is_some();
    set(&mut job.checkpoint_every_s, a.checkpoint_every);
    set(&mut job.board, a.board);
    set(&mut job.watchdog, a.watchdog);
    let recipe = &mut job.recipe;
    set(&mut recipe.epochs, a.epochs);
    job.given.micro_batch |= a.micro_batch.is_some();
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
