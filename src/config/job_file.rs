//! The job file: what to train on, from what, into where, and how. Flags of the command line override it.

use super::fleet_file::FleetFile;
use super::pack_wish::PackWish;
use super::serve_address::ServeAddress;
use crate::boxes::InputSize;
use crate::train::Recipe;
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// More than any job file has.
const MOST_BYTES: u64 = 1 << 20;

/// `job.toml`. Unknown keys are errors; every key has a default but `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobFile {
    /// Folder of labelled photos, a label file, or a pack.
    pub data: Option<PathBuf>,
    /// More data sets, joined with the first by the names of their classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<PathBuf>,
    /// File of pretrained weights, or the name of kept ones; the kept default if absent.
    pub weights: Option<PathBuf>,
    /// Names of the weights' classes where their file has none: a list with commas, or a file.
    pub names: Option<String>,
    /// Folder that run folders are made in.
    pub out: PathBuf,
    /// Name of the run folder; the data set's name and a number if absent.
    pub name: Option<String>,
    /// Input size in pixels, a side as 300 or "HEIGHTxWIDTH".
    pub imgsz: Option<InputSize>,
    /// Threads for the network; all cores if absent.
    pub threads: Option<usize>,
    /// Most memory that the whole run may take, in MB; the board's, or what is free, if absent.
    pub memory_mb: Option<u64>,
    pub train_split: Option<String>,
    pub val_split: Option<String>,
    /// Share of the images held back for validation where the data set has no split.
    pub val_share: f64,
    /// Share of the training images that are used.
    pub train_share: f64,
    /// Kinds of errors of a data set that are accepted, which otherwise end the run before it begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// Minutes that the whole run may take: the epochs are chosen for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// How photos are packed: auto, pixels or jpeg.
    pub pack_as: PackWish,
    /// Longest time between checkpoints, in seconds.
    pub checkpoint_every_s: u64,
    /// cure, advise or off.
    pub watchdog: Mode,
    /// The settings of a board by its name, `auto` for those of the board this is, `none` for no board's.
    pub board: String,
    /// Address of the live page; none if absent.
    pub serve: Option<ServeAddress>,
    /// File for Prometheus metrics.
    pub metrics_file: Option<PathBuf>,
    /// Web address that is told of the run.
    pub notify: Option<String>,
    pub recipe: Recipe,
    /// For `fieldtune service` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceFile>,
    /// For `fieldtune service` as a node of a fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetFile>,
    /// The keys that somebody chose, so that no board's settings take its place.
    #[serde(skip)]
    pub given: Given,
}

/// Keys whose value was chosen, by a flag or in the file, although they have a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub micro_batch: bool,
    pub checkpoint_every: bool,
}

/// `[service]` of the job file: where the service looks, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceFile {
    /// Folder for runs and results; systemd's state directory if absent, or `/var/lib/fieldtune`.
    pub state: Option<PathBuf>,
    /// The folder that labelled photos are put into; `inbox` in the state folder if absent.
    pub inbox: Option<PathBuf>,
    /// Seconds between looks at the inbox.
    pub poll_s: u64,
    /// Seconds that nothing may have changed in the inbox before it is trained on.
    pub settle_s: u64,
    /// Runs whose figures, pictures and models are kept besides the last.
    pub keep_runs: usize,
}

impl Default for ServiceFile {
    fn default() -> Self {
        Self { state: None, inbox: None, poll_s: 10, settle_s: 10, keep_runs: 5 }
    }
}

impl Default for JobFile {
    fn default() -> Self {
        Self {
            data: None,
            also: Vec::new(),
            weights: None,
            names: None,
            out: "runs/train".into(),
            name: None,
            imgsz: None,
            threads: None,
            memory_mb: None,
            train_split: None,
            val_split: None,
            val_share: 0.2,
            train_share: 1.0,
            accept: Vec::new(),
            minutes: None,
            pack_as: PackWish::Auto,
            checkpoint_every_s: 300,
            watchdog: Mode::Cure,
            board: "auto".into(),
            serve: None,
            metrics_file: None,
            notify: None,
            recipe: Recipe::default(),
            service: None,
            fleet: None,
            given: Given::default(),
        }
    }
}

impl JobFile {
    /// Reads a job file.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, or has an unknown key or a value of the wrong kind.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_of(path).with_context(|| format!("{}: cannot read the job file", path.display()))?;
        let job: Self = toml::from_str(&text).map_err(|e| {
            anyhow!(
                "{}: {}\nhelp: `fieldtune config` writes every key with its default",
                path.display(),
                e.to_string().trim()
            )
        })?;
        let keys: toml::Table = toml::from_str(&text).unwrap_or_default();
        let recipe = keys.get("recipe").and_then(toml::Value::as_table);
        let given = Given {
            micro_batch: recipe.is_some_and(|r| r.contains_key("micro_batch")),
            checkpoint_every: keys.contains_key("checkpoint_every_s"),
        };
        Ok(Self { given, ..job })
    }

    /// The job with keys of a piece of TOML put over it.
    ///
    /// # Errors
    /// If the piece is not TOML, or has an unknown key or a value of the wrong kind.
    pub fn with(&self, text: &str) -> Result<Self> {
        let mut all: toml::Table = toml::from_str(&self.to_toml()).context("a job that cannot be written")?;
        let over: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{}", e.to_string().trim()))?;
        put_over(&mut all, over);
        let job: Self = all.try_into().map_err(|e: toml::de::Error| anyhow!("{}", e.to_string().trim()))?;
        Ok(Self { given: self.given, ..job })
    }

    /// The job without what only tells others of its runs.
    #[must_use]
    pub fn unobserved(&self) -> Self {
        Self { serve: None, metrics_file: None, notify: None, ..self.clone() }
    }

    /// The data sets of the job, the first one first.
    pub fn all_data(&self) -> Vec<PathBuf> {
        self.data.iter().chain(&self.also).cloned().collect()
    }

    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a job has only keys that TOML can hold")
    }
}

/// Puts the values of `over` into `table`, tables key by key.
fn put_over(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => put_over(old, new),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// The text of a regular file of a size that a job file may have: a pipe would be waited for, and a device has no end.
fn text_of(path: &Path) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {} bytes", metadata.len())));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_round_trip_and_unknown_keys_are_named() {
        let service = Some(ServiceFile { inbox: Some("inbox".into()), ..ServiceFile::default() });
        let job = JobFile { data: Some("photos".into()), service, ..JobFile::default() };
        assert_eq!(toml::from_str::<JobFile>(&job.to_toml()).unwrap(), job);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, "[recipe]\nepoch = 3\n").unwrap();
        let error = JobFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("job.toml") && error.contains("epoch") && error.contains("line 2"), "{error}");
        std::fs::write(&path, "checkpoint_every_s = 300\n[recipe]\nepochs = 3\n").unwrap();
        let given = JobFile::read(&path).unwrap().given;
        assert_eq!(given, Given { micro_batch: false, checkpoint_every: true }, "chosen, though it is the default");
    }
}
