//! Pictures of a run: boxes drawn on photos, mosaics of them, precision-recall curves, the confusion matrix.
//!
//! Functions return images; only [`write_png`] touches the disk. Text is set in embedded-graphics' built-in Latin-1
//! bitmap fonts; a character they lack becomes a question mark.

mod canvas;
mod confusion_matrix;
mod draw;
mod error;
mod lettering;
mod mosaic;
mod palette;
mod png;
mod pr_curve;

pub use confusion_matrix::draw_confusion_matrix;
pub use draw::{Marker, draw_markers};
pub use error::ReportError;
pub use mosaic::{Tile, mosaic};
pub use palette::class_color;
pub use png::{encode_png, write_png};
pub use pr_curve::{PrCurve, draw_pr_curves};
