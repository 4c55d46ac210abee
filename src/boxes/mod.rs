//! Pure geometry: boxes, anchors, the box coder, the matcher and non-maximum suppression.
//!
//! This layer knows no tensor, no file and no network.

mod corner;

pub use corner::{CenterBox, CornerBox};
