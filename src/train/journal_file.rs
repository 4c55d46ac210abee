//! journal.jsonl in the run folder: the watchdog's journal, a line an entry.
//!
//! A run that goes on from a checkpoint cuts the file to the lines that were written by then, so that no step is told
//! twice and a replay of the whole file is a replay of the run. A storage that refuses a line gets it with a later one.

use super::error::TrainError;
use crate::watchdog::{Entry, parse};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Text that may wait for a storage that refuses: far more than a run writes in an hour.
const MOST_WAITING: usize = 1 << 20;

#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    waiting: String,
}

impl JournalFile {
    /// Opens the journal to go on after `lines` lines.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(folder: &Path, lines: u64) -> Result<Self, TrainError> {
        let path = folder.join("journal.jsonl");
        let io = |action| TrainError::io(path.clone(), action);
        let text = if path.exists() && lines > 0 {
            fs::read_to_string(&path).map_err(io("read the journal"))?
        } else {
            String::new()
        };
        let mut left = lines;
        let stays = |line: &&str| {
            let timed = serde_json::from_str::<Entry>(line).is_ok_and(|e| e.is_timed());
            let stays = line.ends_with('\n') && left > 0;
            left -= u64::from(stays && !timed);
            stays
        };
        let kept: String = text.split_inclusive('\n').take_while(stays).collect();
        fs::write(&path, &kept).map_err(io("write the journal"))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io("write the journal"))?;
        Ok(Self { path, file, length: kept.len() as u64, waiting: String::new() })
    }

    /// # Errors
    /// If the storage has refused for so long that too much waits for it.
    pub fn write(&mut self, entries: &[Entry]) -> Result<(), TrainError> {
        if entries.is_empty() {
            return Ok(());
        }
        let first = self.waiting.is_empty();
        self.waiting.extend(entries.iter().map(|e| e.to_line() + "\n"));
        let Err(error) = self.file.write_all(self.waiting.as_bytes()) else {
            self.length += self.waiting.len() as u64;
            self.waiting.clear();
            return Ok(());
        };
        // A line that is there by half would spoil the file. Cutting needs no room.
        let _ = self.file.set_len(self.length);
        let error = TrainError::io(self.path.clone(), "write the journal")(error);
        if self.waiting.len() > MOST_WAITING {
            return Err(error);
        }
        if first {
            log::warn!("{error}; its lines wait");
        }
        Ok(())
    }
}

/// The entries of a run's journal; `None` where there is none.
///
/// # Errors
/// If it cannot be read, or a line of it is no entry.
pub fn read_journal(folder: &Path) -> Result<Option<Vec<Entry>>, TrainError> {
    let path = folder.join("journal.jsonl");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(TrainError::io(path.clone(), "read the journal"))?;
    parse(&text).map(Some).map_err(|bad| TrainError::Journal { file: path, line: bad.line, found: bad.found })
}
