//! journal.jsonl in the run folder: the watchdog's journal, a line an entry.
//!
//! A run that goes on from a checkpoint cuts the file to the lines that were written by then, so that no step is told
//! twice and a replay of the whole file is a replay of the run. A storage that refuses a line gets it with a later one.

use crate::train::error::TrainError;
use crate::watchdog::{JournalEntry, parse};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Text that may wait for a storage that refuses: far more than a run writes in an hour.
const MOST_WAITING: usize = 1 << 20;

/// A journal of a run of a million epochs is smaller, and one line of it by far.
const MOST_BYTES: u64 = 64 << 20;
const MOST_LINE: u64 = 16 << 20;

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
        // Opening a pipe would wait for whoever writes into it.
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            return Err(io("write the journal")(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            )));
        }
        let kept = if lines > 0 { whole_lines(&path, lines).map_err(io("read the journal"))? } else { 0 };
        let cut = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        cut.and_then(|file| file.set_len(kept)).map_err(io("write the journal"))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io("write the journal"))?;
        Ok(Self { path, file, length: kept, waiting: String::new() })
    }

    /// # Errors
    /// If the storage has refused for so long that too much waits for it.
    pub fn write(&mut self, entries: &[JournalEntry]) -> Result<(), TrainError> {
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

/// Bytes of the first `lines` lines, those that depend on the clock not counted; 0 where there is no file. One line is in
/// memory at a time.
fn whole_lines(path: &Path, lines: u64) -> io::Result<u64> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let (mut reader, mut line, mut left, mut kept) = (BufReader::new(file), Vec::new(), lines, 0);
    while left > 0 {
        line.clear();
        let read = reader.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            break;
        }
        let timed = serde_json::from_slice::<JournalEntry>(&line).is_ok_and(|e| e.is_timed());
        left -= u64::from(!timed);
        kept += read as u64;
    }
    Ok(kept)
}

/// The text of a journal or a trace: a regular file of at most `MOST_BYTES`.
///
/// # Errors
/// If it cannot be read, is no regular file, is larger, or is no text.
pub fn read_lines(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let found = format!("it has {} MB, expected at most {}", metadata.len() >> 20, MOST_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, found));
    }
    Ok(text)
}

/// Hands the entries of a run's journal over one by one, so that a long journal is never in memory as a whole. A run without
/// a journal has no entries.
///
/// # Errors
/// If it cannot be read, or a line of it is no entry; the entries before are handed over.
pub fn each_entry(folder: &Path, take: &mut dyn FnMut(JournalEntry)) -> Result<(), TrainError> {
    let path = folder.join("journal.jsonl");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(TrainError::io(path.clone(), "read the journal"))?,
    };
    let (mut reader, mut line) = (BufReader::new(file.take(MOST_BYTES)), Vec::new());
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MOST_LINE).read_until(b'\n', &mut line);
        read.map_err(TrainError::io(path.clone(), "read the journal"))?;
        // A last line that was cut off is left out.
        if !line.ends_with(b"\n") {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let bad = |found: String| TrainError::Journal { file: path.clone(), line: number, found };
        parse(&text).map_err(|e| bad(e.found))?.into_iter().for_each(&mut *take);
    }
    Ok(())
}

/// The entries of a run's journal; `None` where there is none.
///
/// # Errors
/// If it cannot be read, or a line of it is no entry.
pub fn read_journal(folder: &Path) -> Result<Option<Vec<JournalEntry>>, TrainError> {
    let path = folder.join("journal.jsonl");
    if !path.exists() {
        return Ok(None);
    }
    let text = read_lines(&path).map_err(TrainError::io(path.clone(), "read the journal"))?;
    parse(&text).map(Some).map_err(|bad| TrainError::Journal { file: path, line: bad.line, found: bad.found })
}
