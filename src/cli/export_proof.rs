//! The proof of an exported file: it is read again, run by an engine of its own, and compared with the network that it was
//! made from, on photos where there are some.

use crate::boxes::InputSize;
use crate::eval::{CocoMetrics, Detection, PostProcessor};
use crate::interchange::{Difference, FileAnswer, FoundRow, Outputs, WrittenFile, largest_difference};
use crate::session::{LoadedDetector, LoadedTflite, USUAL_DIFFERENCE, allowed_difference, terminal};
use crate::train::{Records, TrainError, evaluate, evaluate_by};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Of so many detections one may lack its counterpart: scores next to the threshold, and IoUs next to the bound of
/// suppression, fall to either side.
const ONE_LOST_IN: usize = 100;

/// A written file, loaded again.
pub enum ExportedFile {
    Onnx(WrittenFile),
    Tflite(Box<LoadedTflite>),
}

/// The exactness of a file's numbers: the network's own, or rounded to fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    Same,
    Rounded,
}

impl ExportedFile {
    fn engine(&self) -> &'static str {
        match self {
            Self::Onnx(_) => "tract",
            Self::Tflite(_) => "Fieldtune's interpreter",
        }
    }

    fn run(&self, pixels: &[u8]) -> Result<FileAnswer, TrainError> {
        match self {
            Self::Onnx(file) => Ok(file.run(pixels)?),
            Self::Tflite(file) => Ok(FileAnswer::Raw(file.interpreter.run(pixels))),
        }
    }
}

/// The comparison of one image, or of all together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Differences {
    images: usize,
    /// The most that rounding explains: of logits or scores, and of deltas or corners.
    allowed: Difference,
    /// Of logits, or of scores where the file decodes.
    scores: f64,
    /// Of deltas, or of corners in fractions of the image where the file decodes.
    boxes: f64,
    /// Detections that both sides have, where the file suppresses.
    matched: Option<usize>,
    /// Detections that one side has alone.
    lost: usize,
}

impl Differences {
    /// No image yet, or one that is to be compared.
    fn new(images: usize, allowed: Difference) -> Self {
        Self { images, allowed, scores: 0.0, boxes: 0.0, matched: None, lost: 0 }
    }

    fn add(&mut self, of_image: &Self) {
        self.images += of_image.images;
        self.allowed.logits = self.allowed.logits.max(of_image.allowed.logits);
        self.allowed.deltas = self.allowed.deltas.max(of_image.allowed.deltas);
        self.scores = self.scores.max(of_image.scores);
        self.boxes = self.boxes.max(of_image.boxes);
        if let Some(matched) = of_image.matched {
            *self.matched.get_or_insert(0) += matched;
        }
        self.lost += of_image.lost;
    }

    fn are_near(&self) -> bool {
        // Comparisons with NaN are false: a broken file does not pass.
        self.scores <= self.allowed.logits.into() && self.boxes <= self.allowed.deltas.into()
    }

    fn are_small(&self) -> bool {
        self.are_near() && self.lost * ONE_LOST_IN <= self.matched.unwrap_or(0)
    }

    fn text(&self, raw: bool, exactness: Exactness) -> String {
        let Self { scores, boxes, lost, .. } = self;
        if exactness == Exactness::Rounded {
            // 8-bit box encodings end where no detection's reach: the others are far off and mean nothing.
            return format!("logits differ by at most {scores:.1e}");
        }
        let [first, second] = if raw { ["logits", "box encodings"] } else { ["scores", "boxes"] };
        let numbers = format!("{first} differ by at most {scores:.1e}, {second} by {boxes:.1e}");
        match self.matched {
            Some(matched) => format!("{matched} detections, {numbers}; {lost} have no counterpart"),
            None => numbers,
        }
    }
}

