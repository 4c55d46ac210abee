//! The flags of `fieldtune train`, and the job file that they are put over.

use crate::boxes::InputSize;
use crate::config::{JobFile, KEYS, PackWish, ServeAddress, default_of};
use crate::data::AugmentOptions;
use crate::optim::{Decay, OptimizerKind};
use crate::train::LossKind;
use crate::watchdog::Mode;
use anyhow::Result;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Help texts, defaults and headings of the flags that are keys of the job file come from [`crate::config::KEYS`].
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArguments {
    pub data: Vec<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    #[arg(long, value_name = "NAMES")]
    pub names: Option<String>,
    /// Job file (TOML, see `fieldtune config`); flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Continue a run: its folder, or one of its checkpoints; other flags are the run's but --epochs, --threads, --checkpoint-every and those of following a run
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    /// With --resume: start a new run from the best weights so far, where its checkpoints are lost
    #[arg(long, requires = "resume", conflicts_with_all = ["threads", "checkpoint_every"])]
    pub from_best: bool,
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    #[arg(long, value_name = "MINUTES", conflicts_with = "epochs")]
    pub minutes: Option<f64>,
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<usize>,
    #[arg(long, value_name = "PIXELS|HxW")]
    pub imgsz: Option<InputSize>,
    #[arg(long, value_parser = parse_rate, value_name = "RATE|auto")]
    pub lr: Option<Rate>,
    /// First train on a few photos to see whether the network can overfit them; end if not
    #[arg(long, help_heading = "Learning rate and optimizer")]
    pub probe_overfit: bool,
    #[arg(long, value_name = "SHARE")]
    pub backbone_rate: Option<f64>,
    #[arg(long, value_name = "DECAY")]
    pub weight_decay: Option<f64>,
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerWord>,
    #[arg(long, value_enum)]
    pub decay: Option<Decay>,
    #[arg(long, value_name = "STEPS")]
    pub warmup: Option<u64>,
    #[arg(long, value_name = "NORM")]
    pub clip: Option<f64>,
    #[arg(long, value_name = "SHARE")]
    pub ema: Option<f64>,
    #[arg(long, value_name = "STAGES")]
    pub freeze: Option<usize>,
    #[arg(long, value_name = "SHARE")]
    pub hold: Option<f64>,
    #[arg(long, value_enum)]
    pub loss: Option<LossKind>,
    #[arg(long, value_parser = parse_class_weight, value_name = "NAME=WEIGHT")]
    pub class_weight: Vec<(String, f32)>,
    /// Show every photo as it is: no augmentation
    #[arg(long, help_heading = "Training")]
    pub no_augment: bool,
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<u64>,
    #[arg(long, value_name = "AP")]
    pub until: Option<f64>,
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    #[arg(long, value_name = "MB")]
    pub memory: Option<u64>,
    #[arg(long, value_name = "SPLIT")]
    pub train_split: Option<String>,
    #[arg(long, value_name = "SPLIT")]
    pub val_split: Option<String>,
    #[arg(long, value_name = "SHARE")]
    pub val_share: Option<f64>,
    #[arg(long, value_name = "SHARE")]
    pub train_share: Option<f64>,
    /// Train although the data set has errors of this kind; may be repeated
    #[arg(long, value_name = "KIND")]
    pub accept: Vec<String>,
    #[arg(long, value_enum)]
    pub pack_as: Option<PackWish>,
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    #[arg(long, value_enum)]
    pub watchdog: Option<Mode>,
    #[arg(long)]
    pub board: Option<String>,
    #[arg(long, value_name = "SECONDS")]
    pub checkpoint_every: Option<u64>,
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8070")]
    pub serve: Option<ServeAddress>,
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    #[arg(long, value_name = "URL")]
    pub notify: Option<String>,
}

/// An optimizer with its usual numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerWord {
    Adamw,
    Sgd,
}

