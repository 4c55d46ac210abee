//! The SSD loss of one image: class part plus weighted box part.

use super::classification::Classification;
use super::localisation::smooth_l1;
use super::targets::Targets;

/// The loss of a detector.
#[derive(Clone, Debug, PartialEq)]
pub struct SsdLoss {
    pub classification: Classification,
    /// Multiplies the box part.
    pub box_weight: f32,
    /// `[K]`, multiplies each anchor's class loss by the weight of its label; column 0 the background.
    pub class_weights: Vec<f32>,
}

/// Sums over one image, before any normalising.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageLoss {
    pub class: f64,
    /// With the box weight worked in.
    pub boxes: f64,
    pub positives: usize,
    /// Anchors mined as negatives, in order; empty for a loss that takes all.
    pub negatives: Vec<usize>,
    /// The matched anchors one by one, in order.
    pub matched: Vec<MatchedLoss>,
}

/// The loss of one matched anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MatchedLoss {
    pub anchor: usize,
    /// Column of the class logits it should have said.
    pub column: u32,
    pub class: f64,
    /// The part of `class` that is about which object it is, not whether there is one.
    pub naming: f64,
    /// With the box weight worked in.
    pub boxes: f64,
}

/// The destination of the gradients of one image, overwritten.
#[derive(Debug)]
pub struct ImageGradients<'a> {
    /// `[A, K]`.
    pub logits: &'a mut [f32],
    /// `[A, 4]`.
    pub deltas: &'a mut [f32],
}

impl SsdLoss {
    /// The usual loss for `classes` columns.
    pub fn new(classes: usize) -> Self {
        Self { classification: Classification::default(), box_weight: 1.0, class_weights: vec![1.0; classes] }
    }

    /// `logits` `[A, K]`, `deltas` `[A, 4]` of one image.
    ///
    /// # Panics
    /// If the lengths disagree with the targets and the class weights.
    pub fn image(&self, logits: &[f32], deltas: &[f32], targets: &Targets, d: ImageGradients) -> ImageLoss {
        let (a, k) = (targets.labels.len(), self.class_weights.len());
        assert_eq!((logits.len(), deltas.len()), (a * k, a * 4), "predictions for {a} anchors and {k} columns");
        let class = self.classification.evaluate(logits, &targets.labels, &self.class_weights, d.logits);
        d.deltas.fill(0.0);
        let (mut boxes, mut matched) = (0.0, Vec::with_capacity(targets.positives.len()));
        for ((anchor, target), seen) in targets.positives.iter().zip(&class.matched) {
            let mut of_anchor = 0.0;
            for (i, t) in target.iter().enumerate() {
                let (loss, slope) = smooth_l1(deltas[anchor * 4 + i] - t);
                boxes += loss * f64::from(self.box_weight);
                of_anchor += loss * f64::from(self.box_weight);
                d.deltas[anchor * 4 + i] = slope * self.box_weight;
            }
            let column = targets.labels[*anchor];
            matched.push(MatchedLoss {
                anchor: *anchor,
                column,
                class: seen.loss,
                naming: seen.naming,
                boxes: of_anchor,
            });
        }
        let (positives, negatives) = (targets.positives.len(), class.negatives);
        ImageLoss { class: class.total, boxes, positives, negatives, matched }
    }
}
