//! The kinds of mistakes a detector makes, each by how much AP at an IoU of 0.5 would rise if it were mended (after
//! Bolya et al. 2020, "TIDE: a general toolbox for identifying object detection errors").
//!
//! A detection that is wrong is, in this order: a *repetition* of an object that another one found; a *mix-up*, in
//! place but under another class's name; *loose*, of the right class but with an IoU between 0.1 and 0.5; else a
//! *phantom*. Objects that no detection is about are *missed*. To mend a mix-up or a loose detection makes it right
//! where the object was not found otherwise, and drops it else; a phantom is dropped; a missed object no longer counts.
//! Gains do not add up, and are the most that mending can bring.
//!
//! Crowds count neither way.

use super::{CocoBox, ImageDetections, ImageTruth};

/// IoU from which on a detection is in place, and from which on it is about an object at all.
const IN_PLACE: f64 = 0.5;
const NEAR: f64 = 0.1;

/// Points of the precision-recall curve that AP is the mean of.
const RECALLS: usize = 101;

/// Score from which on a detection counts as an answer, where answers are counted.
const ANSWER: f64 = 0.25;

/// Detections of a class in an image, at most, as COCO has it.
const MOST: usize = 100;

/// Objects of one class that were called another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixup {
    pub label: usize,
    pub answer: usize,
    pub count: usize,
    /// Objects of `label`.
    pub of: usize,
}

/// The gain of AP50 if one kind of mistake were mended, and how often classes are mixed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mistakes {
    pub naming: f64,
    pub placing: f64,
    pub phantoms: f64,
    pub missed: f64,
    /// If small objects that are missed no longer counted.
    pub missed_small: f64,
    /// Small objects that were found by a detection of some score, and all small ones; then the same of the others.
    pub found_small: [usize; 2],
    pub found_others: [usize; 2],
    /// Most frequent first.
    pub mixups: Vec<Mixup>,
}

/// The fate of a detection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DetectionFate {
    Right(usize),
    Repeated,
    Named(usize),
    Loose(usize),
    Phantom,
}

/// A detection with its fate; the place of an object is counted over all images.
struct JudgedDetection {
    class: usize,
    score: f64,
    fate: DetectionFate,
}

/// All detections and objects of a split.
struct Marked {
    /// By falling score.
    marks: Vec<JudgedDetection>,
    /// Class of every object, crowds left out, and whether it is small.
    objects: Vec<(usize, bool)>,
    classes: usize,
}

/// The mistakes on images of which `truth` and `detections` are given; `small` says of every object whether it is
/// small.
///
/// # Panics
/// If the slices differ in length, or a class is not below `classes`.
pub fn mistakes(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize, small: &[Vec<bool>]) -> Mistakes {
    assert!(truth.len() == detections.len() && truth.len() == small.len(), "labels and detections of the same images");
    let marked = Marked::of(truth, detections, classes, small);
    let nothing: fn(DetectionFate) -> bool = |_| false;
    let gain = |mended: fn(DetectionFate) -> bool, forgiven: &dyn Fn(bool) -> bool| {
        let now = marked.ap(nothing, &|_| false)?;
        Some((marked.ap(mended, forgiven)? - now).max(0.0))
    };
    let mended = |mended: fn(DetectionFate) -> bool| gain(mended, &|_| false).unwrap_or(0.0);
    Mistakes {
        naming: mended(|fate| matches!(fate, DetectionFate::Named(_))),
        placing: mended(|fate| matches!(fate, DetectionFate::Loose(_))),
        phantoms: mended(|fate| fate == DetectionFate::Phantom),
        missed: gain(nothing, &|_| true).unwrap_or(0.0),
        missed_small: gain(nothing, &|small| small).unwrap_or(0.0),
        found_small: marked.found(true),
        found_others: marked.found(false),
        mixups: mixups(truth, detections, classes),
    }
}

