//! Pure geometry: boxes, anchors, the box coder, the matcher, non-maximum suppression, and maps of numbers that boxes
//! stand out in.
//!
//! This layer knows no tensor, no file and no network.

mod anchors;
mod coder;
mod corner;
mod heat_map;
mod inside;
mod matcher;
mod nms;

pub use anchors::Anchors;
pub use coder::BoxCoder;
pub use corner::{CenterBox, CornerBox};
pub use heat_map::{HeatMap, coverage};
pub use inside::assign_inside;
pub use matcher::{Assignment, Matcher, TOP_UP_IOU};
pub use nms::nms;
