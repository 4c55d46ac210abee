//! The end of a run, and how far it came.

use super::exit::RESUMABLE;
use crate::train::{Best, Ending};
use std::path::PathBuf;

/// The outcome of a job.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    pub ending: Ending,
    /// The run folder.
    pub folder: PathBuf,
    pub best: Option<Best>,
    /// Epochs and steps done.
    pub epochs: u64,
    pub steps: u64,
    /// The account of writes to the card, where a board's settings watch it.
    pub writes: Option<String>,
}

impl RunOutcome {
    /// The exit code of a command that did nothing else.
    pub fn code(&self) -> u8 {
        if self.is_resumable() { RESUMABLE } else { 0 }
    }

    /// True if the run has not come to its end.
    pub fn is_resumable(&self) -> bool {
        matches!(self.ending, Ending::Stopped | Ending::Refused)
    }
}
