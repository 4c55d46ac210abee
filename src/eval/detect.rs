//! From predictions to detections: scores, decoding, suppression.
//!
//! Per image: every (anchor, class) whose score exceeds `score_threshold` is a candidate; the `candidates` highest
//! are decoded and clipped to the image; non-maximum suppression runs class by class; the `top` highest remain.

use crate::boxes::{Anchors, BoxCoder, CornerBox, nms};

/// One object that the network found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// 0 is the first real class: the background column is not counted.
    pub class: usize,
    /// In `[0, 1]`.
    pub score: f64,
    /// Inside the image, with area.
    pub bbox: CornerBox,
    /// The anchor that answered.
    pub anchor: usize,
}

/// How logits become scores; the loss that the network was trained with decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreMode {
    /// Softmax over all K columns, background included (cross-entropy).
    #[default]
    Softmax,
    /// A sigmoid for each column but the background's (focal loss).
    Sigmoid,
}

/// Everything that turns the raw outputs for one image into detections.
#[derive(Clone, Debug)]
pub struct Detector {
    pub anchors: Anchors,
    pub coder: BoxCoder,
    pub mode: ScoreMode,
    /// A score must be greater than this.
    pub score_threshold: f64,
    /// Of two boxes of a class whose IoU is greater than this, the lower goes.
    pub iou_threshold: f64,
    /// Candidates that reach suppression, at most.
    pub candidates: usize,
    /// Detections per image, at most.
    pub top: usize,
}

/// A score before decoding.
struct Candidate {
    anchor: usize,
    class: usize,
    score: f64,
}

impl Detector {
    /// The settings of COCO evaluation: scores above 0.01, suppression at IoU 0.5, 2000 candidates, 100 detections.
    pub fn new(anchors: Anchors, mode: ScoreMode) -> Self {
        Self {
            anchors,
            coder: BoxCoder::default(),
            mode,
            score_threshold: 0.01,
            iou_threshold: 0.5,
            candidates: 2000,
            top: 100,
        }
    }

    /// Detections of one image, highest score first, from `logits` `[A, K]` and `deltas` `[A, 4]`.
    ///
    /// Equal scores stand in (anchor, class) order. Scores and boxes that are not finite, and boxes that lie outside
    /// the image altogether, are left out.
    ///
    /// # Panics
    /// If the slices do not fit the anchors.
    pub fn detect(&self, logits: &[f32], deltas: &[f32]) -> Vec<Detection> {
        let anchors = self.anchors.len();
        assert!(anchors > 0 && logits.len().is_multiple_of(anchors), "{} logits, {anchors} anchors", logits.len());
        assert_eq!(deltas.len(), anchors * 4, "four deltas for each anchor");
        let columns = logits.len() / anchors;

        let found: Vec<Detection> =
            self.best_candidates(logits, columns).iter().filter_map(|c| self.decode(c, deltas)).collect();
        let mut kept = Vec::new();
        for class in 0..columns.saturating_sub(1) {
            let of_class: Vec<usize> = (0..found.len()).filter(|&i| found[i].class == class).collect();
            let boxes: Vec<CornerBox> = of_class.iter().map(|&i| found[i].bbox).collect();
            let scores: Vec<f64> = of_class.iter().map(|&i| found[i].score).collect();
            kept.extend(nms(&boxes, &scores, self.iou_threshold).into_iter().map(|i| of_class[i]));
        }
        kept.sort_by(|&i, &j| found[j].score.total_cmp(&found[i].score).then(i.cmp(&j)));
        kept.truncate(self.top);
        kept.into_iter().map(|i| found[i]).collect()
    }

    /// In (anchor, class) order.
    fn best_candidates(&self, logits: &[f32], columns: usize) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut scores = vec![0.0; columns];
        for (anchor, row) in logits.chunks_exact(columns.max(1)).enumerate() {
            self.mode.scores(row, &mut scores);
            for (column, &score) in scores.iter().enumerate().skip(1) {
                if score > self.score_threshold {
                    candidates.push(Candidate { anchor, class: column - 1, score });
                }
            }
        }
        if candidates.len() > self.candidates {
            candidates.sort_by(|p, q| q.score.total_cmp(&p.score));
            candidates.truncate(self.candidates);
            candidates.sort_by_key(|c| (c.anchor, c.class));
        }
        candidates
    }

    fn decode(&self, candidate: &Candidate, deltas: &[f32]) -> Option<Detection> {
        let &Candidate { anchor, class, score } = candidate;
        let deltas = std::array::from_fn(|i| f64::from(deltas[anchor * 4 + i]));
        let bbox = self.coder.decode(&self.anchors.centers()[anchor], deltas).clipped();
        // Comparisons with NaN are false, so a box that is not finite does not pass either.
        (bbox.width() > 0.0 && bbox.height() > 0.0).then_some(Detection { class, score, bbox, anchor })
    }
}

