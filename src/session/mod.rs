//! One run, from a job file to a verified model, whether a command or the service asked for it.
//!
//! [`new_training`] and `resume` prepare a job and hand it to `execution`, where a [`Supervisor`] watches over it. No
//! command-line argument is known here.

mod begin;
mod board_settings;
mod changes;
mod closing;
mod epoch_table;
mod execution;
mod exit;
mod extension;
mod fit_memory;
mod folder_lock;
mod heat;
mod job_check;
mod label_pictures;
mod leftovers;
mod loaded;
mod loaded_tflite;
pub mod log_file;
mod memory_guard;
mod onlooker;
mod photo_pack;
mod pretrained;
mod process;
mod progress;
mod reporting;
mod resume;
mod rounding;
mod run_folder;
mod run_outcome;
mod screen;
mod shell_word;
mod starting_weights;
mod supervisor;
mod systemd;
pub mod terminal;
mod time_plan;
mod train_report;
mod trained_split;
mod trials;
mod watchdog_report;

pub use begin::{Preflight, loader_threads, new_training};
pub use board_settings::{board_of, settle_on_board};
pub use exit::{RESUMABLE, USAGE};
pub use fit_memory::fit_memory;
pub use folder_lock::{Busy, FolderLock, sweep};
pub use label_pictures::{LabelPictures, objects_of};
pub use leftovers::Leftovers;
pub use loaded::{DEFAULT_SIZE, LoadedDetector};
pub use loaded_tflite::LoadedTflite;
pub use onlooker::{Onlooker, RunEnd};
pub use photo_pack::{PackChoice, pack_photos};
pub use pretrained::PRETRAINED;
pub use process::{ChildTime, MOST_THREADS, bound_photos, prepare_process, set_threads, wait_with_time};
pub use progress::eta;
pub use resume::{NoSoundCheckpoint, Overrides, restart_from_best, resume};
pub use rounding::{USUAL_DIFFERENCE, allowed_difference};
pub use run_folder::{
    DataSource, check_size, free_name, open_source, open_sources, refuse_unless_accepted, tell_notes,
};
pub use run_outcome::RunOutcome;
pub use screen::Bar;
pub use starting_weights::{starting_weights, wanted_classes};
pub use supervisor::Supervisor;
pub use systemd::Systemd;
pub use trained_split::{training_split, validation_split};
pub use trials::{Above, Lever, LeverResult, TrialResults, changed, run_trials};
