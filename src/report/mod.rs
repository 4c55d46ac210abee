//! Pictures of a run: boxes drawn on photos, mosaics of them, precision-recall curves, the confusion matrix; and its
//! report as a page and as event files for TensorBoard.
//!
//! Functions return images; only [`write_png`] and [`write_jpeg`] touch the disk. Text is set in embedded-graphics'
//! built-in Latin-1 bitmap fonts, other scripts in Unifont.

mod axis;
mod canvas;
mod confusion_matrix;
mod draw;
mod error;
mod jpeg;
mod labels_picture;
mod lettering;
mod mosaic;
pub mod page;
mod palette;
mod plot;
mod png;
mod pr_curve;
pub mod tensorboard;

pub use confusion_matrix::draw_confusion_matrix;
pub use draw::{Marker, draw_markers};
pub use error::ReportError;
pub use jpeg::{encode_jpeg, write_jpeg};
pub use labels_picture::{LabelsSeen, draw_labels};
pub use mosaic::{MosaicTile, mosaic};
pub use palette::class_color;
pub use plot::{Panel, draw_panels};
pub use png::{encode_png, write_png};
pub use pr_curve::{PrCurve, draw_pr_curves};
