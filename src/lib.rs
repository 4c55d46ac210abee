//! Fieldtune fine-tunes the SSD-MobileNet-V2 object detector on the board where it will run.
//!
//! Two types are the library: [`Detector`] finds objects in photos, and [`Training`] makes a detector from labelled ones.
//! The program `fieldtune` does the same from the command line, and more.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let photos = folder.path().join("photos");
//! # let weights = folder.path().join("detector.onnx");
//! # std::fs::write(&weights, fieldtune::session::PRETRAINED)?;
//! # let options = fieldtune::data::SceneOptions { images: 12, size: 96, min_object_px: 16, ..Default::default() };
//! # fieldtune::data::write_voc(&photos, &options)?;
//! // Fine-tune the detector in `weights` on labelled photos. Here they are twelve
//! // generated scenes, for one epoch.
//! let trained = fieldtune::Training::new(&photos, &weights)
//!     .epochs(1)
//!     .input_size(96)
//!     .out(folder.path().join("runs"))
//!     .run()?;
//!
//! // Find objects with the result.
//! let detector = fieldtune::Detector::open(&trained.best)?.with_threshold(0.3);
//! let photo = image::DynamicImage::new_rgb8(640, 480);
//! for found in detector.detect(&photo)? {
//!     println!("{} {:.2} at {:?}", found.name, found.score, found.bbox);
//! }
//! # assert_eq!(trained.epochs, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The other modules are the program's inside: public for its tests, and free to change with every version. Their
//! dimension letters: **N** batch, **H W** space, **C** channels, **A** anchors, **K** classes counting the background as
//! column 0, **G** objects of one image. A gradient takes a `d`: `x, w, y` become `dx, dw, dy`. Tensors are NHWC, `f32`.
//! Boxes are x before y, in `[0, 1]` of the image, as `f64`.

mod api;

/// The version of the crate `image` that photos are handed over in.
pub use image;

pub use api::{Detector, Error, Found, PixelBox, Progress, Result, Trained, Training};

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod board;
#[doc(hidden)]
pub mod boxes;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod eval;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod fleet;
#[doc(hidden)]
pub mod interchange;
#[doc(hidden)]
pub mod kernel;
#[doc(hidden)]
pub mod loss;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod optim;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod predict;
#[doc(hidden)]
pub mod report;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod serve;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod service;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod train;
#[doc(hidden)]
pub mod watchdog;
pub mod weights;
