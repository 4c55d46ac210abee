//! The score from which detections are worth showing: that of the best F1.
//!
//! Detections and objects are compared by [`compare`]. F1 = 2 TP / (detections + objects). The score between the last
//! detection shown and the next is the threshold.

use super::comparison::{Compared, compare};
use super::{ImageDetections, ImageTruth};

/// A threshold and how good detections above it are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub score: f64,
    pub precision: f64,
    pub recall: f64,
}

impl Threshold {
    pub fn f1(&self) -> f64 {
        let sum = self.precision + self.recall;
        if sum > 0.0 { 2.0 * self.precision * self.recall / sum } else { 0.0 }
    }
}

/// Thresholds over all classes together, and for each class; `None` where nothing is right at any score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    pub overall: Option<Threshold>,
    pub classes: Vec<Option<Threshold>>,
}

/// Precision and recall of the detections with at least a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScorePoint {
    pub score: f64,
    /// `None` where there is no such detection.
    pub precision: Option<f64>,
    /// `None` where there is no object.
    pub recall: Option<f64>,
}

impl ScorePoint {
    /// 2 TP / (detections + objects): 0 where there are objects and no detections.
    pub fn f1(&self) -> Option<f64> {
        let recall = self.recall?;
        let Some(precision) = self.precision else { return Some(0.0) };
        let sum = precision + recall;
        Some(if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 })
    }
}

/// Scores at which a curve over the score has points: 0.00, 0.01 .. 1.00.
const SCORES: usize = 101;

/// Precision and recall over the score, at IoU 0.5: first over all classes together, then of each class in `classes`.
///
/// # Panics
/// If labels and detections are not of the same number of images.
pub fn score_curves(truth: &[ImageTruth], detections: &[ImageDetections], classes: &[usize]) -> Vec<Vec<ScorePoint>> {
    assert_eq!(truth.len(), detections.len(), "labels and detections of the same images");
    let mut verdicts: Vec<CountedDetection> = truth.iter().zip(detections).flat_map(|(t, d)| judged(t, d)).collect();
    verdicts.sort_by(|p, q| q.score.total_cmp(&p.score));
    let objects = || truth.iter().flat_map(|t| &t.objects).filter(|o| !o.crowd);
    let of_class = |class: &usize| {
        let own: Vec<CountedDetection> = verdicts.iter().filter(|v| v.class == *class).copied().collect();
        curve(&own, objects().filter(|o| o.class == *class).count())
    };
    std::iter::once(curve(&verdicts, objects().count())).chain(classes.iter().map(of_class)).collect()
}

/// Of detections in falling score.
fn curve(verdicts: &[CountedDetection], objects: usize) -> Vec<ScorePoint> {
    let (mut shown, mut right) = (0, 0);
    let mut points: Vec<ScorePoint> = (0..SCORES)
        .rev()
        .map(|i| {
            let score = i as f64 / (SCORES - 1) as f64;
            while let Some(verdict) = verdicts.get(shown).filter(|v| v.score >= score) {
                shown += 1;
                right += usize::from(verdict.right);
            }
            let share = |of: usize| (of > 0).then(|| right as f64 / of as f64);
            ScorePoint { score, precision: share(shown), recall: share(objects) }
        })
        .collect();
    points.reverse();
    points
}

/// A detection that counts.
#[derive(Clone, Copy)]
struct CountedDetection {
    class: usize,
    score: f64,
    right: bool,
}

impl Thresholds {
    /// Of `classes` classes, for images of which `truth[i]` and `detections[i]` are given.
    ///
    /// # Panics
    /// If labels and detections are not of the same number of images.
    pub fn of(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize) -> Self {
        assert_eq!(truth.len(), detections.len(), "labels and detections of the same images");
        let mut verdicts: Vec<CountedDetection> =
            truth.iter().zip(detections).flat_map(|(t, d)| judged(t, d)).collect();
        verdicts.sort_by(|p, q| q.score.total_cmp(&p.score));
        let objects = || truth.iter().flat_map(|t| &t.objects).filter(|o| !o.crowd);
        let of_class = |class: usize| {
            let own: Vec<CountedDetection> = verdicts.iter().filter(|v| v.class == class).copied().collect();
            best(&own, objects().filter(|o| o.class == class).count())
        };
        Self { overall: best(&verdicts, objects().count()), classes: (0..classes).map(of_class).collect() }
    }
}

fn judged(truth: &ImageTruth, found: &ImageDetections) -> Vec<CountedDetection> {
    let verdict = |c: Compared| CountedDetection { class: c.class, score: c.score, right: c.object.is_some() };
    compare(truth, found, 0.0).into_iter().map(verdict).collect()
}

