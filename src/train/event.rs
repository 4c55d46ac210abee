//! Events that a run reports while it goes on, and the ways in which it can end.

use super::error::TrainError;
use super::progress::EpochRecord;
use super::step::update::StepStats;
use super::store::results::EpochRow;
use super::validate::evaluation::Evaluation;
use crate::watchdog::JournalEntry;

/// One optimizer step, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    pub stats: StepStats,
    /// Steps done, of `total`.
    pub step: u64,
    pub total: u64,
    /// Epoch under way, counted from 1.
    pub epoch: u64,
    /// Images of this call of [`super::train`] so far, per second.
    pub images_per_second: f64,
}

/// An event of a run.
#[derive(Debug)]
pub enum Event<'a> {
    Step(StepReport),
    /// An epoch ended and was judged.
    Epoch {
        record: &'a EpochRecord,
        evaluation: &'a Evaluation,
        best: bool,
        /// All epochs so far as results.csv has them, this one last.
        rows: &'a [EpochRow],
    },
    Checkpoint {
        step: u64,
    },
    /// A micro-batch went forth and back.
    MicroBatch,
    /// So many images of `total` of the validation split were looked at.
    Judging {
        done: usize,
        total: usize,
    },
    /// The storage did not take a file; the run goes on, or ends with what was saved before.
    Refused {
        error: &'a TrainError,
        goes_on: bool,
    },
    /// A line of the watchdog's journal: what it saw, or a diagnosis, a cure, a verdict.
    Watchdog(&'a JournalEntry),
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    /// No better validation AP for as many epochs as the recipe's patience.
    Patience,
    /// The validation AP that the recipe asks for.
    Reached,
    /// Asked to stop; resumable.
    Stopped,
    /// The watchdog has nothing left to try; the best weights are kept.
    GivenUp,
    /// The storage has refused for too long; resumable from the last good checkpoint.
    Refused,
}
