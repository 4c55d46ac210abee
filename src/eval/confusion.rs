//! The confusion matrix: which class each object was detected as.
//!
//! Detections above a score are taken by falling score; each takes the free object, of any class, that it overlaps
//! most, if the IoU reaches the threshold. So the class that the network is surest of is its answer for an object.

use super::{ImageDetections, ImageTruth, TruthBox};

/// Counts of (true class, predicted class); the last row and column stand for the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// `[C + 1, C + 1]` row-major, a row for each true class: `[c, C]` are objects of class c that were missed,
    /// `[C, c]` detections of class c where nothing is.
    pub counts: Vec<usize>,
    /// Classes C, background not counted.
    pub classes: usize,
}

impl Confusion {
    /// How often an object of class `truth` was detected as `predicted`; index C is the background.
    ///
    /// # Panics
    /// If an index is above C.
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        assert!(truth <= self.classes && predicted <= self.classes, "({truth}, {predicted}) of {}", self.classes);
        self.counts[truth * (self.classes + 1) + predicted]
    }
}

/// Confusion of `classes` classes, from detections of at least `score` that overlap by at least `iou`.
/// Crowds are no objects here, and a detection that lies half on one is not counted.
///
/// # Panics
/// If labels and detections are not of the same number of images, or a class is not below `classes`.
pub fn confusion(
    ground_truth: &[ImageTruth],
    detections: &[ImageDetections],
    classes: usize,
    iou: f64,
    score: f64,
) -> Confusion {
    assert_eq!(ground_truth.len(), detections.len(), "labels and detections of the same images");
    let side = classes + 1;
    let mut counts = vec![0; side * side];
    for (truth, found) in ground_truth.iter().zip(detections) {
        let (crowds, objects): (Vec<&TruthBox>, Vec<&TruthBox>) = truth.objects.iter().partition(|o| o.crowd);
        let mut ranked: Vec<_> = found.detections.iter().filter(|d| d.score >= score).collect();
        ranked.sort_by(|p, q| q.score.total_cmp(&p.score));
        let mut taken = vec![false; objects.len()];
        for detection in ranked {
            let overlaps = objects.iter().map(|o| detection.bbox.iou(&o.bbox)).enumerate();
            let able = overlaps.filter(|&(g, overlap)| !taken[g] && overlap >= iou);
            if let Some((g, _)) = able.max_by(|p, q| p.1.total_cmp(&q.1)) {
                taken[g] = true;
                counts[objects[g].class * side + detection.class] += 1;
            } else if !crowds.iter().any(|c| detection.bbox.intersection(&c.bbox) >= 0.5 * detection.bbox.area()) {
                counts[classes * side + detection.class] += 1;
            }
        }
        for (object, _) in objects.iter().zip(taken).filter(|(_, taken)| !taken) {
            counts[object.class * side + classes] += 1;
        }
    }
    Confusion { counts, classes }
}

#[cfg(test)]
mod tests {
    use super::super::{CocoBox, ScoredBox};
    use super::*;

    fn at(x: f64) -> CocoBox {
        CocoBox { x, y: 0.0, w: 10.0, h: 10.0 }
    }

    fn object(class: usize, x: f64, crowd: bool) -> TruthBox {
        TruthBox { class, bbox: at(x), area: 100.0, crowd, difficult: false }
    }

    #[test]
    fn hits_mixups_misses_and_phantoms_each_have_their_place() {
        let objects =
            vec![object(0, 0.0, false), object(0, 50.0, false), object(1, 100.0, false), object(1, 200.0, true)];
        let detections =
            [(0, 0.0, 0.9), (1, 1.0, 0.8), (1, 50.0, 0.7), (0, 300.0, 0.6), (0, 200.0, 0.6), (1, 100.0, 0.1)];
        let detections = detections.map(|(class, x, score)| ScoredBox { class, bbox: at(x), score });
        let truth = [ImageTruth { objects }];
        let found = [ImageDetections { detections: detections.to_vec() }];
        let matrix = confusion(&truth, &found, 2, 0.5, 0.25);
        assert_eq!(matrix.counts, [1, 1, 0, 0, 0, 1, 1, 1, 0]);
        assert_eq!(matrix.count(0, 1), 1);
        assert_eq!(matrix.count(1, 2), 1, "a detection below the score does not count");
    }
}
