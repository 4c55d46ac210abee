//! From predictions to detections: scores, decoding, suppression.
//!
//! Per image: every (anchor, class) whose score exceeds `score_threshold` is a candidate; the `candidates` highest
//! are decoded and clipped to the image; non-maximum suppression runs class by class, or over all classes together; the
//! `top` highest remain.

use crate::boxes::{Anchors, BoxCoder, CornerBox, ScoreFunction, nms};

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

/// The boxes that suppress each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suppression {
    /// Boxes of one class.
    #[default]
    PerClass,
    /// Boxes of any class: one object has one class.
    AllClasses,
}

/// Everything that turns the raw outputs for one image into detections.
#[derive(Clone, Debug)]
pub struct PostProcessor {
    pub anchors: Anchors,
    pub coder: BoxCoder,
    pub scores: ScoreFunction,
    /// A score must be greater than this.
    pub score_threshold: f64,
    /// As `score_threshold`, of each class; empty where one holds for all.
    pub class_thresholds: Vec<f64>,
    pub suppression: Suppression,
    /// Of two boxes of a class whose IoU is greater than this, the lower goes.
    pub iou_threshold: f64,
    /// Candidates that reach suppression, at most.
    pub candidates: usize,
    /// Detections per image, at most.
    pub top: usize,
}

/// A score before decoding.
struct CandidateScore {
    anchor: usize,
    class: usize,
    score: f64,
}

