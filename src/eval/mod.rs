//! From predictions to detections, and from detections to figures: COCO mAP, VOC AP, confusion.
//!
//! This layer knows boxes and plain slices; it knows no tensor library and no network.

mod coco_json;
mod coco_map;
mod coco_metrics;
mod confusion;
mod detect;
mod error;
mod pixels;
mod voc_ap;

pub use coco_json::{Category, CocoResults, CocoTruth, read_results, read_truth};
pub use coco_map::{IOU_THRESHOLDS, coco_eval};
pub use coco_metrics::{ClassMetrics, CocoMetrics};
pub use confusion::{Confusion, confusion};
pub use detect::{Detection, Detector, ScoreMode};
pub use error::EvalError;
pub use pixels::{ImageDetections, ImageTruth, PixelBox, ScoredBox, TruthBox};
pub use voc_ap::{VocAp, VocRule, voc_ap};