impl From<OptimizerWord> for OptimizerKind {
    fn from(word: OptimizerWord) -> Self {
        match word {
            OptimizerWord::Adamw => OptimizerKind::adamw(),
            OptimizerWord::Sgd => OptimizerKind::sgd(),
        }
    }
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

fn parse_class_weight(text: &str) -> Result<(String, f32), String> {
    let (name, weight) = text.rsplit_once('=').ok_or("expected NAME=WEIGHT")?;
    weight.parse().map(|w| (name.to_string(), w)).map_err(|_| format!("{weight:?} is not a number"))
}

/// Flags that may change when a run goes on; all others are the run's from its beginning.
const CHANGEABLE: [&str; 6] = ["epochs", "threads", "checkpoint_every", "serve", "metrics_file", "notify"];

/// `fieldtune train` with the help of every key's flag, its default and its heading, and with all that conflicts with
/// `--resume`.
pub fn described(train: clap::Command) -> clap::Command {
    let flags = KEYS.iter().filter_map(|key| key.flag.map(|flag| (flag, key)));
    let train = flags.fold(train, |train, (flag, key)| {
        let default = default_of(key).filter(|value| !value.starts_with(['{', '[']));
        let default = default.as_deref().map(|value| value.trim_matches('"')).or(key.otherwise.map(|o| o.0));
        let help = default.map_or(key.doc.to_string(), |default| format!("{} [default: {default}]", key.doc));
        train.mut_arg(
            flag,
            |arg| if arg.is_positional() { arg.help(help) } else { arg.help(help).help_heading(key.heading) },
        )
    });
    let ids = train.get_arguments().map(|arg| arg.get_id().clone());
    let fixed: Vec<clap::Id> =
        ids.filter(|id| id != "resume" && id != "from_best" && !CHANGEABLE.contains(&id.as_str())).collect();
    train.mut_arg("resume", |arg| arg.conflicts_with_all(fixed))
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
    let mut data = a.data.into_iter();
    if let Some(first) = data.next() {
        job.data = Some(first);
        job.also = data.collect();
    }
    job.weights = a.weights.or(job.weights);
    job.names = a.names.or(job.names);
    job.imgsz = a.imgsz.or(job.imgsz);
    job.name = a.name.or(job.name);
    job.threads = a.threads.or(job.threads);
    job.memory_mb = a.memory.or(job.memory_mb);
    job.minutes = a.minutes.or(job.minutes.filter(|_| a.epochs.is_none()));
    job.train_split = a.train_split.or(job.train_split);
    job.val_split = a.val_split.or(job.val_split);
    set(&mut job.val_share, a.val_share);
    set(&mut job.train_share, a.train_share);
    job.accept.extend(a.accept);
    set(&mut job.pack_as, a.pack_as);
    set(&mut job.out, a.out);
    job.given.checkpoint_every |= a.checkpoint_every.is_some();
    set(&mut job.checkpoint_every_s, a.checkpoint_every);
    set(&mut job.board, a.board);
    set(&mut job.watchdog, a.watchdog);
    job.serve = a.serve.or(job.serve);
    job.metrics_file = a.metrics_file.or(job.metrics_file);
    job.notify = a.notify.or(job.notify);
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
    set(&mut recipe.optimizer, a.optimizer.map(OptimizerKind::from));
    set(&mut recipe.decay, a.decay);
    set(&mut recipe.warmup, a.warmup);
    set(&mut recipe.clip, a.clip);
    set(&mut recipe.ema, a.ema);
    set(&mut recipe.freeze, a.freeze);
    set(&mut recipe.hold, a.hold);
    set(&mut recipe.loss, a.loss);
    set(&mut recipe.patience, a.patience);
    set(&mut recipe.until_ap, a.until);
    set(&mut recipe.seed, a.seed);
    recipe.class_weights.extend(a.class_weight);
    if a.no_augment {
        recipe.augment = AugmentOptions::none();
    }
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};
    use std::collections::BTreeSet;