impl Marked {
    fn of(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize, small: &[Vec<bool>]) -> Self {
        let (mut marks, mut objects) = (Vec::new(), Vec::new());
        for ((truth, found), small) in truth.iter().zip(detections).zip(small) {
            let first = objects.len();
            let own: Vec<(usize, CocoBox)> =
                truth.objects.iter().filter(|o| !o.crowd).map(|o| (o.class, o.bbox)).collect();
            let kept = truth.objects.iter().zip(small).filter(|(o, _)| !o.crowd);
            objects.extend(kept.map(|(o, small)| (o.class, *small)));
            let crowded = |class: usize, b: &CocoBox| {
                let crowds = truth.objects.iter().filter(|o| o.crowd && o.class == class);
                crowds.into_iter().any(|o| o.bbox.intersection(b) >= IN_PLACE * b.area())
            };
            let mut ranked: Vec<_> = found.detections.iter().collect();
            ranked.sort_by(|p, q| q.score.total_cmp(&p.score));
            let (mut taken, mut seen) = (vec![false; own.len()], vec![0usize; classes]);
            for detection in ranked {
                seen[detection.class] += 1;
                if seen[detection.class] > MOST || crowded(detection.class, &detection.bbox) {
                    continue;
                }
                let fate = fate(&own, &mut taken, detection.class, &detection.bbox);
                let placed = match fate {
                    DetectionFate::Right(g) => DetectionFate::Right(first + g),
                    DetectionFate::Named(g) => DetectionFate::Named(first + g),
                    DetectionFate::Loose(g) => DetectionFate::Loose(first + g),
                    other => other,
                };
                marks.push(JudgedDetection { class: detection.class, score: detection.score, fate: placed });
            }
        }
        marks.sort_by(|p, q| q.score.total_cmp(&p.score));
        Self { marks, objects, classes }
    }

    /// The objects that some detection finds.
    fn taken(&self) -> Vec<bool> {
        let mut taken = vec![false; self.objects.len()];
        for mark in &self.marks {
            if let DetectionFate::Right(g) = mark.fate {
                taken[g] = true;
            }
        }
        taken
    }

    /// AP50 with fates mended, and with objects forgiven that no detection is about; `forgiven` is asked whether an
    /// object is small. `None` without objects.
    fn ap(&self, mended: fn(DetectionFate) -> bool, forgiven: &dyn Fn(bool) -> bool) -> Option<f64> {
        let mut taken = self.taken();
        let mut about = taken.clone();
        let mut ranked: Vec<Vec<bool>> = vec![Vec::new(); self.classes];
        for mark in &self.marks {
            if let DetectionFate::Named(g) | DetectionFate::Loose(g) = mark.fate {
                about[g] = true;
            }
            match mark.fate {
                DetectionFate::Right(_) => ranked[mark.class].push(true),
                fate if !mended(fate) => ranked[mark.class].push(false),
                DetectionFate::Named(g) | DetectionFate::Loose(g) if !std::mem::replace(&mut taken[g], true) => {
                    ranked[self.objects[g].0].push(true);
                }
                _ => {}
            }
        }
        let mut counts = vec![[0usize; 2]; self.classes];
        for ((class, small), about) in self.objects.iter().zip(about) {
            counts[*class][0] += 1;
            counts[*class][1] += usize::from(about || !forgiven(*small));
        }
        let of_class = |(ranked, [all, counted]): (&Vec<bool>, &[usize; 2])| match (*all, *counted) {
            (0, _) => None,
            // Nothing is left to be found.
            (_, 0) => Some(1.0),
            (_, counted) => Some(average_precision(ranked, counted)),
        };
        let all: Vec<f64> = ranked.iter().zip(&counts).filter_map(of_class).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }

