//! The state folder: runs, and the published files of the last one that ended well.

use crate::session::{FolderLock, RunOutcome, sweep};
use crate::train::{Ending, replace_file};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Files of a finished run that only a run that goes on needs.
const SPENT: [&str; 5] =
    ["weights/last.ckpt", "weights/previous.ckpt", "weights/good.ckpt", "weights/abandoned.ckpt", "photos.pack"];

#[derive(Debug)]
pub struct Shelf {
    pub state: PathBuf,
    _lock: FolderLock,
}

/// The folder that systemd gives, the first if it gives several.
pub fn state_directory() -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    std::env::split_paths(&folders).next().filter(|p| !p.as_os_str().is_empty())
}

impl Shelf {
    /// Makes the folders, locks them against another service, and proves that they can be written to.
    ///
    /// # Errors
    /// If they cannot, or another service works there.
    pub fn open(state: &Path) -> Result<Self> {
        let refused = || {
            format!(
                "{}: cannot write to the state folder\nhelp: systemd makes it with StateDirectory=",
                state.display()
            )
        };
        fs::create_dir_all(state.join("runs")).with_context(refused)?;
        let probe = state.join(".writable");
        fs::write(&probe, "").with_context(refused)?;
        fs::remove_file(&probe).with_context(refused)?;
        let lock = FolderLock::take(state, "runs as a service")?;
        sweep(state);
        // Absolute: run folders hold the paths of what they are made from.
        Ok(Self { state: state.canonicalize().with_context(refused)?, _lock: lock })
    }

    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    pub fn run(&self, name: &str) -> PathBuf {
        self.runs().join(name)
    }

    pub fn best(&self) -> PathBuf {
        self.state.join("best.onnx")
    }

    /// Puts the model, its labels and a short account where they can be fetched, each in one step, the account last.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn publish(&self, outcome: &RunOutcome) -> Result<()> {
        let weights = outcome.folder.join("weights");
        for name in ["labels.txt", "best.onnx"] {
            replace_file(
                &self.state.join(name),
                |temporary| fs::copy(weights.join(name), temporary).map(drop),
                |_| Ok(()),
            )?;
        }
        let account = account(outcome);
        Ok(replace_file(&self.state.join("result.txt"), |temporary| fs::write(temporary, account), |_| Ok(()))?)
    }

    /// Frees what earlier runs do not need any more, all of the oldest: a card is small.
    pub fn tidy(&self, last: &str, keep: usize) {
        let Ok(entries) = fs::read_dir(self.runs()) else { return };
        let made = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
        let mut earlier: Vec<PathBuf> = entries
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.is_dir() && p.file_name() != Some(last.as_ref()))
            .collect();
        earlier.sort_by_key(|p| std::cmp::Reverse(made(p)));
        for (age, run) in earlier.iter().enumerate() {
            let freed = if age < keep {
                SPENT.iter().map(|name| run.join(name)).filter(|p| p.exists()).try_for_each(fs::remove_file)
            } else {
                log::info!("{}: removed, {keep} earlier runs are kept", run.display());
                fs::remove_dir_all(run)
            };
            if let Err(error) = freed {
                log::warn!("{}: cannot tidy up: {error}", run.display());
            }
        }
    }
}

/// The facts of a run for a person, a line each.
fn account(outcome: &RunOutcome) -> String {
    let best = outcome.best.map_or(String::new(), |b| format!("AP: {:.4}\nbest epoch: {}\n", b.ap, b.epoch));
    let ending = match outcome.ending {
        Ending::GivenUp => "\nended early: by the watchdog, see story.txt in the run folder",
        Ending::Reached => "\nended early: the validation AP that was asked for is reached",
        Ending::Patience => "\nended early: the validation AP rose no more",
        _ => "",
    };
    let writes = outcome.writes.as_ref().map_or(String::new(), |writes| format!("\nstorage: {writes}"));
    format!(
        "{best}epochs: {}\nsteps: {}\nrun: {}{ending}{writes}\n",
        outcome.epochs,
        outcome.steps,
        outcome.folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Best;

    #[test]
    fn the_last_run_is_published_and_earlier_ones_shrink() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&dir.path().join("state")).unwrap();
        for (name, age) in [("a-1", 30), ("a-2", 20), ("a-3", 10)] {
            let run = shelf.run(name);
            fs::create_dir_all(run.join("weights")).unwrap();
            for file in ["weights/best.onnx", "weights/labels.txt", "weights/last.ckpt", "photos.pack"] {
                fs::write(run.join(file), name).unwrap();
            }
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            fs::File::open(&run).unwrap().set_modified(time).unwrap();
        }
        let best = Some(Best { epoch: 3, ap: 0.5 });
        let folder = shelf.run("a-3");
        let outcome = RunOutcome { ending: Ending::Finished, folder, best, epochs: 4, steps: 9, writes: None };
        shelf.publish(&outcome).unwrap();
        assert_eq!(fs::read_to_string(shelf.best()).unwrap(), "a-3");
        let account = fs::read_to_string(shelf.state.join("result.txt")).unwrap();
        assert!(account.starts_with("AP: 0.5000\nbest epoch: 3\nepochs: 4\n"), "{account}");
        shelf.tidy("a-3", 1);
        assert!(!shelf.run("a-1").exists(), "one earlier run is kept");
        assert!(shelf.run("a-2").join("weights/best.onnx").exists() && !shelf.run("a-2").join("photos.pack").exists());
        assert!(shelf.run("a-3").join("weights/last.ckpt").exists());
        drop(shelf);
        let error = {
            let _other = Shelf::open(&dir.path().join("state")).unwrap();
            Shelf::open(&dir.path().join("state")).unwrap_err().to_string()
        };
        assert!(error.contains("runs as a service in this folder"), "{error}");
    }
}
