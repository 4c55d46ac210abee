//! The error of AP: a bootstrap over images (Efron 1979; percentile interval).
//!
//! The images of a split are a sample of all that the detector will meet. As many are drawn from them with replacement,
//! again and again, and AP is taken of each draw; the middle 95 % of these values are the interval. The network does
//! not run again: the verdicts on its detections are reused, an image that was drawn twice counting twice.
//!
//! The draws depend on the number of images alone. Two detectors judged on the same images are therefore compared draw
//! by draw (a paired bootstrap): what makes a draw easy or hard for both cancels out of their difference.
//!
//! With few images the percentile interval is somewhat too narrow; it is not corrected.

use super::coco_map::{ClassVerdicts, verdicts};
use super::{IOU_THRESHOLDS, ImageDetections, ImageTruth};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Draws. The bounds of an interval then wander by a tenth of its width.
const DRAWS: u64 = 200;

/// Seed of the draws, fixed so that figures are the same again and differences are paired.
const SEED: u64 = 0xB007;

/// The share outside an interval on either side.
const TAIL: f64 = 0.025;

/// Points of the precision-recall curve that AP is the mean of.
const RECALLS: usize = 101;

/// Bounds that hold with 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// True if zero lies outside: a difference with such an interval can be told.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// The middle 95 % of the values of draws; `None` without one.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let below = place as usize;
            let above = (below + 1).min(last);
            sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
        };
        Some(Self { low: at(TAIL), high: at(1.0 - TAIL) })
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.3} to {:.3}", self.low, self.high)
    }
}

/// AP of every draw of a detector's images; empty where a single image leaves nothing to draw from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApSamples {
    /// Images that the draws are made from.
    images: usize,
    /// `[draws]` AP over all IoU thresholds and at 0.5; `None` for a draw without objects.
    draws: Vec<Option<[f64; 2]>>,
}

impl ApSamples {
    /// Of `detections` on the images of `truth`.
    ///
    /// # Panics
    /// If the slices differ in length, or a class is not below `classes`.
    pub fn of(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize) -> Self {
        let images = truth.len();
        if images < 2 {
            return Self { images, draws: Vec::new() };
        }
        let classes = verdicts(truth, detections, classes);
        let draw = |draw: u64| {
            let mut rng = Pcg64Mcg::seed_from_u64(SEED + draw);
            let mut times = vec![0u32; images];
            (0..images).for_each(|_| times[rng.random_range(0..images)] += 1);
            mean_ap(&classes, &times)
        };
        Self { images, draws: (0..DRAWS).map(draw).collect() }
    }

    /// Of AP; `None` where there is nothing to draw from.
    pub fn ap(&self) -> Option<Interval> {
        Interval::of(self.draws.iter().flatten().map(|ap| ap[0]))
    }

    /// Of AP at an IoU of 0.5.
    pub fn ap50(&self) -> Option<Interval> {
        Interval::of(self.draws.iter().flatten().map(|ap| ap[1]))
    }

    /// Of this detector's AP less the other's, draw by draw; `None` where they were judged on other images.
    pub fn ap_above(&self, other: &Self) -> Option<Interval> {
        if self.images != other.images {
            return None;
        }
        let both = self.draws.iter().zip(&other.draws).filter_map(|(own, other)| Some((*own)?[0] - (*other)?[0]));
        Interval::of(both)
    }
}

/// AP over all thresholds and at 0.5, of images that count so many times each.
fn mean_ap(classes: &[ClassVerdicts], times: &[u32]) -> Option<[f64; 2]> {
    let (mut sums, mut count) = ([0.0; 2], 0u32);
    for class in classes {
        let objects: u32 = class.objects.iter().map(|(image, n)| times[*image as usize] * n).sum();
        if objects == 0 {
            continue;
        }
        count += 1;
        for threshold in 0..IOU_THRESHOLDS.len() {
            let ap = ap_at(class, threshold, times, f64::from(objects));
            sums[0] += ap / IOU_THRESHOLDS.len() as f64;
            if threshold == 0 {
                sums[1] += ap;
            }
        }
    }
    (count > 0).then(|| sums.map(|sum| sum / f64::from(count)))
}

/// AP of one class at one threshold, as [`super::coco_eval`] takes it.
fn ap_at(class: &ClassVerdicts, threshold: usize, times: &[u32], objects: f64) -> f64 {
    let (mut right, mut wrong) = (0u32, 0u32);
    // (recall, precision) after each detection that is right: precision only falls between them.
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for verdict in &class.ranked {
        let times = times[verdict.image as usize];
        if verdict.right >> threshold & 1 == 1 && times > 0 {
            right += times;
            steps.push((f64::from(right) / objects, f64::from(right) / f64::from(right + wrong)));
        } else if verdict.wrong >> threshold & 1 == 1 {
            wrong += times;
        }
    }
    for i in (1..steps.len()).rev() {
        steps[i - 1].1 = steps[i - 1].1.max(steps[i].1);
    }
    let (mut sum, mut at) = (0.0, 0);
    for recall in 0..RECALLS {
        while at < steps.len() && steps[at].0 < recall as f64 * 0.01 {
            at += 1;
        }
        sum += steps.get(at).map_or(0.0, |step| step.1);
    }
    sum / RECALLS as f64
}