/// Compares the file with the network, prints the differences, and AP of both where there are labelled photos.
///
/// # Errors
/// If a photo cannot be read, the file cannot be run, or it computes something else than the network.
pub fn prove(
    loaded: &LoadedDetector,
    written: &ExportedFile,
    size: InputSize,
    exactness: Exactness,
    validation: Option<&Records>,
    output: &Path,
) -> Result<()> {
    let anchors = loaded.model.specs().anchors(size.dims());
    let anchors = anchors.with_context(|| format!("{}: cannot place its anchors", output.display()))?;
    let detector = PostProcessor { anchors, ..loaded.detector.clone() };
    let (mut differences, mut ours) = (Differences::new(0, USUAL_DIFFERENCE), Vec::new());
    let mut raw = false;
    let mut find = |pixels: &[u8]| -> Result<Vec<Detection>, TrainError> {
        let image: Vec<f32> = pixels.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect();
        let predictions = loaded.model.forward(crate::ops::tensor(image.clone(), [1, size.height, size.width, 3]));
        let [logits, deltas] = [&predictions.logits, &predictions.deltas].map(|t| crate::ops::read(t, <[f32]>::to_vec));
        let network = Outputs { logits, deltas };
        let expected = detector.detect(&network.logits, &network.deltas);
        let answer = written.run(pixels)?;
        raw = matches!(answer, FileAnswer::Raw(_));
        let mut of_image = Differences::new(1, USUAL_DIFFERENCE);
        compare(&detector, &network, &expected, &answer, &mut of_image);
        if exactness == Exactness::Same && !(of_image.are_near() && of_image.lost == 0) {
            // The bound of this very network takes another pass through it.
            of_image = Differences::new(1, allowed_difference(&loaded.model, &image, 1, size, &predictions));
            compare(&detector, &network, &expected, &answer, &mut of_image);
        }
        differences.add(&of_image);
        ours.push(expected);
        Ok(detections(&detector, answer))
    };
    let Some(validation) = validation.filter(|records| !records.is_empty()) else {
        find(&all_colours(size))?;
        return tell(&differences, raw, "an image of all colours", written, exactness, output);
    };
    let file = evaluate_by(&mut find, validation, size, &loaded.class_names)?;
    let images = format!("{} photos of the validation split", differences.images);
    tell(&differences, raw, &images, written, exactness, output)?;
    if size != loaded.size {
        let trained = evaluate(&loaded.model, validation, loaded.size, &loaded.detector, &loaded.class_names)?;
        tell_ap("trained  ", &trained.metrics, loaded.size)?;
    }
    let mut ours = ours.into_iter();
    let mut next = |_: &[u8]| Ok(ours.next().unwrap_or_default());
    let trained = evaluate_by(&mut next, validation, size, &loaded.class_names)?;
    tell_ap("trained  ", &trained.metrics, size)?;
    tell_ap("this file", &file.metrics, size)
}

/// Compares the file's answer on one image with the network's.
fn compare(
    detector: &PostProcessor,
    network: &Outputs,
    expected: &[Detection],
    answer: &FileAnswer,
    differences: &mut Differences,
) {
    match answer {
        FileAnswer::Raw(file) => {
            differences.scores = largest(&file.logits, &network.logits);
            differences.boxes = largest(&file.deltas, &network.deltas);
        }
        FileAnswer::Decoded { scores, corners } => {
            let (own_scores, own_corners) = decoded(detector, network);
            differences.scores = largest(scores, &own_scores);
            let clipped = |corners: &[f32]| corners.iter().map(|c| c.clamp(0.0, 1.0)).collect::<Vec<_>>();
            differences.boxes = largest(&clipped(corners), &clipped(&own_corners));
        }
        FileAnswer::Rows(rows) => match_rows(expected, rows, differences),
    }
}

/// The file's detections of one image.
fn detections(detector: &PostProcessor, answer: FileAnswer) -> Vec<Detection> {
    match answer {
        FileAnswer::Raw(file) => detector.detect(&file.logits, &file.deltas),
        FileAnswer::Decoded { scores, corners } => detector.detect_decoded(&scores, &corners),
        FileAnswer::Rows(rows) => {
            let found = rows.into_iter().enumerate();
            found.map(|(i, r)| Detection { class: r.class, score: r.score.into(), bbox: r.bbox, anchor: i }).collect()
        }
    }
}

/// Scores `[A, K]` and corners `[A, 4]` of the network's own raw heads.
fn decoded(detector: &PostProcessor, network: &Outputs) -> (Vec<f32>, Vec<f32>) {
    let columns = network.logits.len() / detector.anchors.len().max(1);
    let mut row = vec![0.0; columns];
    let (mut scores, mut corners) = (Vec::new(), Vec::new());
    for logits in network.logits.chunks_exact(columns.max(1)) {
        detector.scores.scores(logits, &mut row);
        scores.extend(row.iter().map(|&s| s as f32));
    }
    for (anchor, deltas) in detector.anchors.centers().iter().zip(network.deltas.as_chunks::<4>().0) {
        let b = detector.coder.decode(anchor, deltas.map(f64::from));
        corners.extend([b.x0, b.y0, b.x1, b.y1].map(|v| v as f32));
    }
    (scores, corners)
}

