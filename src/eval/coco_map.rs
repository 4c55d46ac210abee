//! COCO mean average precision and recall for boxes, by the rules of pycocotools' `COCOeval`.
//!
//! For each class, size range and image, detections are taken by falling score, 100 at most, and matched at each IoU
//! threshold: a detection takes the free object of largest IoU (the later one on ties) that reaches the threshold;
//! objects that are *ignored* (crowds, and objects outside the size range) only when no other does, and a crowd may
//! be taken any number of times. A detection on an ignored object is ignored itself; so is an unmatched one whose own
//! area lies outside the range. Overlap with a crowd is intersection over the detection's area.
//!
//! Over all images, in falling score (stable: by image, then rank), precision = TP / (TP + FP) is made to fall with
//! recall and read at recall 0.00, 0.01 .. 1.00; AP is the mean of these 101, AR the last recall.
//!
//! One difference on purpose: pycocotools takes an annotation whose id is 0 for "no match"; here ids play no part.

use super::{ClassMetrics, CocoMetrics, ImageDetections, ImageTruth, ScoredBox, TruthBox};

/// 0.50, 0.55 .. 0.95, with numpy's rounding: the last but one decides whether an IoU of exactly 0.9 is a match.
pub const IOU_THRESHOLDS: [f64; THRESHOLDS] =
    [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.899_999_999_999_999_9, 0.95];
const THRESHOLDS: usize = 10;
const AT_50: usize = 0;
const AT_75: usize = 5;
const RECALLS: usize = 101;
const MAX_DETECTIONS: usize = 100;

/// A range of areas in square pixels, both ends included.
type SizeRange = (f64, f64);
const ALL: SizeRange = (0.0, 1e5 * 1e5);
const SMALL: SizeRange = (0.0, 32.0 * 32.0);
const MEDIUM: SizeRange = (32.0 * 32.0, 96.0 * 96.0);
const LARGE: SizeRange = (96.0 * 96.0, 1e5 * 1e5);

/// The twelve figures and those of each class, for images of which `ground_truth[i]` and `detections[i]` are given.
///
/// Classes are indices into `classes`, their names. The order of the images matters only between equal scores.
///
/// # Panics
/// If the slices differ in length, or a class is not below `classes.len()`.
pub fn coco_eval(ground_truth: &[ImageTruth], detections: &[ImageDetections], classes: &[String]) -> CocoMetrics {
    assert_eq!(ground_truth.len(), detections.len(), "labels and detections of the same images");
    let pairs = by_class(ground_truth, detections, classes.len());
    let curves: Vec<ClassCurves> = pairs.iter().map(|pairs| ClassCurves::new(pairs)).collect();

    let mean_precision = |size: fn(&ClassCurves) -> &Option<PrecisionCurves>, thresholds: std::ops::Range<usize>| {
        mean(
            curves
                .iter()
                .filter_map(|c| size(c).as_ref())
                .flat_map(|c| c.precision[thresholds.clone()].iter().flatten()),
        )
    };
    let mean_recall = |size: fn(&ClassCurves) -> &Option<PrecisionCurves>| {
        mean(curves.iter().filter_map(|c| size(c).as_ref()).flat_map(|c| &c.recall))
    };
    CocoMetrics {
        ap: mean_precision(|c| &c.all, 0..THRESHOLDS),
        ap50: mean_precision(|c| &c.all, AT_50..AT_50 + 1),
        ap75: mean_precision(|c| &c.all, AT_75..AT_75 + 1),
        ap_small: mean_precision(|c| &c.small, 0..THRESHOLDS),
        ap_medium: mean_precision(|c| &c.medium, 0..THRESHOLDS),
        ap_large: mean_precision(|c| &c.large, 0..THRESHOLDS),
        ar1: mean_recall(|c| &c.first),
        ar10: mean_recall(|c| &c.first_ten),
        ar100: mean_recall(|c| &c.all),
        ar_small: mean_recall(|c| &c.small),
        ar_medium: mean_recall(|c| &c.medium),
        ar_large: mean_recall(|c| &c.large),
        classes: classes.iter().zip(&pairs).zip(&curves).map(|((name, pairs), c)| c.metrics(name, pairs)).collect(),
    }
}

fn mean<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The verdicts on one detection, a bit for each of [`IOU_THRESHOLDS`]; neither bit is set where it is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RankedVerdicts {
    pub image: u32,
    pub right: u16,
    pub wrong: u16,
}

/// The parts of AP, for one class: the verdicts on its detections, and how many objects each image adds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClassVerdicts {
    /// By falling score, between equal scores by image and rank, as [`coco_eval`] takes them.
    pub ranked: Vec<RankedVerdicts>,
    /// (image, objects that count), of images that have any.
    pub objects: Vec<(u32, u32)>,
}

