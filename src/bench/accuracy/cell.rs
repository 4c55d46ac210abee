//! One run of the accuracy bench: a recipe on a data set with a seed.

use crate::session::{ChildTime, wait_with_time};
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The parts of a run.
#[derive(Clone, Debug)]
pub struct AccuracyCell {
    pub recipe: String,
    /// Its job file; the default recipe where there is none.
    pub job: Option<PathBuf>,
    pub set: String,
    pub data: PathBuf,
    pub weights: Option<String>,
    pub epochs: Option<u64>,
    pub minutes: Option<f64>,
    pub seed: u64,
}

/// Figures of a run's last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    pub ap: f64,
    pub ap50: f64,
    pub epochs: u64,
    /// Of the whole run, reading photos, validation and proof included.
    pub cpu_seconds: f64,
}

impl AccuracyCell {
    pub fn folder_name(&self) -> String {
        let length = match (self.minutes, self.epochs) {
            (Some(minutes), _) => format!("-{minutes}min"),
            (None, Some(epochs)) => format!("-{epochs}ep"),
            (None, None) => String::new(),
        };
        format!("{}-{}{length}-{}", self.set, self.recipe, self.seed)
    }

    /// The figures of the run, which is made if its folder has none.
    ///
    /// # Errors
    /// If the run cannot be started or fails, or what it left cannot be read.
    pub fn result(&self, out: &Path) -> Result<CellResult> {
        let folder = out.join(self.folder_name());
        let kept = folder.join("result.json");
        if let Ok(text) = std::fs::read_to_string(&kept) {
            return serde_json::from_str(&text).with_context(|| format!("{}: remove it to run again", kept.display()));
        }
        // A folder without a result is of a run that was cut off.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        let time = self.train(&folder)?;
        let result = read_results(&folder.join("run/results.csv"), time)?;
        std::fs::write(&kept, serde_json::to_string(&result)?).with_context(|| format!("{}", kept.display()))?;
        Ok(result)
    }

    fn train(&self, folder: &Path) -> Result<ChildTime> {
        let program = std::env::current_exe().context("the program's own file")?;
        let log = std::fs::File::create(folder.join("log.txt")).with_context(|| format!("{}", folder.display()))?;
        let mut command = Command::new(program);
        command.arg("train").arg(&self.data).args(["--threads", "1", "--name", "run"]);
        command.arg("--seed").arg(self.seed.to_string()).arg("--out").arg(folder);
        if let Some(job) = &self.job {
            command.arg("--config").arg(job);
        }
        if let Some(weights) = &self.weights {
            command.args(["--weights", weights]);
        }
        if let Some(epochs) = self.epochs {
            command.arg("--epochs").arg(epochs.to_string());
        }
        if let Some(minutes) = self.minutes {
            command.arg("--minutes").arg(minutes.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let (status, time) = wait_with_time(child.context("the run cannot be started")?)?;
        if !status.success() {
            bail!("{}: the run failed ({status})\nhelp: its log is {}/log.txt", self.folder_name(), folder.display());
        }
        Ok(time)
    }
}

/// # Errors
/// If the file or a column is missing.
fn read_results(path: &Path, time: ChildTime) -> Result<CellResult> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("{}", path.display()))?;
    let columns = reader.headers()?.clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    let last = rows.last().ok_or_else(|| anyhow!("{}: no epoch was validated", path.display()))?;
    let figure = |name: &str| -> Result<f64> {
        let at =
            columns.iter().position(|c| c == name).ok_or_else(|| anyhow!("{}: no column {name}", path.display()))?;
        let text = last.get(at).unwrap_or_default();
        text.parse().with_context(|| format!("{}: column {name}: found \"{text}\"", path.display()))
    };
    let epochs = rows.len() as u64;
    Ok(CellResult { ap: figure("AP")?, ap50: figure("AP50")?, epochs, cpu_seconds: time.cpu_seconds })
}

impl CellResult {
    pub const HEADER: &str = "set                  recipe          minutes  seed  epochs  CPU s     AP   AP50";
    pub const CSV_HEADER: &str = "set,recipe,minutes,seed,epochs,cpu_s,AP,AP50";

    pub fn line(&self, cell: &AccuracyCell) -> String {
        let minutes = cell.minutes.map_or("-".into(), |m| m.to_string());
        format!(
            "{:<20} {:<15} {minutes:>7} {:>5} {:>7} {:>6.0} {:>6.3} {:>6.3}",
            cell.set, cell.recipe, cell.seed, self.epochs, self.cpu_seconds, self.ap, self.ap50
        )
    }

    pub fn csv_line(&self, cell: &AccuracyCell) -> String {
        let minutes = cell.minutes.map_or(String::new(), |m| m.to_string());
        let name = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        format!(
            "{},{},{minutes},{},{},{:.1},{:.4},{:.4}",
            name(&cell.set),
            name(&cell.recipe),
            cell.seed,
            self.epochs,
            self.cpu_seconds,
            self.ap,
            self.ap50
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        std::fs::write(&path, "epoch,AP,AP50,\"AP[a,b]\"\n1,0.1,0.2,0.3\n2,0.4,0.5,0.6\n").unwrap();
        let time = ChildTime { cpu_seconds: 7.0 };
        let found = read_results(&path, time).unwrap();
        assert_eq!(found, CellResult { ap: 0.4, ap50: 0.5, epochs: 2, cpu_seconds: 7.0 });
        std::fs::write(&path, "epoch,AP\n1,0.1\n").unwrap();
        assert!(read_results(&path, time).unwrap_err().to_string().contains("no column AP50"));
        std::fs::write(&path, "epoch,AP,AP50\n").unwrap();
        assert!(read_results(&path, time).unwrap_err().to_string().contains("no epoch"));
    }
}
