//! Files of runs that are not needed any more, or can be made again: packs, and checkpoints of finished runs.
//!
//! Only files that this program made are listed, and they are known by their content, not by their names: a pack says
//! in its index that it was made for runs, a checkpoint has this program's header. A folder in which a process works is
//! left alone.

use super::folder_lock::FolderLock;
use crate::config::JobFile;
use crate::data::{Pack, PackFor, is_partial_pack};
use crate::train::{Checkpoint, PREVIOUS};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The last state of a run, which extending it goes on from.
const LAST: &str = "last.ckpt";
/// States that a finished run does not go on from.
const EXTRA: [&str; 3] = [PREVIOUS, "good.ckpt", "abandoned.ckpt"];
/// The snapshot of photos in a run folder of the service.
const SNAPSHOT: &str = "photos.pack";

/// A file that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
    /// Its kind, and the loss if it goes.
    pub what: &'static str,
}

/// The leftovers in a folder of runs.
#[derive(Debug, Default)]
pub struct Leftovers {
    pub files: Vec<Leftover>,
    /// Files that stay although they have the name of something that may go, and the reason.
    pub kept: Vec<(PathBuf, String)>,
    /// No other process begins to work in these folders while this exists.
    locks: Vec<FolderLock>,
}

impl Leftovers {
    /// Looks through a folder of runs, or one run folder. `last` lists the last checkpoint of finished runs as well.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn find(folder: &Path, last: bool) -> Result<Self> {
        let mut found = Self::default();
        let mut runs = vec![folder.to_path_buf()];
        let mut packs = Vec::new();
        let entries = fs::read_dir(folder).with_context(|| format!("{}: cannot read the folder", folder.display()))?;
        for path in entries.flatten().map(|e| e.path()) {
            // A link leads to what lies elsewhere.
            let Ok(kind) = path.symlink_metadata().map(|m| m.file_type()) else { continue };
            match kind.is_dir() {
                true => runs.push(path),
                false if kind.is_file() => packs.push(path),
                false => {}
            }
        }
        runs.retain(|run| is_run(run));
        runs.sort();
        packs.sort();
        let mut all_idle = true;
        for run in &runs {
            match FolderLock::take(run, "is cleaning") {
                Ok(lock) => {
                    found.locks.push(lock);
                    found.look_into_run(run, last);
                }
                Err(error) => {
                    all_idle = false;
                    found.keep(run, error.to_string().lines().next().unwrap_or_default());
                }
            }
        }
        packs.iter().for_each(|path| found.look_at_pack(path, all_idle));
        Ok(found)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Removes the files.
    ///
    /// # Errors
    /// If one cannot be removed; those before it are gone.
    pub fn remove(self) -> Result<()> {
        for file in &self.files {
            fs::remove_file(&file.path).with_context(|| format!("{}: cannot remove", file.path.display()))?;
        }
        Ok(())
    }

    fn keep(&mut self, path: &Path, why: &str) {
        self.kept.push((path.into(), why.into()));
    }

    fn add(&mut self, path: &Path, what: &'static str) {
        let bytes = fs::metadata(path).map_or(0, |m| m.len());
        self.files.push(Leftover { path: path.into(), bytes, what });
    }

    fn look_at_pack(&mut self, path: &Path, all_idle: bool) {
        if is_partial_pack(path) {
            self.add(path, "half a pack that a stopped process left; packing goes on from it");
        } else if path.extension().is_some_and(|e| e == "pack") {
            match Pack::open(path) {
                Ok(_) if !all_idle => self.keep(path, "a run in this folder may be reading it"),
                Ok(pack) if pack.options().made_for == PackFor::Runs => self.add(path, "photos as packed for runs"),
                Ok(_) => self.keep(path, "made by `fieldtune pack`"),
                Err(_) => self.keep(path, "not a pack that this program can read"),
            }
        }
    }

    fn look_into_run(&mut self, run: &Path, last: bool) {
        let weights = run.join("weights");
        let own = |name: &str| Checkpoint::load(&weights.join(name)).ok();
        let Some(state) = own(LAST) else {
            if weights.join(LAST).exists() {
                self.keep(&weights.join(LAST), "not a sound checkpoint of this program");
            }
            return;
        };
        if !is_finished(run, &state) {
            self.keep(run, "the run is not finished: `fieldtune train --resume` goes on with it");
            return;
        }
        for name in EXTRA.into_iter().filter(|name| weights.join(name).exists()) {
            match own(name) {
                Some(_) => self.add(&weights.join(name), "an earlier state of a finished run"),
                None => self.keep(&weights.join(name), "not a sound checkpoint of this program"),
            }
        }
        if last {
            self.add(&weights.join(LAST), "the last state of a finished run, which --resume with more --epochs needs");
        }
        let snapshot = run.join(SNAPSHOT);
        if Pack::open(&snapshot).is_ok_and(|pack| pack.options().made_for == PackFor::Runs) {
            self.add(&snapshot, "the photos of a finished run of the service");
        }
    }
}

/// True if a folder is one that `train` made.
fn is_run(folder: &Path) -> bool {
    folder.join("weights").is_dir() && JobFile::read(&folder.join("config.toml")).is_ok()
}

/// True if a run has come to its end: all epochs, or earlier by patience or the watchdog, after which its story is
/// told.
fn is_finished(run: &Path, state: &Checkpoint) -> bool {
    let written = |path: PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    let story = written(run.join("story.txt"));
    let is_told = story.is_some_and(|told| written(run.join("weights").join(LAST)).is_some_and(|last| told >= last));
    state.header.progress.epoch >= state.header.recipe.epochs || is_told
}

/// Removes what only the steps of a run needed, as it has come to its end.
pub fn drop_spent(run: &Path) {
    // The weights that a cure goes back to. If they cannot be removed, `clean` lists them.
    let _ = fs::remove_file(run.join("weights").join("good.ckpt"));
}
