//! The training step, read from top to bottom: batch, predictions, loss, gradients, window, step; and around it the
//! epoch, the checkpoint and the run.

mod atomic_file;
mod calibration;
mod checkpoint;
mod cures;
mod error;
mod evaluation;
mod facts;
mod journal_file;
mod judgement;
mod look;
mod memory_plan;
mod mishap;
mod progress;
mod recipe;
mod records;
mod rehearsal;
mod renewal;
mod results;
mod run;
mod saved_tensors;
mod start;
mod state;
mod step;
mod update;
mod watching;
mod window;

pub use calibration::calibrate;
pub use checkpoint::{Checkpoint, Header, PREVIOUS, TrainingData};
pub use error::TrainError;
pub use evaluation::{Evaluation, detect, evaluate};
pub use facts::spread;
pub use journal_file::read_journal;
pub use memory_plan::MemoryPlan;
pub use mishap::Mishap;
pub use progress::{Best, EpochRecord, LossSums, Progress};
pub use recipe::{LossKind, Recipe};
pub use records::Records;
pub use rehearsal::{OverfitProbe, PROBE_STEPS, RANGE_STEPS, RangeTest, overfit_probe, range_test};
pub use results::write_results;
pub use run::{Ending, Event, Job, StepReport, train};
pub use start::{Response, Start, responses, start};
pub use state::TrainState;
pub use step::{Observe, StepLoss, TrainBatch, micro_step};
pub use update::{StepStats, apply, apply_seen};
pub use window::Window;
