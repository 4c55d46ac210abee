//! Judging a network on a split: detections against labels.

use super::error::TrainError;
use super::records::Records;
use crate::data::{normalise, plain};
use crate::eval::{CocoMetrics, Detection, Detector, ImageDetections, ImageTruth, coco_eval};
use crate::model::SsdModel;
use crate::ops;

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

/// Runs `model` over `records` at input size `size`. Boxes are judged in pixels of the source images.
///
/// # Errors
/// If a record cannot be read.
pub fn evaluate(
    model: &SsdModel,
    records: &Records,
    size: usize,
    detector: &Detector,
    classes: &[String],
) -> Result<Evaluation, TrainError> {
    let (mut truth, mut detections) = (Vec::new(), Vec::new());
    for first in (0..records.len()).step_by(BATCH) {
        let count = BATCH.min(records.len() - first);
        let mut images = vec![0.0; count * size * size * 3];
        let mut sizes = Vec::with_capacity(count);
        for (i, image) in images.chunks_exact_mut(size * size * 3).enumerate() {
            let record = records.get(first + i)?;
            normalise(&plain(&record, size).image, image);
            truth.push(ImageTruth::on_image(&record.objects, record.source_size));
            sizes.push(record.source_size);
        }
        for (found, size) in detect(model, images, count, size, detector).iter().zip(sizes) {
            detections.push(ImageDetections::on_image(found, size));
        }
    }
    let metrics = coco_eval(&truth, &detections, classes);
    Ok(Evaluation { metrics, truth, detections })
}

/// Detections of `count` images `[count, S, S, 3]`.
pub fn detect(
    model: &SsdModel,
    images: Vec<f32>,
    count: usize,
    size: usize,
    detector: &Detector,
) -> Vec<Vec<Detection>> {
    let predictions = model.forward(ops::tensor(images, [count, size, size, 3]));
    let [_, anchors, columns] = predictions.logits.dims();
    ops::read(&predictions.logits, |logits| {
        ops::read(&predictions.deltas, |deltas| {
            let images = logits.chunks_exact(anchors * columns).zip(deltas.chunks_exact(anchors * 4));
            images.map(|(l, d)| detector.detect(l, d)).collect()
        })
    })
}