#[cfg(test)]
mod tests {
    use super::super::{CocoBox, ScoredBox, TruthBox, coco_eval};
    use super::*;

    /// Images with one object each, found with probability `found`, and now and then a detection of nothing. An image
    /// that is hard for one seed is hard for another of the same `images`.
    fn judged(images: usize, found: f64, seed: u64) -> (Vec<ImageTruth>, Vec<ImageDetections>) {
        let (mut of_image, mut rng) = (Pcg64Mcg::seed_from_u64(seed), Pcg64Mcg::seed_from_u64(seed + 1));
        let bbox = |x: f64| CocoBox { x, y: 0.0, w: 50.0, h: 50.0 };
        let one = |_| {
            let class = of_image.random_range(0..2);
            let object = TruthBox { class, bbox: bbox(0.0), area: 2500.0, crowd: false, difficult: false };
            let mut detections = Vec::new();
            if of_image.random_bool(found) {
                let off = rng.random_range(0.0..6.0);
                detections.push(ScoredBox { class, bbox: bbox(off), score: rng.random_range(0.3..1.0) });
            }
            if rng.random_bool(0.4) {
                detections.push(ScoredBox { class, bbox: bbox(200.0), score: rng.random_range(0.0..0.9) });
            }
            (ImageTruth { objects: vec![object] }, ImageDetections { detections })
        };
        (0..images).map(one).unzip()
    }

    #[test]
    fn images_counted_once_each_have_the_ap_of_coco() {
        let names = ["a".to_string(), "b".to_string()];
        for seed in 0..20 {
            let (truth, found) = judged(30, 0.7, seed);
            let metrics = coco_eval(&truth, &found, &names);
            let [ap, ap50] = mean_ap(&verdicts(&truth, &found, 2), &[1; 30]).unwrap();
            assert!((ap - metrics.ap.unwrap()).abs() < 1e-12 && (ap50 - metrics.ap50.unwrap()).abs() < 1e-12);
        }
        // Counting an image twice is having it twice.
        let (mut truth, mut found) = judged(12, 0.6, 99);
        let twice = mean_ap(&verdicts(&truth, &found, 2), &[2; 12]).unwrap();
        truth.extend(truth.clone());
        found.extend(found.clone());
        let metrics = coco_eval(&truth, &found, &names);
        assert!((twice[1] - metrics.ap50.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn the_interval_holds_as_often_as_it_says() {
        // AP50 of very many such images is what the intervals of 60 should hold.
        let (truth, found) = judged(20_000, 0.7, 5);
        let all = coco_eval(&truth, &found, &["a".into(), "b".into()]).ap50.unwrap();
        let holds = (0..150)
            .filter(|seed| {
                let (truth, found) = judged(60, 0.7, 1000 + seed);
                let interval = ApSamples::of(&truth, &found, 2).ap50().unwrap();
                interval.low <= all && all <= interval.high
            })
            .count();
        assert!((132..=149).contains(&holds), "{holds} of 150, 95 % are 142");
    }

    #[test]
    fn a_paired_difference_is_told_where_two_intervals_overlap() {
        let (truth, found) = judged(60, 0.7, 7);
        // The other detector misses every sixth object that the first one finds.
        let mut fewer = found.clone();
        fewer.iter_mut().step_by(6).for_each(|f| f.detections.retain(|d| d.bbox.x > 100.0));
        let (first, second) = (ApSamples::of(&truth, &found, 2), ApSamples::of(&truth, &fewer, 2));
        let (one, other) = (first.ap().unwrap(), second.ap().unwrap());
        assert!(one.low < other.high, "{one} and {other} overlap");
        assert!(first.ap_above(&second).unwrap().low > 0.0);
        assert!(!first.ap_above(&first).unwrap().excludes_zero());
    }

    #[test]
    fn a_single_image_has_no_error() {
        let (truth, found) = judged(1, 1.0, 3);
        assert_eq!(ApSamples::of(&truth, &found, 2).ap(), None);
        let of_two = ApSamples::of(&judged(2, 1.0, 3).0, &judged(2, 1.0, 3).1, 2);
        assert_eq!(of_two.ap_above(&ApSamples::of(&truth, &found, 2)), None, "other images");
    }
}
