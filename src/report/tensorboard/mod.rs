//! Event files for TensorBoard: scalars, images and histograms, as TFRecords of `Event` messages.
//!
//! The messages are few and fixed (`tensorboard/compat/proto/event.proto` and `summary.proto`), so that their fields are
//! written by hand.

mod event;
mod event_file;
mod histogram;
mod message;

pub use event::Summary;
pub use event_file::EventFile;
