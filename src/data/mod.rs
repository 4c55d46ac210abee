//! From labelled photos to batches: annotation formats, checking, splitting, the pack, augmentation and the loader.

mod annotation;
mod error;
mod sample;

pub use annotation::{Annotation, Place, RawObject, Spot, Units};
pub use error::DataError;
pub use sample::{Batch, Object, Record, RgbImage, Sample};
