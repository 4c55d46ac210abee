//! From predictions to detections, and from detections to figures: COCO mAP with its error, VOC AP, confusion.
//!
//! This layer knows boxes and plain slices; it knows no tensor library and no network.

mod bootstrap;
mod coco_json;
mod coco_map;
mod coco_metrics;
mod comparison;
mod confusion;
mod detect;
mod error;
mod mistakes;
mod pixels;
mod threshold;
mod voc_ap;

pub use bootstrap::{ApSamples, Interval};
pub use coco_json::{Category, CocoResults, CocoTruth, read_results, read_truth};
pub use coco_map::{IOU_THRESHOLDS, coco_eval};
pub use coco_metrics::{ClassMetrics, CocoMetrics};
pub use comparison::{Compared, compare};
pub use confusion::{Confusion, confusion};
pub use detect::{Detection, PostProcessor, Suppression};
pub use error::EvalError;
pub use mistakes::{Mistakes, Mixup, mistakes};
pub use pixels::{CocoBox, ImageDetections, ImageTruth, ScoredBox, TruthBox};
pub use threshold::{ScorePoint, Threshold, Thresholds, score_curves};
pub use voc_ap::{VocAp, VocRule, voc_ap};
