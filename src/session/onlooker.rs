//! Somebody who follows a run from outside, such as a live page or a notification.

use crate::train::{Ending, Event, Job};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Follows runs. It is called by the thread that trains, between two pieces of its work: whatever takes time belongs into
/// a thread of its own.
pub trait Onlooker {
    /// A run begins or goes on. `best` is the best validation AP so far; `stop` ends the run as a signal does.
    fn began(&mut self, job: &Job, best: Option<f64>, stop: &Arc<AtomicBool>);

    /// Something happened in the run. `notes` is what slows it down that is no fault of learning; often empty.
    fn saw(&mut self, event: &Event, notes: &str);

    /// The run is over.
    fn ended(&mut self, end: &RunEnd);

    /// Nothing is trained; a sentence says what is waited for.
    fn waits(&mut self, _sentence: &str) {}
}

/// How a run ended, for an onlooker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Ended(Ending),
    /// The error that ended it.
    Failed(String),
}