/// The cut of best F1 through detections in falling score; of equal ones the highest.
fn best(verdicts: &[CountedDetection], objects: usize) -> Option<Threshold> {
    let mut best: Option<(f64, Threshold)> = None;
    let mut right = 0;
    for (i, verdict) in verdicts.iter().enumerate() {
        right += usize::from(verdict.right);
        let next = verdicts.get(i + 1).map_or(0.0, |v| v.score);
        // Equal scores cannot be told apart by a threshold.
        if next == verdict.score || right == 0 {
            continue;
        }
        let f1 = 2.0 * right as f64 / (i + 1 + objects) as f64;
        if best.is_none_or(|(most, _)| f1 > most) {
            let score = (verdict.score + next) / 2.0;
            let (precision, recall) = (right as f64 / (i + 1) as f64, right as f64 / objects.max(1) as f64);
            best = Some((f1, Threshold { score, precision, recall }));
        }
    }
    best.map(|(_, threshold)| threshold)
}

#[cfg(test)]
mod tests {
    use super::super::{CocoBox, ScoredBox, TruthBox};
    use super::*;

    fn at(x: f64) -> CocoBox {
        CocoBox { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    fn image(objects: &[(usize, f64, bool)], found: &[(usize, f64, f64)]) -> (ImageTruth, ImageDetections) {
        let objects = objects.iter().map(|&(class, x, crowd)| TruthBox {
            class,
            bbox: at(x),
            area: 100.0,
            crowd,
            difficult: false,
        });
        let detections = found.iter().map(|&(class, x, score)| ScoredBox { class, bbox: at(x), score });
        (ImageTruth { objects: objects.collect() }, ImageDetections { detections: detections.collect() })
    }

    #[test]
    fn the_cut_is_where_f1_is_best_whatever_the_cuts_before() {
        // Right at .9 and .6, wrong at .8 and .3; three objects, one of which is missed.
        let (truth, found) = image(
            &[(0, 0.0, false), (0, 50.0, false), (0, 90.0, false)],
            &[(0, 0.0, 0.9), (0, 200.0, 0.8), (0, 50.0, 0.6), (0, 300.0, 0.3)],
        );
        let t = Thresholds::of(&[truth], &[found], 2);
        let all = t.overall.unwrap();
        assert!((all.score - 0.45).abs() < 1e-12 && (all.f1() - 2.0 / 3.0).abs() < 1e-12, "{all:?}");
        assert_eq!((all.precision, all.recall), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!(t.classes, [Some(all), None]);
    }

    #[test]
    fn a_second_detection_of_an_object_is_wrong_and_one_on_a_crowd_is_nothing() {
        let (truth, found) = image(
            &[(1, 0.0, false), (1, 50.0, true)],
            &[(1, 0.0, 0.9), (1, 1.0, 0.7), (1, 50.0, 0.95), (0, 0.0, 0.99)],
        );
        let t = Thresholds::of(&[truth], &[found], 2);
        assert_eq!(t.classes[0], None, "another class's object does not count");
        let one = t.classes[1].unwrap();
        assert_eq!((one.precision, one.recall), (1.0, 1.0));
        assert!((one.score - 0.8).abs() < 1e-12);
    }

    #[test]
    fn the_curve_has_its_best_f1_where_the_threshold_is() {
        let (truth, found) = image(
            &[(0, 0.0, false), (0, 50.0, false), (0, 90.0, false), (1, 500.0, true)],
            &[(0, 0.0, 0.9), (0, 200.0, 0.8), (0, 50.0, 0.6), (0, 300.0, 0.3), (1, 500.0, 0.7)],
        );
        let (truth, found) = ([truth], [found]);
        let curves = score_curves(&truth, &found, &[0, 1]);
        let at = |curve: usize, score: f64| curves[curve][(score * 100.0).round() as usize];
        assert_eq!((at(0, 0.85).precision, at(0, 0.85).recall), (Some(1.0), Some(1.0 / 3.0)));
        assert_eq!((at(0, 0.5).precision, at(0, 0.5).recall), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((at(0, 0.95).precision, at(0, 0.95).f1()), (None, Some(0.0)));
        let best = curves[0].iter().filter_map(ScorePoint::f1).fold(0.0, f64::max);
        assert_eq!(best, Thresholds::of(&truth, &found, 2).overall.unwrap().f1());
        // The only object of class 1 is a crowd, and the detection on it does not count.
        assert!(curves[2].iter().all(|p| p.precision.is_none() && p.recall.is_none()));
        assert_eq!((curves.len(), curves[1].len()), (3, 101));
    }

    #[test]
    fn equal_scores_stay_together() {
        let (truth, found) = image(&[(0, 0.0, false)], &[(0, 0.0, 0.5), (0, 100.0, 0.5)]);
        let t = Thresholds::of(&[truth], &[found], 1).overall.unwrap();
        assert_eq!((t.score, t.precision, t.recall), (0.25, 0.5, 1.0));
    }
}