/// Finds for each expected detection the file's of the same class and place.
fn match_rows(expected: &[Detection], rows: &[FoundRow], differences: &mut Differences) {
    let mut free: Vec<&FoundRow> = rows.iter().collect();
    let allowed = differences.allowed;
    let mut matched = 0;
    for e in expected {
        let distances = free.iter().enumerate().filter(|(_, r)| r.class == e.class).map(|(i, r)| {
            let pairs =
                [(r.bbox.x0, e.bbox.x0), (r.bbox.y0, e.bbox.y0), (r.bbox.x1, e.bbox.x1), (r.bbox.y1, e.bbox.y1)];
            let boxes = pairs.into_iter().fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
            (i, (f64::from(r.score) - e.score).abs(), boxes)
        });
        let nearest = distances.min_by(|a, b| (a.1 + a.2).total_cmp(&(b.1 + b.2)));
        let near = |n: &(usize, f64, f64)| n.1 <= allowed.logits.into() && n.2 <= allowed.deltas.into();
        let Some((i, score, boxes)) = nearest.filter(near) else { continue };
        free.swap_remove(i);
        matched += 1;
        differences.scores = differences.scores.max(score);
        differences.boxes = differences.boxes.max(boxes);
    }
    differences.lost += expected.len() - matched + free.len();
    differences.matched = Some(matched);
}

/// As [`largest_difference`], as a number that scores are compared by.
fn largest(a: &[f32], b: &[f32]) -> f64 {
    f64::from(largest_difference(a, b))
}

fn all_colours(size: InputSize) -> Vec<u8> {
    (0..size.numbers()).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect()
}

/// # Errors
/// If the file was to compute the same and does not.
fn tell(
    differences: &Differences,
    raw: bool,
    images: &str,
    written: &ExportedFile,
    exactness: Exactness,
    output: &Path,
) -> Result<()> {
    terminal::print_line(format_args!(
        "run by {} on {images}: {}",
        written.engine(),
        differences.text(raw, exactness)
    ))?;
    if exactness == Exactness::Same && !differences.are_small() {
        bail!("{}: the file computes something else than what was trained", output.display());
    }
    Ok(())
}

fn tell_ap(what: &str, metrics: &CocoMetrics, size: InputSize) -> Result<()> {
    let text = |ap: Option<f64>| ap.map_or("none".into(), |ap| format!("{ap:.3}"));
    terminal::print_line(format_args!("  {what} AP {}  AP50 {}  at {size}", text(metrics.ap), text(metrics.ap50)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::CornerBox;

    fn detection(class: usize, score: f64, left: f64) -> Detection {
        Detection { class, score, bbox: CornerBox::new(left, 0.2, left + 0.3, 0.6), anchor: 0 }
    }

    fn row(d: &Detection) -> FoundRow {
        FoundRow { class: d.class, score: d.score as f32, bbox: d.bbox }
    }

    #[test]
    fn rows_are_matched_by_class_and_place_in_any_order() {
        let expected = [detection(0, 0.9, 0.1), detection(1, 0.9, 0.1), detection(0, 0.5, 0.5)];
        let mut rows: Vec<FoundRow> = expected.iter().rev().map(row).collect();
        rows[0].score += 2e-4;
        let mut same = Differences::new(1, USUAL_DIFFERENCE);
        match_rows(&expected, &rows, &mut same);
        assert_eq!((same.matched, same.lost), (Some(3), 0));
        assert!(same.are_small() && same.scores > 1e-4 && same.boxes == 0.0);
        for change in
            [|r: &mut FoundRow| r.class = 7, |r: &mut FoundRow| r.score -= 0.1, |r: &mut FoundRow| r.bbox.x1 += 0.01]
        {
            let mut rows: Vec<FoundRow> = expected.iter().map(row).collect();
            change(&mut rows[1]);
            let mut other = Differences::new(1, USUAL_DIFFERENCE);
            match_rows(&expected, &rows, &mut other);
            assert_eq!((other.matched, other.lost), (Some(2), 2));
            assert!(!other.are_small());
        }
    }

    #[test]
    fn what_is_no_number_or_missing_is_not_small() {
        assert_eq!(largest(&[1.0, f32::NAN], &[1.0, f32::NAN]), f64::INFINITY);
        assert_eq!(largest(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        let whole = Differences::new(1, USUAL_DIFFERENCE);
        let broken = Differences { scores: f64::INFINITY, ..whole };
        assert!(!broken.are_small() && whole.are_small());
    }
}
