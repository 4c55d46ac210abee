//! Every defect of a data set in one run.
//!
//! Nothing is changed: a finding's action says what packing will do, and packing does it by the same functions.
//! [`FindingKind`] lists what can be found.

mod balance;
mod report;
mod sentence;
mod sides;
mod survey;
mod twins;

use rayon::prelude::*;

use crate::boxes::{CornerBox, InputSize};

use super::annotation::{Annotation, FilePlace};
use super::finding::{Finding, FindingAction, FindingKind};
use super::inspect::{Inspected, Inspector};
use super::sample::Object;
use super::source::DataSet;
use super::split::SplitOptions;

pub use balance::ClassCount;
pub use report::Report;
pub use sides::MIN_SIDE_PX;
pub use survey::Survey;

/// An object whose best anchor overlaps less is learnt from one poor match alone.
const MIN_ANCHOR_IOU: f64 = 0.35;
/// Photos that are looked at before what was found in them is added up.
const TOGETHER: usize = 256;

/// The options of checking.
#[derive(Clone, Debug)]
pub struct CheckOptions<'a> {
    pub input_size: InputSize,
    /// The network's anchors; empty leaves the question out.
    pub anchors: &'a [CornerBox],
    /// How images will be held back if no split is given.
    pub split: SplitOptions,
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        Self { input_size: InputSize::square(300), anchors: &[], split: SplitOptions::default() }
    }
}

/// Opens every image and reports all that is found, worst first.
pub fn check(dataset: &DataSet, options: &CheckOptions) -> Report {
    check_with(dataset, options, &|_| {})
}

/// As [`check`], calling `done` with 1 after each image, from several threads.
pub fn check_with(dataset: &DataSet, options: &CheckOptions, done: &(dyn Fn(usize) + Sync)) -> Report {
    let inspector = Inspector::new(dataset);
    let look = |annotation: &Annotation| {
        let Inspected { image, mut cleaned, .. } = inspector.inspect(annotation);
        for (object, place) in cleaned.objects.iter().zip(&cleaned.places) {
            cleaned.findings.extend(of_size(object, place, dataset, options));
            cleaned.findings.extend(of_anchors(object, place, dataset, options));
        }
        done(1);
        (image.is_some(), cleaned)
    };
    let mut survey = Survey::new(dataset, &options.split);
    // The pixels of an image are gone before the next one is opened: one image per thread in memory.
    for photos in dataset.annotations.chunks(TOGETHER) {
        let looked_at: Vec<_> = photos.par_iter().map(look).collect();
        for (annotation, (readable, mut cleaned)) in photos.iter().zip(looked_at) {
            survey.add(annotation, readable, &mut cleaned);
        }
    }
    survey.finish(Some(options.input_size))
}

fn of_size(object: &Object, place: &FilePlace, dataset: &DataSet, options: &CheckOptions) -> Option<Finding> {
    let InputSize { height, width } = options.input_size;
    let (w, h) = (object.bbox.width() * width as f64, object.bbox.height() * height as f64);
    (w.min(h) < MIN_SIDE_PX).then(|| {
        let class = &dataset.classes[object.class];
        let detail = format!("{class} is {w:.1} x {h:.1} pixels at input size {}", options.input_size);
        Finding::new(FindingKind::BoxTooSmall, place.clone(), FindingAction::Kept, detail)
    })
}

fn of_anchors(object: &Object, place: &FilePlace, dataset: &DataSet, options: &CheckOptions) -> Option<Finding> {
    let best = options.anchors.iter().map(|a| a.iou(&object.bbox)).max_by(f64::total_cmp)?;
    (best < MIN_ANCHOR_IOU).then(|| {
        let class = &dataset.classes[object.class];
        let detail = format!("{class}: the best of {} anchors has IoU {best:.2}", options.anchors.len());
        Finding::new(FindingKind::BoxWithoutAnchor, place.clone(), FindingAction::Kept, detail)
    })
}
