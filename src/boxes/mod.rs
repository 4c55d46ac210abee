//! Pure geometry: boxes, anchors and the rules they follow, the box coder, the matcher, scores and non-maximum suppression,
//! and maps of numbers that boxes stand out in.
//!
//! This layer knows no tensor, no file and no network.

mod anchor_rule;
mod anchors;
mod coder;
mod corner;
mod heat_map;
mod input_size;
mod inside;
mod matcher;
mod nms;
mod score_function;

pub use anchor_rule::{AnchorError, AnchorRule, CellAnchors};
pub use anchors::Anchors;
pub use coder::BoxCoder;
pub use corner::{CenterBox, CornerBox};
pub use heat_map::{HeatMap, coverage};
pub use input_size::InputSize;
pub use inside::assign_inside;
pub use matcher::{Assignment, Matcher, TOP_UP_IOU};
pub use nms::nms;
pub use score_function::ScoreFunction;
