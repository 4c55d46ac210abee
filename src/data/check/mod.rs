//! Every defect of a data set in one run.
//!
//! Nothing is changed: a finding's action says what packing will do, and packing does it by the same functions.
//! [`Kind`] lists what can be found.

mod balance;
mod report;
mod twins;

use rayon::prelude::*;

use crate::boxes::CornerBox;

use super::annotation::{Annotation, Place};
use super::finding::{Action, Finding, Kind};
use super::inspect::Inspector;
use super::sample::Object;
use super::source::DataSet;
use super::split::{SplitList, SplitOptions};

pub use balance::ClassCount;
pub use report::Report;

/// A shorter side at the network's input is below what its finest feature map resolves.
const MIN_SIDE_PX: f64 = 8.0;
/// An object whose best anchor overlaps less is learnt from one poor match alone.
const MIN_ANCHOR_IOU: f64 = 0.35;
/// Share of dropped boxes from which the labels as a whole are suspect.
const MAX_DROPPED_SHARE: f64 = 0.05;
/// A handful of slips in a small set is no pattern.
const MIN_DROPPED: usize = 5;

/// What checking has to know besides the data.
#[derive(Clone, Debug)]
pub struct CheckOptions<'a> {
    /// Side of the network's square input in pixels.
    pub input_size: usize,
    /// The network's anchors; empty leaves the question out.
    pub anchors: &'a [CornerBox],
    /// How images will be held back if no split is given.
    pub split: SplitOptions,
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        Self { input_size: 300, anchors: &[], split: SplitOptions::default() }
    }
}

/// One image as far as the checks across images need it.
struct Checked {
    usable: bool,
    objects: Vec<Object>,
    findings: Vec<Finding>,
}

/// Opens every image and reports all that is found, worst first.
pub fn check(dataset: &DataSet, options: &CheckOptions) -> Report {
    check_with(dataset, options, &|_| {})
}

/// As [`check`], calling `done` with 1 after each image, from several threads.
pub fn check_with(dataset: &DataSet, options: &CheckOptions, done: &(dyn Fn(usize) + Sync)) -> Report {
    let inspector = Inspector::new(dataset);
    let look = |annotation: &Annotation| {
        let inspected = inspector.inspect(annotation);
        let mut findings = inspected.cleaned.findings;
        for (object, place) in inspected.cleaned.objects.iter().zip(&inspected.cleaned.places) {
            findings.extend(of_size(object, place, dataset, options));
            findings.extend(of_anchors(object, place, dataset, options));
        }
        done(1);
        Checked { usable: inspected.image.is_some(), objects: inspected.cleaned.objects, findings }
    };
    // The pixels of an image are gone before the next one is opened: one image per thread in memory.
    let checked: Vec<Checked> = dataset.annotations.par_iter().map(look).collect();

    let splits = dataset.splits(&options.split);
    let mut findings = dataset.findings.clone();
    findings.extend(twins::findings(&dataset.annotations, &splits));
    findings.extend(of_splits(dataset, &splits));
    let classes = balance::count(dataset, &checked, &splits);
    findings.extend(balance::findings(dataset, &classes, &splits));
    findings.extend(checked.into_iter().flat_map(|c| c.findings));
    findings.extend(of_dropped(dataset, &findings));
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)).then_with(|| a.place.file.cmp(&b.place.file))
    });
    let split_sizes = splits.iter().map(|s| (s.name.clone(), s.members.len())).collect();
    Report { findings, classes, images: dataset.annotations.len(), splits: split_sizes }
}

fn of_size(object: &Object, place: &Place, dataset: &DataSet, options: &CheckOptions) -> Option<Finding> {
    let size = options.input_size as f64;
    let (w, h) = (object.bbox.width() * size, object.bbox.height() * size);
    (w.min(h) < MIN_SIDE_PX).then(|| {
        let class = &dataset.classes[object.class];
        let detail = format!("{class} is {w:.1} x {h:.1} pixels at input size {}", options.input_size);
        Finding::new(Kind::BoxTooSmall, place.clone(), Action::Kept, detail)
    })
}

fn of_anchors(object: &Object, place: &Place, dataset: &DataSet, options: &CheckOptions) -> Option<Finding> {
    let best = options.anchors.iter().map(|a| a.iou(&object.bbox)).max_by(f64::total_cmp)?;
    (best < MIN_ANCHOR_IOU).then(|| {
        let class = &dataset.classes[object.class];
        let detail = format!("{class}: the best of {} anchors has IoU {best:.2}", options.anchors.len());
        Finding::new(Kind::BoxWithoutAnchor, place.clone(), Action::Kept, detail)
    })
}

/// Images in no split, and images on both sides.
fn of_splits(dataset: &DataSet, splits: &[SplitList]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, annotation) in dataset.annotations.iter().enumerate() {
        let of_image = twins::splits_of(splits, i);
        let place = Place::file(&annotation.source);
        if of_image.is_empty() {
            let detail = "labelled, but in none of the given splits";
            findings.push(Finding::new(Kind::ImageInNoSplit, place, Action::Dropped, detail));
        } else if let Some((a, b)) = twins::leak(&of_image) {
            let detail = format!("in {a} and in {b}");
            findings.push(Finding::new(Kind::ImageInTwoSplits, place, Action::Kept, detail));
        }
    }
    findings
}

fn of_dropped(dataset: &DataSet, findings: &[Finding]) -> Option<Finding> {
    let is_lost_box = |f: &&Finding| {
        let kinds = [Kind::MalformedLabel, Kind::UnknownClass, Kind::ZeroAreaBox, Kind::BoxOutsideImage];
        f.action == Action::Dropped && kinds.contains(&f.kind)
    };
    let dropped = findings.iter().filter(is_lost_box).count();
    let labelled: usize = dataset.annotations.iter().map(|a| a.objects.len()).sum();
    (dropped >= MIN_DROPPED && dropped as f64 > MAX_DROPPED_SHARE * labelled as f64).then(|| {
        let detail =
            format!("{dropped} labels are unusable beside {labelled} boxes; is this the format it seems to be?");
        Finding::new(Kind::ManyBadBoxes, Place::file(""), Action::Dropped, detail)
    })
}
