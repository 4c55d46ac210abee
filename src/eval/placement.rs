//! Is an object seen where its label is, or beside all labels?
//!
//! For every labelled object two figures, each a score times an overlap, in [0, 1]: how surely something is *placed* on
//! the label, `max s(a) · IoU(a, label)` over the anchors a with their decoded boxes, and how surely something of about
//! the label's size is seen *beside* it and beside all other labels, `max s(a) · (1 - max IoU(a, any label))`. A label
//! that is not where its object is has little of the first and much of the second, in one and the same image: what makes
//! an image hard lowers both. Classes do not matter: a score is that of any object.

use super::detect::{Detector, ScoreMode};
use crate::boxes::CornerBox;

/// Scores below this count as nothing seen.
const SEEN: f64 = 0.02;

/// How far the middle of what is beside a label may be from the label's, in the label's width and height.
const REACH: f64 = 1.3;

/// By how much the area of what is beside a label may differ from the label's.
const TIMES: f64 = 3.0;

/// What is seen of one labelled object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// On the label.
    pub placed: f64,
    /// Beside all labels, but near this one.
    pub beside: f64,
}

impl Detector {
    /// The placements of an image's labelled boxes, from `logits` `[A, K]` and `deltas` `[A, 4]`. What is not finite is
    /// not seen.
    ///
    /// # Panics
    /// If the slices do not fit the anchors.
    pub fn placements(&self, logits: &[f32], deltas: &[f32], labels: &[CornerBox]) -> Vec<Placement> {
        let mut found = vec![Placement::default(); labels.len()];
        if labels.is_empty() {
            return found;
        }
        let columns = logits.len() / self.anchors.len();
        let mut scores = vec![0.0; columns];
        let mut overlaps = vec![0.0; labels.len()];
        for (a, (row, delta)) in logits.chunks_exact(columns).zip(deltas.chunks_exact(4)).enumerate() {
            self.mode.scores(row, &mut scores);
            let any = match self.mode {
                ScoreMode::Softmax => 1.0 - scores[0],
                ScoreMode::Sigmoid => scores[1..].iter().copied().fold(0.0, f64::max),
            };
            if any.is_nan() || any <= SEEN {
                continue;
            }
            let delta = std::array::from_fn(|i| f64::from(delta[i]));
            let seen = self.coder.decode(&self.anchors.centers()[a], delta).clipped();
            // False for a box that is not finite, too.
            let has_area = seen.width() > 0.0 && seen.height() > 0.0;
            if !has_area {
                continue;
            }
            overlaps.iter_mut().zip(labels).for_each(|(overlap, label)| *overlap = seen.iou(label));
            let alone = 1.0 - overlaps.iter().copied().fold(0.0, f64::max);
            for ((placement, label), overlap) in found.iter_mut().zip(labels).zip(&overlaps) {
                placement.placed = placement.placed.max(any * overlap);
                if is_near(&seen, label) {
                    placement.beside = placement.beside.max(any * alone);
                }
            }
        }
        found
    }
}

fn is_near(seen: &CornerBox, label: &CornerBox) -> bool {
    let (s, l) = (seen.center(), label.center());
    let times = seen.area() / label.area().max(1e-12);
    (s.cx - l.cx).abs() < REACH * l.w && (s.cy - l.cy).abs() < REACH * l.h && times < TIMES && TIMES * times > 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::Anchors;

    const COLUMNS: usize = 3;

    /// What a network says that sees one thing, on the anchor given.
    fn outputs(anchors: &Anchors, at: usize) -> (Vec<f32>, Vec<f32>) {
        let mut logits = [9.0, 0.0, 0.0].repeat(anchors.len());
        logits[at * COLUMNS..][..COLUMNS].copy_from_slice(&[0.0, 0.0, 2.0]);
        (logits, vec![0.0; anchors.len() * 4])
    }

    #[test]
    fn what_is_seen_is_on_its_label_or_beside_it() {
        let anchors = Anchors::tf_ssd(&[[8, 8], [1, 1]]);
        // The first anchor, a square one, of the cell in row 4, column 4.
        let at = 3 * (4 * 8 + 4);
        let (logits, deltas) = outputs(&anchors, at);
        let here = anchors.corners()[at];
        let (side, score) = (here.width(), 1.0 - 1.0 / (2.0 + 2f64.exp()));
        let detector = Detector::new(anchors, ScoreMode::Softmax);
        let of = |label| detector.placements(&logits, &deltas, &[label])[0];
        let moved = |by: f64| CornerBox { x0: here.x0 + by * side, x1: here.x1 + by * side, ..here };
        let large = CornerBox { x0: here.x0 - side, y0: here.y0 - side, ..here };
        for (label, placed, beside, why) in [
            (here, score, 0.0, "in place"),
            (moved(1.05), 0.0, score, "next to it"),
            (moved(0.5), score / 3.0, score * 2.0 / 3.0, "half beside it"),
            (moved(1.4), 0.0, 0.0, "too far to be the label's"),
            (large, score / 4.0, 0.0, "too large to be the label's"),
        ] {
            let found = of(label);
            assert!((found.placed - placed).abs() < 1e-3 && (found.beside - beside).abs() < 1e-3, "{why}: {found:?}");
        }
    }

    #[test]
    fn what_has_a_label_of_its_own_is_beside_nothing() {
        let anchors = Anchors::tf_ssd(&[[8, 8], [1, 1]]);
        let at = 3 * (4 * 8 + 4);
        let (logits, mut deltas) = outputs(&anchors, at);
        let here = anchors.corners()[at];
        let other = CornerBox { x0: here.x0 + here.width(), x1: here.x1 + here.width(), ..here };
        let mut detector = Detector::new(anchors, ScoreMode::Softmax);
        let found = detector.placements(&logits, &deltas, &[other, here]);
        assert!(found[0].beside < 1e-3 && found[0].placed < 1e-3 && found[1].placed > 0.7, "{found:?}");

        deltas[at * 4] = f32::NAN;
        detector.mode = ScoreMode::Sigmoid;
        let found = detector.placements(&logits, &deltas, &[other, here]);
        assert!(found.iter().all(|p| p.placed.is_finite() && p.beside.is_finite()), "{found:?}");
        assert_eq!(detector.placements(&logits, &deltas, &[]), []);
    }
}
