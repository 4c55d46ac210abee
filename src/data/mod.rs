//! From labelled photos to batches: annotation formats, checking, splitting, the pack, augmentation and the loader.

mod sample;

pub use sample::{Batch, Object, Record, RgbImage, Sample};
