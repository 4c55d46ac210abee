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
mod check;
mod clean;
mod coco;
mod corner_form;
mod csv;
mod data_yaml;
mod exif;
mod finding;
mod folder;
mod image;
mod inspect;
mod jpeg_end;
mod labels;
mod pack;
mod source;
mod split;
mod twins;
mod voc;
mod xml;
mod yolo;

pub use check::{CheckOptions, ClassCount, Report, check, check_with};
pub use finding::{Action, Finding, Kind, Severity};
pub use image::Photo;
pub use pack::{Pack, PackOptions, PackReport, Split, is_current, pack_or_reuse, write_pack};
pub use source::{DataSet, Format};
pub use split::{Roles, SplitList, SplitOptions};