    /// Objects found by an answer, and all, of those that are small or not.
    fn found(&self, small: bool) -> [usize; 2] {
        let mut found = vec![false; self.objects.len()];
        for mark in self.marks.iter().filter(|m| m.score >= ANSWER) {
            if let DetectionFate::Right(g) = mark.fate {
                found[g] = true;
            }
        }
        let own = self.objects.iter().zip(found).filter(|((_, is_small), _)| *is_small == small);
        own.fold([0, 0], |[found, all], (_, is_found)| [found + usize::from(is_found), all + 1])
    }
}

/// The fate of a detection, and the object that it takes.
fn fate(objects: &[(usize, CocoBox)], taken: &mut [bool], class: usize, bbox: &CocoBox) -> DetectionFate {
    let best = |able: &dyn Fn(usize, &(usize, CocoBox)) -> bool, least: f64| {
        let overlaps = objects.iter().enumerate().filter(|(g, o)| able(*g, o)).map(|(g, o)| (g, o.1.iou(bbox)));
        overlaps.filter(|(_, iou)| *iou >= least).max_by(|p, q| p.1.total_cmp(&q.1)).map(|(g, _)| g)
    };
    if let Some(g) = best(&|g, o| o.0 == class && !taken[g], IN_PLACE) {
        taken[g] = true;
        return DetectionFate::Right(g);
    }
    if best(&|_, o| o.0 == class, IN_PLACE).is_some() {
        return DetectionFate::Repeated;
    }
    let other = best(&|_, o| o.0 != class, IN_PLACE).map(DetectionFate::Named);
    other.or_else(|| best(&|_, o| o.0 == class, NEAR).map(DetectionFate::Loose)).unwrap_or(DetectionFate::Phantom)
}

/// The area under the precision-recall curve of detections by falling score, each right or not, as COCO takes it.
fn average_precision(ranked: &[bool], objects: usize) -> f64 {
    let (mut right, mut steps) = (0usize, Vec::new());
    for (i, is_right) in ranked.iter().enumerate() {
        right += usize::from(*is_right);
        steps.push((right as f64 / objects as f64, right as f64 / (i + 1) as f64));
    }
    for i in (1..steps.len()).rev() {
        steps[i - 1].1 = steps[i - 1].1.max(steps[i].1);
    }
    let at = |i: usize| steps.get(steps.partition_point(|s| s.0 < i as f64 * 0.01)).map_or(0.0, |s| s.1);
    (0..RECALLS).map(at).sum::<f64>() / RECALLS as f64
}

/// Of every object, the answer of the surest detection in its place; those of another class, counted.
fn mixups(truth: &[ImageTruth], detections: &[ImageDetections], classes: usize) -> Vec<Mixup> {
    let (mut counts, mut objects) = (vec![0usize; classes * classes], vec![0usize; classes]);
    for (truth, found) in truth.iter().zip(detections) {
        for object in truth.objects.iter().filter(|o| !o.crowd) {
            objects[object.class] += 1;
            let in_place = |d: &&super::ScoredBox| d.score >= ANSWER && d.bbox.iou(&object.bbox) >= IN_PLACE;
            let surest = found.detections.iter().filter(in_place).max_by(|p, q| p.score.total_cmp(&q.score));
            if let Some(answer) = surest.filter(|d| d.class != object.class) {
                counts[object.class * classes + answer.class] += 1;
            }
        }
    }
    let pair = |(at, count): (usize, usize)| {
        let (label, answer) = (at / classes, at % classes);
        Mixup { label, answer, count, of: objects[label] }
    };
    let mut all: Vec<Mixup> = counts.into_iter().enumerate().filter(|(_, n)| *n > 0).map(pair).collect();
    all.sort_by(|p, q| q.count.cmp(&p.count).then(p.label.cmp(&q.label)).then(p.answer.cmp(&q.answer)));
    all
}

#[cfg(test)]
mod tests {
    use super::super::{ScoredBox, TruthBox, coco_eval};
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    fn object(class: usize, x: f64) -> TruthBox {
        let bbox = CocoBox { x, y: 0.0, w: 10.0, h: 10.0 };
        TruthBox { class, bbox, area: 100.0, crowd: false, difficult: false }
    }