/// The verdicts of each class, for objects of all sizes and 100 detections per image.
///
/// # Panics
/// As [`coco_eval`].
pub(super) fn verdicts(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize) -> Vec<ClassVerdicts> {
    assert_eq!(truth.len(), detections.len(), "labels and detections of the same images");
    let of_class = |pairs: &Vec<Pair>| {
        let (mut scored, mut objects) = (Vec::new(), Vec::new());
        for pair in pairs {
            let (judged, count) = pair.judge(ALL);
            if count > 0 {
                objects.push((pair.image, count as u32));
            }
            let bits = |row: &[MatchVerdict; THRESHOLDS], wanted| {
                row.iter().enumerate().filter(|(_, v)| **v == wanted).fold(0, |bits, (t, _)| bits | 1 << t)
            };
            scored.extend(pair.detections.iter().zip(&judged).map(|(d, row)| {
                let (right, wrong) = (bits(row, MatchVerdict::Right), bits(row, MatchVerdict::Wrong));
                (d.score, RankedVerdicts { image: pair.image, right, wrong })
            }));
        }
        scored.sort_by(|p, q| falling(p.0, q.0));
        ClassVerdicts { ranked: scored.into_iter().map(|(_, v)| v).collect(), objects }
    };
    by_class(truth, detections, classes).iter().map(of_class).collect()
}

/// The objects and the detections of one class in one image, with all their overlaps.
struct Pair<'a> {
    image: u32,
    objects: Vec<&'a TruthBox>,
    /// By falling score, at most [`MAX_DETECTIONS`].
    detections: Vec<&'a ScoredBox>,
    /// Detections before that limit.
    found: usize,
    /// `[detections][objects]`.
    overlaps: Vec<Vec<f64>>,
}

/// `[K]`: for each class its pairs in image order; images without objects and detections of the class are left out.
fn by_class<'a>(truth: &'a [ImageTruth], detections: &'a [ImageDetections], classes: usize) -> Vec<Vec<Pair<'a>>> {
    let mut all: Vec<Vec<Pair>> = (0..classes).map(|_| Vec::new()).collect();
    for (image, (truth, detections)) in (0..).zip(truth.iter().zip(detections)) {
        let mut present: Vec<usize> = truth.objects.iter().map(|o| o.class).collect();
        present.extend(detections.detections.iter().map(|d| d.class));
        present.sort_unstable();
        present.dedup();
        for class in present {
            let objects = truth.objects.iter().filter(|o| o.class == class).collect();
            let detections = detections.detections.iter().filter(|d| d.class == class).collect();
            all[class].push(Pair::new(image, objects, detections));
        }
    }
    all
}

impl<'a> Pair<'a> {
    fn new(image: u32, objects: Vec<&'a TruthBox>, mut detections: Vec<&'a ScoredBox>) -> Self {
        detections.sort_by(|p, q| falling(p.score, q.score));
        let found = detections.len();
        detections.truncate(MAX_DETECTIONS);
        let overlaps = detections.iter().map(|d| objects.iter().map(|o| overlap(d, o)).collect()).collect();
        Self { image, objects, detections, found, overlaps }
    }

