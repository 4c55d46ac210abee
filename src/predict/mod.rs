//! A trained detector at work: pictures from files, folders or a stream in, detections out as pictures, JSON and labels.
//!
//! `cli` and `serve` sit on top of it. Nothing here knows training.

mod finder;
mod folder_watch;
mod frames;
mod label_set;
mod lowest_score;
mod mjpeg;
mod output_folder;
mod photo_list;
mod picture_source;
mod raw_frame;
mod results;
mod timing;

pub use finder::{Finder, SearchedPicture};
pub use folder_watch::FolderWatch;
pub use frames::{FrameForm, FramePace, FrameStream, StreamFrame};
pub use lowest_score::LowestScore;
pub use photo_list::{check_regular, photos};
pub use picture_source::PictureSource;
pub use raw_frame::{FrameSize, PixelLayout};
pub use results::{PredictionResults, Printed, ResultOptions, Saved};
pub use timing::Timing;