    /// Flags that are no keys of the job file.
    const OTHERS: [&str; 6] = ["config", "resume", "from_best", "probe_overfit", "no_augment", "help"];

    /// Values of which one suits each flag, and is not its default.
    const VALUES: [&str; 11] =
        ["jpeg", "3", "0.25", "sgd", "staircase", "focal", "advise", "cat=2", "name", "auto", "7"];

    fn train() -> Command {
        described(TrainArguments::augment_args(Command::new("train")))
    }

    fn parsed(words: &[String]) -> Result<TrainArguments, clap::Error> {
        let all = std::iter::once("train".to_string()).chain(words.iter().cloned());
        TrainArguments::from_arg_matches(&train().try_get_matches_from(all)?)
    }

    /// Words of the command line that give a key's flag a value other than its default.
    fn words(flag: &str) -> Vec<String> {
        let given = |value: &&str| {
            let words = match flag {
                "data" => vec![value.to_string()],
                _ => vec![format!("--{}", flag.replace('_', "-")), value.to_string()],
            };
            let changed =
                parsed(&words).ok().and_then(|a| job_file(a).ok()).is_some_and(|job| job != JobFile::default());
            changed.then_some(words)
        };
        VALUES.iter().find_map(given).unwrap_or_else(|| panic!("no value for --{flag}"))
    }

    #[test]
    fn every_flag_is_a_key_and_has_its_help() {
        let train = train();
        let ids: BTreeSet<&str> = train.get_arguments().map(|a| a.get_id().as_str()).collect();
        let keys: BTreeSet<&str> = KEYS.iter().filter_map(|key| key.flag).collect();
        let others: BTreeSet<&str> = OTHERS.into_iter().filter(|id| ids.contains(id)).collect();
        assert_eq!(ids, keys.union(&others).copied().collect());
        assert!(train.get_arguments().all(|a| a.get_help().is_some()));
    }

    #[test]
    fn every_flag_sets_its_key_and_no_other() {
        let table = |job: &JobFile| toml::Table::try_from(job).expect("a job has only keys that TOML can hold");
        let flat = |job: &JobFile| {
            let mut all = table(job);
            let recipe = all.remove("recipe").and_then(|r| r.as_table().cloned()).expect("a recipe");
            all.extend(recipe.into_iter().map(|(key, value)| (format!("recipe.{key}"), value)));
            all
        };
        let before = flat(&JobFile::default());
        for key in KEYS.iter().filter(|key| key.flag.is_some()) {
            let flag = key.flag.expect("filtered");
            let after = flat(&job_file(parsed(&words(flag)).expect("a valid flag")).expect("no file is read"));
            let changed: Vec<&String> =
                after.iter().filter(|(k, v)| before.get(*k) != Some(v)).map(|(k, _)| k).collect();
            let name = match key.table {
                "" => key.name.to_string(),
                "recipe.optimizer" => "recipe.optimizer".into(),
                table => format!("{table}.{}", key.name),
            };
            // Batch and micro-batch make room for each other.
            let expected = if flag == "batch" { 1..3 } else { 1..2 };
            let expected = if flag == "micro_batch" { 1..3 } else { expected };
            assert!(changed.contains(&&name) && expected.contains(&changed.len()), "--{flag}: {changed:?}");
        }
    }

    #[test]
    fn a_run_that_goes_on_keeps_all_but_its_length_pace_and_onlookers() {
        for flag in KEYS.iter().filter_map(|key| key.flag) {
            let resumed = parsed(&[words(flag), vec!["--resume".into(), "run".into()]].concat());
            assert_eq!(resumed.is_ok(), CHANGEABLE.contains(&flag), "--{flag}");
        }
        for flag in ["--probe-overfit", "--no-augment", "--config=job.toml"] {
            assert!(parsed(&[flag.into(), "--resume".into(), "run".into()]).is_err(), "{flag}");
        }
    }
}
