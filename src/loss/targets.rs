//! Targets: the label and the box encoding that every anchor of an image should predict.

use crate::boxes::{Anchors, Assignment, BoxCoder, CornerBox, Matcher};

/// Labels and deltas that the anchors of one image are trained towards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// `[A]`: column of the class logits, 0 the background.
    pub labels: Vec<u32>,
    /// (anchor, ty tx th tw) of every matched anchor, in anchor order.
    pub positives: Vec<(usize, [f32; 4])>,
}

/// Turns the objects of an image into targets.
#[derive(Clone, Debug)]
pub struct TargetEncoder {
    pub anchors: Anchors,
    pub coder: BoxCoder,
    pub matcher: Matcher,
}

impl TargetEncoder {
    /// `columns[g]` is the logit column of object g (class + 1), `boxes[g]` its box.
    pub fn encode(&self, columns: &[u32], boxes: &[CornerBox]) -> Targets {
        self.encode_assigned(&self.matcher.assign(&self.anchors, boxes), columns, boxes)
    }

    /// As [`TargetEncoder::encode`], for an assignment that is known already.
    pub fn encode_assigned(&self, assignment: &Assignment, columns: &[u32], boxes: &[CornerBox]) -> Targets {
        let mut labels = vec![0; self.anchors.len()];
        let positives = assignment
            .positives()
            .map(|(a, g)| {
                labels[a] = columns[g];
                (a, self.coder.encode(&self.anchors.centers()[a], &boxes[g]).map(|d| d as f32))
            })
            .collect();
        Targets { labels, positives }
    }
}
