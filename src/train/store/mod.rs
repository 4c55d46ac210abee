//! The files that a run writes: checkpoints, the watchdog's journal, results.csv. Each is replaced as a whole, so
//! that a power cut leaves no half of one.

pub(super) mod atomic_file;
pub(super) mod checkpoint;
pub(super) mod good_weights;
pub(super) mod header;
mod header_check;
pub(super) mod journal_file;
pub(super) mod results;
pub(super) mod save_clock;
pub(super) mod saved_tensors;
pub(super) mod saving;
