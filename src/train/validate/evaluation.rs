//! Runs a network over a split and measures its detections against the labels (COCO and VOC figures).

use crate::boxes::InputSize;
use crate::data::{Object, normalise, plain};
use crate::eval::{
    ApSamples, CocoMetrics, Detection, ImageDetections, ImageTruth, PostProcessor, Thresholds, coco_eval,
};
use crate::model::SsdModel;
use crate::ops;
use crate::train::error::TrainError;
use crate::train::records::Records;
use std::ops::ControlFlow;

/// Images that go through the network together.
const BATCH: usize = 4;

/// Figures of a network on a split, and what they are made of.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub metrics: CocoMetrics,
    /// Per image, in the order of the split.
    pub truth: Vec<ImageTruth>,
    pub detections: Vec<ImageDetections>,
}

impl Evaluation {
    /// The error of AP, from the images judged.
    pub fn ap_samples(&self) -> ApSamples {
        ApSamples::of(&self.truth, &self.detections, self.metrics.classes.len())
    }

    /// The scores of best F1.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds::of(&self.truth, &self.detections, self.metrics.classes.len())
    }
}

/// Runs `model` over `records` at input size `size`. Boxes are judged in pixels of the source images.
///
/// # Errors
/// If a record cannot be read.
pub fn evaluate(
    model: &SsdModel,
    records: &Records,
    size: InputSize,
    detector: &PostProcessor,
    classes: &[String],
) -> Result<Evaluation, TrainError> {
    let seen = evaluate_seen(model, records, size, detector, classes, &mut |_, _, _| ControlFlow::Continue(()))?;
    Ok(seen.expect("this witness never has enough"))
}

/// Sees an image's objects with its logits `[A, K]` and deltas `[A, 4]`, and may have enough.
pub type Witness<'a> = &'a mut dyn FnMut(&[Object], &[f32], &[f32]) -> ControlFlow<()>;

/// As [`evaluate`], and `see` sees what the network says about every image; `None` if it had enough before the end.
///
/// # Errors
/// If a record cannot be read.
pub fn evaluate_seen(
    model: &SsdModel,
    records: &Records,
    size: InputSize,
    detector: &PostProcessor,
    classes: &[String],
    see: Witness,
) -> Result<Option<Evaluation>, TrainError> {
    let (mut truth, mut detections) = (Vec::new(), Vec::new());
    for first in (0..records.len()).step_by(BATCH) {
        let count = BATCH.min(records.len() - first);
        let mut images = vec![0.0; count * size.numbers()];
        let (mut sizes, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (i, image) in images.chunks_exact_mut(size.numbers()).enumerate() {
            let record = records.get(first + i)?;
            normalise(&plain(&record, size).image, image);
            truth.push(ImageTruth::on_image(&record.objects, record.source_size));
            sizes.push(record.source_size);
            labels.push(record.objects);
        }
        let mut verdict = ControlFlow::Continue(());
        let mut images_of_batch = sizes.into_iter().zip(labels);
        predict(model, images, count, size, &mut |logits, deltas| {
            let (size, labels) = images_of_batch.next().expect("one for each image");
            if see(&labels, logits, deltas).is_break() {
                verdict = ControlFlow::Break(());
            }
            detections.push(ImageDetections::on_image(&detector.detect(logits, deltas), size));
        });
        if verdict.is_break() {
            return Ok(None);
        }
    }
    let metrics = coco_eval(&truth, &detections, classes);
    Ok(Some(Evaluation { metrics, truth, detections }))
}

/// Gives the detections of one image of pixel values `[H, W, 3]`.
pub type Find<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Vec<Detection>, TrainError>;

/// As [`evaluate`], by whatever runs the network.
///
/// # Errors
/// If a record cannot be read, or `find` fails.
pub fn evaluate_by(
    find: Find,
    records: &Records,
    size: InputSize,
    classes: &[String],
) -> Result<Evaluation, TrainError> {
    let (mut truth, mut detections) = (Vec::new(), Vec::new());
    for i in 0..records.len() {
        let record = records.get(i)?;
        let found = find(&plain(&record, size).image.pixels)?;
        truth.push(ImageTruth::on_image(&record.objects, record.source_size));
        detections.push(ImageDetections::on_image(&found, record.source_size));
    }
    let metrics = coco_eval(&truth, &detections, classes);
    Ok(Evaluation { metrics, truth, detections })
}

/// Detections of `count` images `[count, H, W, 3]`.
pub fn detect(
    model: &SsdModel,
    images: Vec<f32>,
    count: usize,
    size: InputSize,
    detector: &PostProcessor,
) -> Vec<Vec<Detection>> {
    let mut all = Vec::with_capacity(count);
    predict(model, images, count, size, &mut |logits, deltas| all.push(detector.detect(logits, deltas)));
    all
}

/// Hands logits `[A, K]` and deltas `[A, 4]` of each of `count` images to `take`.
fn predict(model: &SsdModel, images: Vec<f32>, count: usize, size: InputSize, take: &mut dyn FnMut(&[f32], &[f32])) {
    let predictions = model.forward(ops::tensor(images, [count, size.height, size.width, 3]));
    let [_, anchors, columns] = predictions.logits.dims();
    ops::read(&predictions.logits, |logits| {
        ops::read(&predictions.deltas, |deltas| {
            let images = logits.chunks_exact(anchors * columns).zip(deltas.chunks_exact(anchors * 4));
            images.for_each(|(l, d)| take(l, d));
        })
    });
}
