//! Errors that can end a run: data, disk, divergence, settings. Bugs of the program are not among them.

use crate::boxes::AnchorError;
use crate::data::DataError;
use crate::interchange::InterchangeError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error("{0}\nhelp: give the detector file as it came from its exporter")]
    Anchors(#[from] AnchorError),
    /// A file of the run folder cannot be read or written.
    #[error("{}: cannot {action}: {error}\nhelp: {help}", file.display())]
    Io { file: PathBuf, action: &'static str, error: io::Error, help: &'static str },
    /// A checkpoint that cannot be resumed from.
    #[error("{}: {found}, expected {expected}\nhelp: {help}", file.display())]
    Checkpoint { file: PathBuf, found: String, expected: String, help: String },
    /// The numbers left the range of f32.
    #[error(
        "step {step}: the loss is {loss} and its gradient's norm {grad_norm}, expected finite numbers\n\
         help: start a new run with a lower learning rate (it was {lr:e} here); the last checkpoint is kept"
    )]
    Diverged { step: u64, loss: f64, grad_norm: f64, lr: f64 },
    /// A journal of another hand.
    #[error("{}:{line}: {found}, expected a line of a watchdog's journal\nhelp: put the run's own journal.jsonl back", file.display())]
    Journal { file: PathBuf, line: usize, found: String },
    /// A setting that cannot work.
    #[error("recipe: {0}")]
    Recipe(String),
    /// A split without anything to learn from.
    #[error("{split}: {found}, expected at least one labelled object\nhelp: check the data set with `fieldtune check`")]
    Empty { split: String, found: String },
}

impl TrainError {
    /// True if the storage did not take what was to be written: there may be room, or a sound disk, another time.
    pub fn is_storage(&self) -> bool {
        match self {
            TrainError::Io { action, .. } => action.starts_with("write") || action.starts_with("keep"),
            TrainError::Interchange(InterchangeError::Write { .. })
            | TrainError::Data(DataError::Io { action: "write the pack", .. }) => true,
            _ => false,
        }
    }

    /// An input/output error on `file`; `action` completes "cannot ...".
    pub fn io(file: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |error| {
            let help = match error.kind() {
                io::ErrorKind::StorageFull => "free some space and resume; the previous checkpoint is kept",
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a run folder that can be written"
                }
                io::ErrorKind::NotFound => "check the path",
                _ => "check the storage and resume",
            };
            TrainError::Io { file, action, error, help }
        }
    }
}
