//! The training step, read from top to bottom: batch, predictions, loss, gradients, window, step; and around it the
//! epoch, the checkpoint and the run.

mod epochs;
mod error;
mod event;
mod job;
mod live;
mod mixture;
mod prepare;
mod progress;
mod recipe;
mod records;
mod requests;
mod run;
mod state;
mod step;
mod store;
mod validate;
mod watch;

pub use epochs::train;
pub use error::TrainError;
pub use event::{Ending, Event, StepReport};
pub use job::Job;
pub use prepare::calibration::calibrate;
pub use prepare::lr_range_test::{OverfitProbe, PROBE_STEPS, RANGE_STEPS, RangeTest, overfit_probe, range_test};
pub use prepare::memory_plan::MemoryPlan;
pub use prepare::pace::{Pace, pace};
pub use prepare::start::{Response, Start, responses, start};
pub use prepare::wanted_classes::WantedClasses;
pub use progress::{Best, EpochRecord, LossSums, RunProgress};
pub use recipe::{BACKBONE_STAGES, LossKind, Recipe, ScoreChoice};
pub use records::Records;
pub use requests::Requests;
pub use state::TrainState;
pub use step::forward_backward::{Observe, Predicted, Scored, StepLoss, TrainBatch, micro_step};
pub use step::update::{StepStats, apply, apply_seen};
pub use step::window::Window;
pub use store::atomic_file::replace as replace_file;
pub use store::checkpoint::{Checkpoint, PREVIOUS};
pub use store::header::{Header, TrainingData};
pub use store::journal_file::{each_entry, read_journal, read_lines};
pub use store::results::{EpochRow, read_rows};
pub use validate::evaluation::{Evaluation, detect, evaluate, evaluate_by};
pub use watch::mishap::Mishap;
pub use watch::run_facts::spread;
