//! A report's part about a validation: threshold, curves over the score, confusion, best and worst photos.

use super::confusion_rows::confusion_rows;
use crate::boxes::CornerBox;
use crate::eval::{CocoBox, Compared, ImageDetections, ImageTruth, compare, confusion, score_curves};
use crate::report::page::{BestFigures, BoxMark, BoxedPhoto, ExamplePhoto, MarkedBox};
use crate::train::{Evaluation, Records, TrainError};
use std::collections::HashSet;

/// The score where the validation recommends none.
pub const USUAL_SCORE: f64 = 0.4;
pub const IOU: f64 = 0.5;

/// Best and as many worst photos, and the longer side of their pictures in pixels.
const EXAMPLES: usize = 6;
const SIDE: usize = 480;

/// How well an image did.
#[derive(Clone, Copy)]
struct Merit {
    image: usize,
    hits: usize,
    wrong: usize,
}

impl Merit {
    /// F1 of the image.
    fn quality(&self) -> f64 {
        2.0 * self.hits as f64 / (2 * self.hits + self.wrong).max(1) as f64
    }
}

/// The report of the validation after `epoch`, on `records`.
///
/// # Errors
/// If a record cannot be read.
pub fn judge(
    epoch: u64,
    evaluation: &Evaluation,
    names: &[String],
    records: &Records,
) -> Result<BestFigures, TrainError> {
    let (truth, found) = (&evaluation.truth, &evaluation.detections);
    let threshold = evaluation.thresholds().overall;
    let score = threshold.map_or(USUAL_SCORE, |t| t.score);
    let rows = confusion_rows(truth, found, names);
    let matrix = confusion(&rows.truth, &rows.detections, rows.names.len(), IOU, score);
    let merits: Vec<Merit> = truth.iter().zip(found).enumerate().map(|(i, (t, d))| merit(i, t, d, score)).collect();
    let example = |merit: &Merit| -> Result<Option<ExamplePhoto>, TrainError> {
        let record = records.get(merit.image)?;
        let (truth, found) = (&truth[merit.image], &found[merit.image]);
        let Some(photo) = BoxedPhoto::new(&record.image, SIDE, record.source, Vec::new()) else { return Ok(None) };
        Ok(Some(marked(photo, truth, found, score, names, record.source_size)))
    };
    let examples = |chosen: Vec<Merit>| -> Result<Vec<ExamplePhoto>, TrainError> {
        chosen.iter().filter_map(|m| example(m).transpose()).collect()
    };
    let [best, worst] = extremes(merits).map(examples);
    Ok(BestFigures {
        epoch,
        images: truth.len(),
        objects: truth.iter().flat_map(|t| &t.objects).filter(|o| !o.crowd).count(),
        threshold,
        scores: score_curves(truth, found, &[]).swap_remove(0),
        rows: rows.names,
        confusion: Some(matrix),
        score,
        best: best?,
        worst: worst?,
    })
}

fn merit(image: usize, truth: &ImageTruth, found: &ImageDetections, score: f64) -> Merit {
    let compared = compare(truth, found, score);
    let hits = compared.iter().filter(|c| c.object.is_some()).count();
    let objects = truth.objects.iter().filter(|o| !o.crowd).count();
    Merit { image, hits, wrong: objects - hits + compared.len() - hits }
}

/// The best images, those with most hits first, and the worst, those with most errors first. None is both.
fn extremes(mut merits: Vec<Merit>) -> [Vec<Merit>; 2] {
    merits.sort_by(|a, b| {
        b.quality()
            .total_cmp(&a.quality())
            .then(b.hits.cmp(&a.hits))
            .then(a.wrong.cmp(&b.wrong))
            .then(a.image.cmp(&b.image))
    });
    let best: Vec<Merit> = merits.iter().filter(|m| m.hits > 0).take(EXAMPLES).copied().collect();
    let taken: HashSet<usize> = best.iter().map(|m| m.image).collect();
    let worst = merits.iter().rev().filter(|m| m.wrong > 0 && !taken.contains(&m.image)).take(EXAMPLES);
    let worst = worst.copied().collect();
    [best, worst]
}

/// The photo with hits and misses among its labels, and with hits and false alarms among its detections.
fn marked(
    mut photo: BoxedPhoto,
    truth: &ImageTruth,
    found: &ImageDetections,
    score: f64,
    names: &[String],
    size: [u32; 2],
) -> ExamplePhoto {
    let compared = compare(truth, found, score);
    let hit: HashSet<usize> = compared.iter().filter_map(|c| c.object).collect();
    let name = |class: usize| names.get(class).map_or("", String::as_str);
    let labels = truth.objects.iter().enumerate().filter(|(_, o)| !o.crowd).map(|(i, o)| MarkedBox {
        bbox: fractions(&o.bbox, size),
        mark: if hit.contains(&i) { BoxMark::Hit } else { BoxMark::Miss },
        label: name(o.class).to_string(),
    });
    photo.boxes = labels.collect();
    // The surest is drawn last, above the others.
    let detections = compared.iter().rev().map(|c: &Compared| MarkedBox {
        bbox: fractions(&found.detections[c.detection].bbox, size),
        mark: if c.object.is_some() { BoxMark::Hit } else { BoxMark::FalseAlarm },
        label: format!("{} {:.2}", name(c.class), c.score),
    });
    ExamplePhoto { detections: detections.collect(), photo }
}

fn fractions(b: &CocoBox, [width, height]: [u32; 2]) -> CornerBox {
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    CornerBox::new(b.x / w, b.y / h, (b.x + b.w) / w, (b.y + b.h) / h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_and_worst_differ_and_each_shows_what_it_is() {
        let merit = |image, hits, wrong| Merit { image, hits, wrong };
        let [best, worst] =
            extremes(vec![merit(0, 3, 0), merit(1, 0, 9), merit(2, 1, 0), merit(3, 2, 2), merit(4, 0, 0)]);
        let images = |merits: Vec<Merit>| merits.iter().map(|m| m.image).collect::<Vec<_>>();
        // All with hits are among the best few here; of the others only one has an error.
        assert_eq!((images(best), images(worst)), (vec![0, 2, 3], vec![1]));
    }
}