impl ScoreMode {
    /// `[K]` scores of one anchor's `[K]` logits. A row with NaN or infinity gives NaN where it matters.
    pub(super) fn scores(self, logits: &[f32], scores: &mut [f64]) {
        match self {
            ScoreMode::Softmax => {
                let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for (score, &logit) in scores.iter_mut().zip(logits) {
                    *score = f64::from(logit - max).exp();
                    sum += *score;
                }
                scores.iter_mut().for_each(|score| *score /= sum);
            }
            ScoreMode::Sigmoid => {
                for (score, &logit) in scores.iter_mut().zip(logits) {
                    *score = 1.0 / (1.0 + f64::from(-logit).exp());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 3;

    fn detector(mode: ScoreMode) -> Detector {
        Detector::new(Anchors::tf_ssd(&[[2, 2], [1, 1]]), mode)
    }

    /// Background everywhere, boxes on their anchors.
    fn outputs(detector: &Detector) -> (Vec<f32>, Vec<f32>) {
        let anchors = detector.anchors.len();
        ([9.0, 0.0, 0.0].repeat(anchors), vec![0.0; anchors * 4])
    }

    #[test]
    fn the_class_does_not_count_the_background() {
        let detector = detector(ScoreMode::Softmax);
        let (mut logits, deltas) = outputs(&detector);
        assert_eq!(detector.detect(&logits, &deltas), []);
        logits[4 * COLUMNS..5 * COLUMNS].copy_from_slice(&[0.0, 0.0, 2f32.ln()]);
        let found = detector.detect(&logits, &deltas);
        assert_eq!(found.len(), 3 - 1);
        assert_eq!((found[0].class, found[0].anchor), (1, 4));
        assert!((found[0].score - 0.5).abs() < 1e-6);
        assert_eq!(found[0].bbox, detector.anchors.corners()[4].clipped());
        assert_eq!(found[1].class, 0, "another class at the same place is not suppressed");
    }

    #[test]
    fn sigmoid_scores_ignore_the_background_column() {
        let detector = detector(ScoreMode::Sigmoid);
        let (mut logits, deltas) = outputs(&detector);
        logits.iter_mut().for_each(|l| *l = if *l == 9.0 { 9.0 } else { -9.0 });
        logits[3 * COLUMNS + 1] = 0.0;
        let found = detector.detect(&logits, &deltas);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (0, 0.5));
    }

    #[test]
    fn only_the_highest_candidates_and_detections_stay() {
        let mut detector = detector(ScoreMode::Sigmoid);
        detector.iou_threshold = 1.0;
        let (mut logits, deltas) = outputs(&detector);
        for (i, logit) in logits.iter_mut().enumerate() {
            *logit = i as f32 / 100.0;
        }
        detector.candidates = 7;
        assert_eq!(detector.detect(&logits, &deltas).len(), 7);
        detector.top = 3;
        let found = detector.detect(&logits, &deltas);
        let last = detector.anchors.len() - 1;
        assert_eq!(
            found.iter().map(|d| (d.anchor, d.class)).collect::<Vec<_>>(),
            [(last, 1), (last, 0), (last - 1, 1)]
        );
    }

    #[test]
    fn what_is_not_finite_or_outside_the_image_is_left_out() {
        let detector = detector(ScoreMode::Softmax);
        let (mut logits, mut deltas) = outputs(&detector);
        for anchor in [0, 3, 6] {
            logits[anchor * COLUMNS + 1] = 30.0;
        }
        logits[0] = f32::NAN;
        logits[1] = f32::INFINITY;
        deltas[3 * 4] = f32::NAN;
        deltas[6 * 4] = 1e6;
        assert_eq!(detector.detect(&logits, &deltas), []);
        deltas[6 * 4..7 * 4].copy_from_slice(&[0.0, 0.0, 1e9, 1e9]);
        assert_eq!(detector.detect(&logits, &deltas)[0].bbox, CornerBox::new(0.0, 0.0, 1.0, 1.0));
    }
}
