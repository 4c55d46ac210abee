//! The report of a run while it goes on: `report.html`, pictures, event files for TensorBoard.
//!
//! [`Reporter`] hears the run's events and keeps one [`RunReport`](crate::report::page::RunReport). Writing it never
//! ends a run, and takes at most one part in a hundred of its time.

mod allowance;
mod background;
mod chronicle;
mod class_table;
mod confusion_rows;
mod deploy;
mod event_log;
mod judged;
mod machine;
mod pictures;
mod reporter;
mod timeline;
mod verdict;

pub use background::Background;
pub use reporter::Reporter;
