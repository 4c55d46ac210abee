//! Logging: messages go to the terminal, and to `train.log` of the run folder as soon as there is one.
//!
//! A person at a terminal reads sentences; in files and in systemd's journal a message has its time and level.

use super::folder_lock::{FolderLock, sweep};
use super::screen;
use super::terminal::escaped;
use anyhow::{Context, Result};
use env_logger::{Builder, Env, Logger, Target};
use log::Level;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Most bytes that wait for a file; what a command says before it has a run folder is far less.
const WAITING_BYTES: usize = 1 << 16;

/// The destination of this process's log.
static LOG: Mutex<LogSink> = Mutex::new(LogSink::Waiting(Vec::new()));

/// The logger behind `train.log`, for what is not said through `log`.
static FILE_LOGGER: OnceLock<Logger> = OnceLock::new();

enum LogSink {
    Waiting(Vec<u8>),
    /// The file, and the lock on its folder for as long as it is open.
    Open {
        file: File,
        _lock: FolderLock,
    },
}

/// Writes to [`LOG`].
struct Pipe;

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *LOG.lock().unwrap_or_else(PoisonError::into_inner) {
            LogSink::Waiting(waiting) if waiting.len() + bytes.len() <= WAITING_BYTES => waiting.extend(bytes),
            LogSink::Waiting(_) => {}
            LogSink::Open { file, .. } => file.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal's logger with the file's beside it.
struct Tee {
    terminal: Logger,
}

impl log::Log for Tee {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        self.terminal.enabled(metadata)
    }

    fn log(&self, record: &log::Record) {
        screen::above_bars(|| self.terminal.log(record));
        if let Some(file) = FILE_LOGGER.get() {
            file.log(record);
        }
    }

    fn flush(&self) {
        self.terminal.flush();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::from_env(Env::default().default_filter_or("info"));
    builder.filter_module("tract", log::LevelFilter::Error);
    builder
}

/// Messages for a file or a journal.
fn dated() -> Builder {
    let mut builder = builder();
    builder.format(|line, record| {
        let (level, style) = (record.level(), line.default_level_style(record.level()));
        // Lines after the first stand below it, so that a message cannot pass for another.
        let said = escaped(&record.args().to_string()).replace('\n', "\n    ");
        writeln!(line, "[{} {style}{level:<5}{style:#}] {said}", line.timestamp())
    });
    builder
}

/// Messages for a person: what is as usual needs no level.
fn plain() -> Builder {
    let mut builder = builder();
    builder.format(|line, record| {
        let style = line.default_level_style(record.level());
        let label = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug => "debug: ",
            Level::Trace => "trace: ",
        };
        let text = screen::wrapped(label, &escaped(&record.args().to_string()));
        writeln!(line, "{style}{label}{style:#}{}", text.strip_prefix(label).unwrap_or(&text))
    });
    builder
}

/// Sets up logging. Call once.
pub fn start() {
    let terminal = if screen::watch() { plain() } else { dated() }.build();
    let level = terminal.filter();
    FILE_LOGGER.get_or_init(|| dated().target(Target::Pipe(Box::new(Pipe))).build());
    if log::set_boxed_logger(Box::new(Tee { terminal })).is_ok() {
        log::set_max_level(level);
    }
}

/// Appends the log of this process to `train.log` in a run folder, with what was said so far, and locks the folder:
/// two processes that train in one would ruin each other's checkpoints. Temporary files of dead processes go.
///
/// # Errors
/// If the file cannot be written, or another process trains in the folder.
pub fn follow(folder: &Path) -> Result<()> {
    let lock = FolderLock::take(folder, "is training")?;
    [folder.to_path_buf(), folder.join("weights")].iter().for_each(|folder| sweep(folder));
    let path = folder.join("train.log");
    let refused =
        || format!("{}: cannot write the log, check that the folder is writable and has room", path.display());
    let mut file = OpenOptions::new().append(true).create(true).open(&path).with_context(refused)?;
    let mut sink = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let LogSink::Waiting(said) = &*sink {
        file.write_all(said).with_context(refused)?;
    }
    *sink = LogSink::Open { file, _lock: lock };
    Ok(())
}

/// Leaves the run folder's log again, and unlocks it: the process goes on without a run.
pub fn leave() {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = LogSink::Waiting(Vec::new());
}

/// Notes something in `train.log` alone: the terminal is told otherwise.
pub fn note(level: Level, text: impl Display) {
    let Some(logger) = FILE_LOGGER.get() else { return };
    log::Log::log(logger, &log::Record::builder().level(level).args(format_args!("{text}")).build());
}
