//! From labelled photos to batches: annotation formats, checking, splitting, the pack, augmentation and the loader.

mod annotation;
pub mod augment;
pub mod draw;
mod error;
mod loader;
mod plan;
pub mod resize;
mod sample;
pub mod scene;

pub use annotation::{Annotation, Place, RawObject, Spot, Units};
pub use augment::{AugmentOptions, Crop, augment, plain};
pub use error::DataError;
pub use loader::{Epoch, Loader, LoaderOptions};
pub use plan::EpochPlan;
pub use resize::normalise;
pub use sample::{Batch, Object, Record, RgbImage, Sample};
pub use scene::{SceneOptions, scene, write_voc};