    /// For each detection and threshold, whether it is right, wrong or ignored; and how many objects count.
    fn judge(&self, range: SizeRange) -> (Vec<[MatchVerdict; THRESHOLDS]>, usize) {
        let outside = |area: f64| area < range.0 || area > range.1;
        let ignored: Vec<bool> = self.objects.iter().map(|o| o.crowd || outside(o.area)).collect();
        let mut verdicts = vec![[MatchVerdict::Wrong; THRESHOLDS]; self.detections.len()];
        for (t, threshold) in IOU_THRESHOLDS.into_iter().enumerate() {
            let mut taken = vec![false; self.objects.len()];
            for (d, detection) in self.detections.iter().enumerate() {
                let free = |g: &usize| !taken[*g] || self.objects[*g].crowd;
                let best = |of_ignored: bool| {
                    let able = (0..self.objects.len())
                        .filter(|&g| ignored[g] == of_ignored && self.overlaps[d][g] >= threshold);
                    able.filter(free).max_by(|&g, &h| self.overlaps[d][g].total_cmp(&self.overlaps[d][h]))
                };
                let matched = best(false).or_else(|| best(true));
                if let Some(g) = matched {
                    taken[g] = true;
                }
                verdicts[d][t] = match matched {
                    Some(g) if ignored[g] => MatchVerdict::Ignored,
                    Some(_) => MatchVerdict::Right,
                    None if outside(detection.bbox.area()) => MatchVerdict::Ignored,
                    None => MatchVerdict::Wrong,
                };
            }
        }
        (verdicts, ignored.iter().filter(|ignored| !**ignored).count())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum MatchVerdict {
    Right,
    Wrong,
    Ignored,
}

fn falling(p: f64, q: f64) -> std::cmp::Ordering {
    // Adding zero makes -0 equal to 0, as IEEE comparison has it and total_cmp does not.
    (q + 0.0).total_cmp(&(p + 0.0))
}

fn overlap(detection: &ScoredBox, object: &TruthBox) -> f64 {
    if !object.crowd {
        return detection.bbox.iou(&object.bbox);
    }
    let intersection = detection.bbox.intersection(&object.bbox);
    if intersection > 0.0 { intersection / detection.bbox.area() } else { 0.0 }
}

/// Precision at every IoU threshold and recall, and the recall reached, of one class.
struct PrecisionCurves {
    precision: Box<[[f64; RECALLS]; THRESHOLDS]>,
    recall: [f64; THRESHOLDS],
}

/// The curves of one class, by size of the object and by detections per image; `None` without objects that count.
struct ClassCurves {
    all: Option<PrecisionCurves>,
    small: Option<PrecisionCurves>,
    medium: Option<PrecisionCurves>,
    large: Option<PrecisionCurves>,
    /// Of the highest detection of each image only.
    first: Option<PrecisionCurves>,
    first_ten: Option<PrecisionCurves>,
}

impl ClassCurves {
    fn new(pairs: &[Pair]) -> Self {
        let judged = |range| -> Vec<_> { pairs.iter().map(|pair| pair.judge(range)).collect() };
        let all = judged(ALL);
        Self {
            first: PrecisionCurves::new(pairs, &all, 1),
            first_ten: PrecisionCurves::new(pairs, &all, 10),
            all: PrecisionCurves::new(pairs, &all, MAX_DETECTIONS),
            small: PrecisionCurves::new(pairs, &judged(SMALL), MAX_DETECTIONS),
            medium: PrecisionCurves::new(pairs, &judged(MEDIUM), MAX_DETECTIONS),
            large: PrecisionCurves::new(pairs, &judged(LARGE), MAX_DETECTIONS),
        }
    }

    fn metrics(&self, name: &str, pairs: &[Pair]) -> ClassMetrics {
        ClassMetrics {
            name: name.to_string(),
            objects: pairs.iter().flat_map(|p| &p.objects).filter(|o| !o.crowd).count(),
            detections: pairs.iter().map(|p| p.found).sum(),
            ap: mean(self.all.iter().flat_map(|c| c.precision.iter().flatten())),
            ap50: mean(self.all.iter().flat_map(|c| &c.precision[AT_50])),
            precision50: self.all.as_ref().map_or(Vec::new(), |c| c.precision[AT_50].to_vec()),
        }
    }
}

impl PrecisionCurves {
    /// From the judgement of every pair, `limit` detections of each image counted.
    fn new(pairs: &[Pair], judged: &[(Vec<[MatchVerdict; THRESHOLDS]>, usize)], limit: usize) -> Option<Self> {
        let objects: usize = judged.iter().map(|(_, objects)| objects).sum();
        if objects == 0 {
            return None;
        }
        let mut ranked: Vec<(f64, &[MatchVerdict; THRESHOLDS])> = Vec::new();
        for (pair, (verdicts, _)) in pairs.iter().zip(judged) {
            ranked.extend(pair.detections.iter().map(|d| d.score).zip(verdicts).take(limit));
        }
        ranked.sort_by(|p, q| falling(p.0, q.0));

        let mut curves = Self { precision: Box::new([[0.0; RECALLS]; THRESHOLDS]), recall: [0.0; THRESHOLDS] };
        for t in 0..THRESHOLDS {
            let (mut right, mut wrong) = (0u32, 0u32);
            let mut steps: Vec<(f64, f64)> = Vec::with_capacity(ranked.len());
            for (_, verdicts) in &ranked {
                right += u32::from(verdicts[t] == MatchVerdict::Right);
                wrong += u32::from(verdicts[t] == MatchVerdict::Wrong);
                let (right, wrong) = (f64::from(right), f64::from(wrong));
                // At least 1: while every detection was ignored, nothing was right either.
                steps.push((right / objects as f64, right / (right + wrong).max(1.0)));
            }
            for i in (1..steps.len()).rev() {
                steps[i - 1].1 = steps[i - 1].1.max(steps[i].1);
            }
            curves.recall[t] = steps.last().map_or(0.0, |last| last.0);
            for (i, precision) in curves.precision[t].iter_mut().enumerate() {
                // Multiplied as numpy's linspace does it: 35 * 0.01 is one bit above 35 / 100, which a recall can be.
                let reached = steps.partition_point(|step| step.0 < i as f64 * 0.01);
                *precision = steps.get(reached).map_or(0.0, |step| step.1);
            }
        }
        Some(curves)
    }
}
