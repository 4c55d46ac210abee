//! PASCAL VOC average precision.
//!
//! Detections of a class are taken by falling score over all images. Each looks at the object of its class that it
//! overlaps most; where the IoU reaches the threshold and the object is not taken, it is right; a second detection of
//! one object is wrong; one of a *difficult* object counts neither way. Crowds are treated as difficult.
//!
//! Boxes are continuous here, so the devkit's `+ 1` for inclusive pixel numbers is deliberately absent.
//! Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2007 and 2010 development kits.

use super::{ImageDetections, ImageTruth, ScoredBox, TruthBox};

/// How the area under the precision-recall curve is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocRule {
    /// VOC 2007: the mean of the best precision at recall of at least 0, 0.1 .. 1.
    ElevenPoints,
    /// VOC 2010 on: the exact area under the curve made to fall.
    Area,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VocAp {
    /// Over the classes that have objects; `None` if there are none.
    pub mean: Option<f64>,
    /// In class order; `None` for a class without objects that count.
    pub classes: Vec<Option<f64>>,
}

/// Average precision of `classes` classes at one IoU threshold (VOC's is 0.5).
///
/// # Panics
/// If labels and detections are not of the same number of images.
pub fn voc_ap(
    ground_truth: &[ImageTruth],
    detections: &[ImageDetections],
    classes: usize,
    iou_threshold: f64,
    rule: VocRule,
) -> VocAp {
    assert_eq!(ground_truth.len(), detections.len(), "labels and detections of the same images");
    let classes: Vec<Option<f64>> = (0..classes)
        .map(|class| {
            let curve = curve(ground_truth, detections, class, iou_threshold)?;
            Some(match rule {
                VocRule::ElevenPoints => eleven_points(&curve),
                VocRule::Area => area(&curve),
            })
        })
        .collect();
    let known: Vec<f64> = classes.iter().flatten().copied().collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    VocAp { mean, classes }
}

fn counts(object: &TruthBox) -> bool {
    !object.difficult && !object.crowd
}

/// (recall, precision) after each detection that counts; `None` without objects that count.
fn curve(truth: &[ImageTruth], found: &[ImageDetections], class: usize, threshold: f64) -> Option<Vec<(f64, f64)>> {
    let objects: Vec<Vec<&TruthBox>> =
        truth.iter().map(|image| image.objects.iter().filter(|o| o.class == class).collect()).collect();
    let total = objects.iter().flatten().filter(|o| counts(o)).count();
    if total == 0 {
        return None;
    }
    let mut ranked: Vec<(usize, &ScoredBox)> = Vec::new();
    for (image, found) in found.iter().enumerate() {
        ranked.extend(found.detections.iter().filter(|d| d.class == class).map(|d| (image, d)));
    }
    ranked.sort_by(|(_, p), (_, q)| q.score.total_cmp(&p.score));

    let mut taken: Vec<Vec<bool>> = objects.iter().map(|o| vec![false; o.len()]).collect();
    let (mut right, mut wrong) = (0.0, 0.0);
    let mut curve = Vec::with_capacity(ranked.len());
    for (image, detection) in ranked {
        let mut best = (0.0, None);
        for (g, object) in objects[image].iter().enumerate() {
            let iou = detection.bbox.iou(&object.bbox);
            if iou > best.0 {
                best = (iou, Some(g));
            }
        }
        match best {
            (iou, Some(g)) if iou >= threshold => {
                if !counts(objects[image][g]) {
                    continue;
                }
                if std::mem::replace(&mut taken[image][g], true) {
                    wrong += 1.0;
                } else {
                    right += 1.0;
                }
            }
            _ => wrong += 1.0,
        }
        curve.push((right / total as f64, right / (right + wrong)));
    }
    Some(curve)
}

fn eleven_points(curve: &[(f64, f64)]) -> f64 {
    let best_from = |recall: f64| curve.iter().filter(|p| p.0 >= recall).map(|p| p.1).fold(0.0, f64::max);
    (0..=10).map(|i| best_from(f64::from(i) / 10.0)).sum::<f64>() / 11.0
}

fn area(curve: &[(f64, f64)]) -> f64 {
    let (mut sum, mut best) = (0.0, 0.0f64);
    for i in (0..curve.len()).rev() {
        best = best.max(curve[i].1);
        let before = if i == 0 { 0.0 } else { curve[i - 1].0 };
        sum += (curve[i].0 - before) * best;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::CocoBox;
    use super::*;

    fn object(x: f64, difficult: bool) -> TruthBox {
        let bbox = CocoBox { x, y: 0.0, w: 10.0, h: 10.0 };
        TruthBox { class: 0, bbox, area: bbox.area(), crowd: false, difficult }
    }

    fn detection(x: f64, score: f64) -> ScoredBox {
        ScoredBox { class: 0, bbox: CocoBox { x, y: 0.0, w: 10.0, h: 10.0 }, score }
    }

    fn ap(objects: &[TruthBox], detections: &[ScoredBox], rule: VocRule) -> Option<f64> {
        let truth = [ImageTruth { objects: objects.to_vec() }];
        let found = [ImageDetections { detections: detections.to_vec() }];
        voc_ap(&truth, &found, 1, 0.5, rule).mean
    }

    #[test]
    fn both_rules_on_a_curve_worked_out_by_hand() {
        // Right, wrong, right of four objects: (1/4, 1), (1/4, 1/2), (1/2, 2/3).
        let objects = [0.0, 100.0, 200.0, 300.0].map(|x| object(x, false));
        let found = [detection(0.0, 0.9), detection(500.0, 0.8), detection(100.0, 0.7)];
        let area = ap(&objects, &found, VocRule::Area).expect("objects");
        assert!((area - (0.25 + 0.25 * 2.0 / 3.0)).abs() < 1e-12);
        let eleven = ap(&objects, &found, VocRule::ElevenPoints).expect("objects");
        assert!((eleven - (3.0 + 3.0 * 2.0 / 3.0) / 11.0).abs() < 1e-12);
    }

    #[test]
    fn a_second_detection_of_an_object_is_wrong() {
        let found = [detection(0.0, 0.9), detection(1.0, 0.8), detection(100.0, 0.7)];
        let area = ap(&[object(0.0, false), object(100.0, false)], &found, VocRule::Area).expect("objects");
        assert!((area - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn difficult_objects_count_neither_way() {
        let objects = [object(0.0, true), object(100.0, false)];
        let found = [detection(0.0, 0.9), detection(1.0, 0.8), detection(100.0, 0.7)];
        assert_eq!(ap(&objects, &found, VocRule::Area), Some(1.0));
        assert_eq!(ap(&objects[..1], &found, VocRule::Area), None);
    }

    #[test]
    fn no_detections_is_zero() {
        assert_eq!(ap(&[object(0.0, false)], &[], VocRule::Area), Some(0.0));
        assert_eq!(ap(&[object(0.0, false)], &[], VocRule::ElevenPoints), Some(0.0));
    }
}
