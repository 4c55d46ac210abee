//! The job file: what to train on, from what, into where, and how. Flags of the command line override it.

use crate::train::Recipe;
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `job.toml`. Unknown keys are errors; every key has a default but `data` and `weights`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobFile {
    /// Folder of labelled photos, a label file, or a pack.
    pub data: Option<PathBuf>,
    /// Pretrained ONNX file.
    pub weights: Option<PathBuf>,
    /// Folder that run folders are made in.
    pub out: PathBuf,
    /// Name of the run folder; the data set's name and a number if absent.
    pub name: Option<String>,
    /// Input size in pixels.
    pub imgsz: Option<usize>,
    /// Threads for the network; all cores if absent.
    pub threads: Option<usize>,
    pub train_split: Option<String>,
    pub val_split: Option<String>,
    /// Share of the images held back for validation where the data set has no split.
    pub val_share: f64,
    /// Longest time between checkpoints, in seconds.
    pub checkpoint_every_s: u64,
    /// cure, advise or off.
    pub watchdog: Mode,
    /// The settings of a board by its name, `auto` for those of the board this is, `none` for no board's.
    pub board: String,
    pub recipe: Recipe,
    /// For `fieldtune service` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceFile>,
}

/// `[service]` of the job file: where the service looks, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceFile {
    /// Folder for runs and results; systemd's state directory if absent, or `/var/lib/fieldtune`.
    pub state: Option<PathBuf>,
    /// Where labelled photos are put; `inbox` in the state folder if absent.
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
            weights: None,
            out: "runs/train".into(),
            name: None,
            imgsz: None,
            threads: None,
            train_split: None,
            val_split: None,
            val_share: 0.2,
            checkpoint_every_s: 300,
            watchdog: Mode::Cure,
            board: "auto".into(),
            recipe: Recipe::default(),
            service: None,
        }
    }
}

impl JobFile {
    /// Reads a job file.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, or has an unknown key or a value of the wrong kind.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot read the job file", path.display()))?;
        toml::from_str(&text).map_err(|e| {
            anyhow!(
                "{}: {}\nhelp: see the README for the keys and their defaults",
                path.display(),
                e.to_string().trim()
            )
        })
    }

    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a job has only keys that TOML can hold")
    }
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
    }
}
