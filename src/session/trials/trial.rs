//! One short run beside others, as a process of its own, and its AP beside another's.

use super::super::process::wait_with_time;
use crate::config::JobFile;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A short run that is over.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its folder.
    folder: PathBuf,
    pub epochs: u64,
}

/// AP of a trial on the validation photos, and how far it lies above another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Above {
    pub ap: f64,
    pub difference: f64,
    /// Bounds that hold with 95 %, from a paired bootstrap; `None` for a single photo.
    pub interval: Option<[f64; 2]>,
}

impl Trial {
    /// Trains the job, whose `out` and `name` say where.
    ///
    /// # Errors
    /// If the run cannot be started or fails, with the last lines that it said.
    pub fn run(job: &JobFile) -> Result<Self> {
        let name = job.name.as_deref().context("a trial without a name")?;
        let file = job.out.join(format!("{name}.toml"));
        std::fs::write(&file, job.to_toml()).with_context(|| format!("{}", file.display()))?;
        let log = job.out.join(format!("{name}.log"));
        let said = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let mut command = program()?;
        command.arg("train").arg("--config").arg(&file);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let (status, _) = wait_with_time(command.spawn().context("a trial cannot be started")?)?;
        if !status.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            bail!("the trial {name} failed ({status})\n{}", lines[lines.len().saturating_sub(4)..].join("\n"));
        }
        let folder = job.out.join(name);
        let epochs = count_epochs(&folder.join("results.csv"))?;
        Ok(Self { folder, epochs })
    }

    /// The job that was run, every choice made.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn job(&self) -> Result<JobFile> {
        JobFile::read(&self.folder.join("config.toml"))
    }

    fn best(&self) -> PathBuf {
        self.folder.join("weights/best.onnx")
    }

    /// Compares the best weights of both on a split of `pack`.
    ///
    /// # Errors
    /// If the comparison cannot be made.
    pub fn above(&self, other: &Trial, pack: &Path, split: &str, threads: Option<usize>) -> Result<Above> {
        let mut command = program()?;
        command.arg("val").arg(self.best()).arg(pack).args(["--split", split, "--json", "--against"]).arg(other.best());
        if let Some(threads) = threads {
            command.arg("--threads").arg(threads.to_string());
        }
        let output = command.stdin(Stdio::null()).output().context("a comparison cannot be started")?;
        if !output.status.success() {
            bail!("two trials cannot be compared\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let figures: Value = serde_json::from_slice(&output.stdout).context("a comparison without figures")?;
        Above::read(&figures)
            .ok_or_else(|| anyhow!("a comparison without AP: is there an object to find in split {split}?"))
    }
}

impl Above {
    /// The figures of `fieldtune val --against --json`.
    fn read(figures: &Value) -> Option<Self> {
        let above = &figures["above"];
        let bound = |i: usize| above["interval"][i].as_f64();
        Some(Self {
            ap: figures["AP"].as_f64()?,
            difference: above["AP"].as_f64()?,
            interval: bound(0).zip(bound(1)).map(|(low, high)| [low, high]),
        })
    }
}

/// This program again, saying little.
fn program() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("the program's own file")?);
    command.env("RUST_LOG", "info");
    Ok(command)
}

/// # Errors
/// If the file cannot be read or has no epoch.
fn count_epochs(path: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    match text.lines().count() {
        0 | 1 => bail!("{}: no epoch was validated", path.display()),
        lines => Ok(lines as u64 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_of_a_comparison_are_read() {
        let figures = json!({"AP": 0.5, "above": {"AP": 0.1, "interval": [0.02, 0.2]}});
        let read = Above::read(&figures).expect("figures");
        assert_eq!(read, Above { ap: 0.5, difference: 0.1, interval: Some([0.02, 0.2]) });
        assert_eq!(Above::read(&json!({"AP": null, "above": {"AP": 0.1}})), None);
        let alone = Above::read(&json!({"AP": 0.5, "above": {"AP": 0.0, "interval": null}}));
        assert_eq!(alone.expect("figures").interval, None);
    }
}