impl PostProcessor {
    /// The settings of COCO evaluation: scores above 0.01, suppression at IoU 0.5, 2000 candidates, 100 detections.
    pub fn new(anchors: Anchors, scores: ScoreFunction) -> Self {
        Self {
            anchors,
            coder: BoxCoder::default(),
            scores,
            score_threshold: 0.01,
            class_thresholds: Vec::new(),
            suppression: Suppression::PerClass,
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
        let columns = self.columns(logits, deltas);
        let candidates = self.best_candidates(logits, columns, &|row, scores| self.scores.scores(row, scores));
        let decoded = |anchor: usize| {
            let deltas = std::array::from_fn(|i| f64::from(deltas[anchor * 4 + i]));
            self.coder.decode(&self.anchors.centers()[anchor], deltas)
        };
        self.suppress(&candidates, columns, &decoded)
    }

    /// As [`PostProcessor::detect`], from scores `[A, K]` and corners x1, y1, x2, y2 `[A, 4]`, in fractions of the
    /// image.
    ///
    /// # Panics
    /// As [`PostProcessor::detect`].
    pub fn detect_decoded(&self, scores: &[f32], corners: &[f32]) -> Vec<Detection> {
        let columns = self.columns(scores, corners);
        let widened = |row: &[f32], scores: &mut [f64]| {
            row.iter().zip(scores).for_each(|(&from, to)| *to = f64::from(from));
        };
        let candidates = self.best_candidates(scores, columns, &widened);
        let corner = |anchor: usize| {
            let [x0, y0, x1, y1] = std::array::from_fn(|i| f64::from(corners[anchor * 4 + i]));
            CornerBox::new(x0, y0, x1, y1)
        };
        self.suppress(&candidates, columns, &corner)
    }

    /// Class columns of `scores`, one row an anchor; `boxes` are four numbers an anchor.
    fn columns(&self, scores: &[f32], boxes: &[f32]) -> usize {
        let anchors = self.anchors.len();
        assert!(anchors > 0 && scores.len().is_multiple_of(anchors), "{} scores, {anchors} anchors", scores.len());
        assert_eq!(boxes.len(), anchors * 4, "four numbers for each anchor");
        scores.len() / anchors
    }

    fn suppress(
        &self,
        candidates: &[CandidateScore],
        columns: usize,
        corners: &dyn Fn(usize) -> CornerBox,
    ) -> Vec<Detection> {
        let visible = |&CandidateScore { anchor, class, score }: &CandidateScore| {
            let bbox = corners(anchor).clipped();
            // Comparisons with NaN are false, so a box that is not finite does not pass either.
            (bbox.width() > 0.0 && bbox.height() > 0.0).then_some(Detection { class, score, bbox, anchor })
        };
        let found: Vec<Detection> = candidates.iter().filter_map(visible).collect();
        let mut kept = Vec::new();
        let groups: Vec<Vec<usize>> = match self.suppression {
            Suppression::AllClasses => vec![(0..found.len()).collect()],
            Suppression::PerClass => {
                let of_class = |class: usize| (0..found.len()).filter(|&i| found[i].class == class).collect();
                (0..columns.saturating_sub(1)).map(of_class).collect()
            }
        };
        for group in groups {
            let boxes: Vec<CornerBox> = group.iter().map(|&i| found[i].bbox).collect();
            let scores: Vec<f64> = group.iter().map(|&i| found[i].score).collect();
            kept.extend(nms(&boxes, &scores, self.iou_threshold).into_iter().map(|i| group[i]));
        }
        kept.sort_by(|&i, &j| found[j].score.total_cmp(&found[i].score).then(i.cmp(&j)));
        kept.truncate(self.top);
        kept.into_iter().map(|i| found[i]).collect()
    }

    /// The score that one of a class must exceed.
    fn threshold(&self, class: usize) -> f64 {
        self.class_thresholds.get(class).copied().unwrap_or(self.score_threshold)
    }

    /// In (anchor, class) order.
    fn best_candidates(&self, rows: &[f32], columns: usize, score: &dyn Fn(&[f32], &mut [f64])) -> Vec<CandidateScore> {
        let mut candidates = Vec::new();
        let mut scores = vec![0.0; columns];
        for (anchor, row) in rows.chunks_exact(columns.max(1)).enumerate() {
            score(row, &mut scores);
            for (column, &score) in scores.iter().enumerate().skip(1) {
                if score > self.threshold(column - 1) {
                    candidates.push(CandidateScore { anchor, class: column - 1, score });
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 3;

    fn detector(mode: ScoreFunction) -> PostProcessor {
        PostProcessor::new(Anchors::tf_ssd(&[[2, 2], [1, 1]]), mode)
    }

    /// Background everywhere, boxes on their anchors.
    fn outputs(detector: &PostProcessor) -> (Vec<f32>, Vec<f32>) {
        let anchors = detector.anchors.len();
        ([9.0, 0.0, 0.0].repeat(anchors), vec![0.0; anchors * 4])
    }

    #[test]
    fn the_class_does_not_count_the_background() {
        let detector = detector(ScoreFunction::Softmax);
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
    fn over_all_classes_one_place_has_one_object() {
        let mut detector = detector(ScoreFunction::Softmax);
        detector.suppression = Suppression::AllClasses;
        let (mut logits, deltas) = outputs(&detector);
        logits[4 * COLUMNS..5 * COLUMNS].copy_from_slice(&[0.0, 0.0, 2f32.ln()]);
        let classes = |found: &[Detection]| found.iter().map(|d| (d.class, d.anchor)).collect::<Vec<_>>();
        assert_eq!(classes(&detector.detect(&logits, &deltas)), [(1, 4)]);
        // Its class asks for more: it neither stays nor suppresses the other.
        detector.class_thresholds = vec![0.2, 0.6];
        assert_eq!(classes(&detector.detect(&logits, &deltas)), [(0, 4)]);
        detector.class_thresholds = vec![0.3, 0.6];
        assert_eq!(classes(&detector.detect(&logits, &deltas)), []);
    }

    #[test]
    fn decoded_boxes_are_suppressed_like_raw_ones() {
        let detector = detector(ScoreFunction::Sigmoid);
        let anchors = detector.anchors.len();
        let logits: Vec<f32> = (0..anchors * COLUMNS).map(|i| (i * 7 % 11) as f32 - 6.0).collect();
        let deltas: Vec<f32> = (0..anchors * 4).map(|i| (i * 5 % 13) as f32 / 4.0 - 1.5).collect();
        let mut scores = vec![0.0; logits.len()];
        for (row, to) in logits.chunks(COLUMNS).zip(scores.chunks_mut(COLUMNS)) {
            detector.scores.scores(row, to);
        }
        let scores: Vec<f32> = scores.into_iter().map(|s| s as f32).collect();
        let centers = detector.anchors.centers().iter().zip(deltas.as_chunks().0);
        let boxes = centers.map(|(center, deltas)| detector.coder.decode(center, deltas.map(f64::from)));
        let corners: Vec<f32> = boxes.flat_map(|b| [b.x0, b.y0, b.x1, b.y1]).map(|v| v as f32).collect();
        let (raw, decoded) = (detector.detect(&logits, &deltas), detector.detect_decoded(&scores, &corners));
        assert!(raw.len() > 3);
        let places = |found: &[Detection]| found.iter().map(|d| (d.anchor, d.class)).collect::<Vec<_>>();
        assert_eq!(places(&raw), places(&decoded));
        assert!(raw.iter().zip(&decoded).all(|(a, b)| (a.score - b.score).abs() < 1e-6));
    }

    #[test]
    fn sigmoid_scores_ignore_the_background_column() {
        let detector = detector(ScoreFunction::Sigmoid);
        let (mut logits, deltas) = outputs(&detector);
        logits.iter_mut().for_each(|l| *l = if *l == 9.0 { 9.0 } else { -9.0 });
        logits[3 * COLUMNS + 1] = 0.0;
        let found = detector.detect(&logits, &deltas);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (0, 0.5));
    }

    #[test]
    fn only_the_highest_candidates_and_detections_stay() {
        let mut detector = detector(ScoreFunction::Sigmoid);
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
        let detector = detector(ScoreFunction::Softmax);
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