    fn detection(class: usize, x: f64, score: f64) -> ScoredBox {
        ScoredBox { class, bbox: CocoBox { x, y: 0.0, w: 10.0, h: 10.0 }, score }
    }

    fn of(objects: &[TruthBox], detections: &[ScoredBox], small: &[bool]) -> Mistakes {
        let truth = [ImageTruth { objects: objects.to_vec() }];
        mistakes(&truth, &[ImageDetections { detections: detections.to_vec() }], 2, &[small.to_vec()])
    }

    #[test]
    fn each_kind_of_mistake_has_its_gain() {
        let objects = [object(0, 0.0), object(0, 100.0), object(1, 200.0)];
        let right = [detection(0, 0.0, 0.9), detection(0, 100.0, 0.8), detection(1, 200.0, 0.7)];
        let none = of(&objects, &right, &[false; 3]);
        assert_eq!((none.naming, none.placing, none.phantoms, none.missed), (0.0, 0.0, 0.0, 0.0));
        // The second object is called the other class: half of class 0 is not found, and class 1 has a wrong one first.
        let mixed = of(&objects, &[right[0], detection(1, 100.0, 0.8), right[2]], &[false; 3]);
        let was = (51.0 / 101.0 + 0.5) / 2.0;
        assert!((mixed.naming - (1.0 - was)).abs() < 1e-9, "{mixed:?}");
        assert_eq!(mixed.mixups, [Mixup { label: 0, answer: 1, count: 1, of: 2 }]);
        assert!(mixed.placing == 0.0 && mixed.missed == 0.0, "{mixed:?}");
        let loose = of(&objects, &[right[0], detection(0, 106.0, 0.8), right[2]], &[false; 3]);
        assert!(loose.placing > 0.2 && loose.naming == 0.0 && loose.missed == 0.0, "{loose:?}");
        let phantom = of(&objects, &[right[0], right[1], right[2], detection(1, 300.0, 0.95)], &[false; 3]);
        assert!(phantom.phantoms > 0.2 && phantom.missed == 0.0, "{phantom:?}");
        let missed = of(&objects, &right[1..], &[true, false, false]);
        assert!(missed.missed > 0.2 && missed.missed == missed.missed_small, "{missed:?}");
        assert_eq!((missed.found_small, missed.found_others), ([0, 1], [2, 2]));
        assert_eq!(of(&objects, &right[1..], &[false; 3]).missed_small, 0.0);
    }

    #[test]
    fn ap_before_mending_is_that_of_coco() {
        let mut rng = Pcg64Mcg::seed_from_u64(4);
        for _ in 0..20 {
            let mut one = || {
                let objects = (0..4).map(|i| object(rng.random_range(0..3), 100.0 * f64::from(i))).collect::<Vec<_>>();
                let off = |rng: &mut Pcg64Mcg| 100.0 * f64::from(rng.random_range(0..5)) + rng.random_range(0.0..8.0);
                let found = (0..9).map(|_| {
                    let (class, x) = (rng.random_range(0..3), off(&mut rng));
                    detection(class, x, rng.random_range(0.0..1.0))
                });
                let detections = found.collect();
                (ImageTruth { objects }, ImageDetections { detections })
            };
            let (truth, found): (Vec<_>, Vec<_>) = (0..8).map(|_| one()).unzip();
            let small: Vec<Vec<bool>> = truth.iter().map(|t| vec![false; t.objects.len()]).collect();
            let marked = Marked::of(&truth, &found, 3, &small);
            let names = ["a".to_string(), "b".to_string(), "c".to_string()];
            let expected = coco_eval(&truth, &found, &names).ap50.unwrap();
            let ap = marked.ap(|_| false, &|_| false).unwrap();
            assert!((ap - expected).abs() < 1e-9, "{ap} and {expected}");
        }
    }
}
