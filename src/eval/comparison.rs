//! The detections of one image beside its labels: which object each of them found.
//!
//! Detections are taken by falling score; each takes the free object of its class that it overlaps most, if the IoU is
//! 0.5 or more. Crowds are no objects, and a detection that lies half on one does not count.

use super::{ImageDetections, ImageTruth, TruthBox};

const IOU: f64 = 0.5;

/// A detection that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Its place among the image's detections.
    pub detection: usize,
    pub class: usize,
    pub score: f64,
    /// The object that it found, as a place among the image's labels.
    pub object: Option<usize>,
}

/// The detections of at least `score`, highest first.
pub fn compare(truth: &ImageTruth, found: &ImageDetections, score: f64) -> Vec<Compared> {
    let (crowds, objects): (Vec<_>, Vec<_>) = truth.objects.iter().enumerate().partition(|(_, o)| o.crowd);
    let mut ranked: Vec<_> = found.detections.iter().enumerate().filter(|(_, d)| d.score >= score).collect();
    ranked.sort_by(|p, q| q.1.score.total_cmp(&p.1.score));
    let mut taken = vec![false; truth.objects.len()];
    let mut compared = Vec::with_capacity(ranked.len());
    for (detection, d) in ranked {
        let overlap = |o: &TruthBox| if o.class == d.class { d.bbox.iou(&o.bbox) } else { 0.0 };
        let able = objects.iter().map(|&(i, o)| (i, overlap(o))).filter(|&(i, iou)| !taken[i] && iou >= IOU);
        let object = able.max_by(|p, q| p.1.total_cmp(&q.1)).map(|(i, _)| i);
        match object {
            Some(i) => taken[i] = true,
            None if crowds.iter().any(|(_, c)| d.bbox.intersection(&c.bbox) >= 0.5 * d.bbox.area()) => continue,
            None => {}
        }
        compared.push(Compared { detection, class: d.class, score: d.score, object });
    }
    compared
}
