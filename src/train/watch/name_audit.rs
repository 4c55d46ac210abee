//! Class-name audit before the first step: every labelled object is cut out of its photo, shown to the network alone,
//! and described by the output of late backbone blocks; [`crate::watchdog::Appearance`] compares descriptions and
//! labels.

use crate::boxes::CornerBox;
use crate::data::resize::{Rect, resize_into};
use crate::data::{DataError, Object, RgbImage, normalised};
use crate::model::SsdModel;
use crate::ops;
use crate::train::records::Records;
use crate::watchdog::{Appearance, FeatureRows};
use burn::tensor::Tensor;

/// Side of a cut-out in pixels. An object alone, at this size, says more of its class than its few cells of a map of
/// the whole photo do.
const SIDE: usize = 96;

/// Objects looked at, of the whole split and of one photo.
const OBJECTS: usize = 2000;
const PER_IMAGE: usize = 3;

/// Cut-outs shown at once: alone, a small one costs less than the weights' packing.
const AT_ONCE: usize = 16;

/// The constant among the features, small enough to be held back like the others.
const CONSTANT: f32 = 0.5;

/// Compares the labels of a split with what their objects look like; `None` where there is a single class, or too
/// little to compare.
///
/// # Errors
/// If a record cannot be read.
pub fn appearance(model: &SsdModel, training: &Records, classes: usize) -> Result<Option<Appearance>, DataError> {
    if classes < 2 || training.len() < Appearance::FEWEST {
        return Ok(None);
    }
    let tap = model.first_map_block();
    let blocks = [tap.saturating_sub(3), tap.saturating_sub(1), tap];
    let most = (OBJECTS / training.len()).clamp(1, PER_IMAGE);
    let (mut images, mut labels, mut sides) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts = vec![Vec::new(); blocks.len()];
    let mut waiting = Vec::new();
    let mut describe = |waiting: &mut Vec<u8>| {
        let count = waiting.len() / (SIDE * SIDE * 3);
        let shown = ops::tensor(normalised(std::mem::take(waiting)), [count, SIDE, SIDE, 3]);
        parts.iter_mut().zip(model.block_outputs(shown, &blocks)).for_each(|(part, out)| pool(&out, part));
    };
    for index in (0..training.len()).step_by(training.len().div_ceil(OBJECTS)) {
        let record = training.get(index)?;
        let objects: Vec<&Object> = record.objects.iter().filter(|o| !o.crowd).collect();
        for object in chosen(&objects, most) {
            let Some(cut) = cut_out(&record.image, &object.bbox) else { continue };
            waiting.extend(cut.pixels);
            if waiting.len() >= AT_ONCE * SIDE * SIDE * 3 {
                describe(&mut waiting);
            }
            sides.extend([object.bbox.width(), object.bbox.height()].map(|side| side.max(1e-3).ln() as f32));
            images.push(index as u32);
            labels.push(object.class);
        }
    }
    if !waiting.is_empty() {
        describe(&mut waiting);
    }
    if images.len() < Appearance::FEWEST {
        return Ok(None);
    }
    let weights = weights(&labels, classes);
    parts.push(shapes(sides, &weights));
    let features = joined(parts, &weights);
    let width = features.len() / images.len();
    let objects =
        FeatureRows { features: &features, width, groups: &images, labels: &labels, classes, weights: &weights };
    Ok(Some(Appearance::of(objects)))
}

/// A box's content, stretched to a square; `None` where no pixel is inside.
fn cut_out(photo: &RgbImage, bbox: &CornerBox) -> Option<RgbImage> {
    let bbox = bbox.clipped();
    let span = |from: f64, to: f64, len: usize| {
        let [first, end] = [from, to].map(|at| ((at * len as f64).round() as usize).min(len));
        (first, end.saturating_sub(first))
    };
    let ((x, width), (y, height)) = (span(bbox.x0, bbox.x1, photo.width), span(bbox.y0, bbox.y1, photo.height));
    let source = Rect { x, y, width, height };
    if source.area() == 0 {
        return None;
    }
    let mut square = RgbImage { width: SIDE, height: SIDE, pixels: vec![0; SIDE * SIDE * 3] };
    let whole = Rect::of(&square);
    resize_into(photo, source, &mut square, whole);
    Some(square)
}

/// Appends the mean and the maximum of every channel, image by image.
fn pool(map: &Tensor<4>, features: &mut Vec<f32>) {
    let [_, h, w, channels] = map.dims();
    ops::read(map, |map| {
        for image in map.chunks_exact(h * w * channels) {
            let (mut sums, mut largest) = (vec![0f32; channels], vec![f32::MIN; channels]);
            for place in image.chunks_exact(channels) {
                for ((v, sum), largest) in place.iter().zip(&mut sums).zip(&mut largest) {
                    *sum += v;
                    *largest = largest.max(*v);
                }
            }
            features.extend(sums.iter().map(|sum| sum / (h * w) as f32));
            features.extend(largest);
        }
    });
}

/// Up to `most` objects of one photo, of each class in turn, those of the rarest first.
fn chosen<'a>(objects: &[&'a Object], most: usize) -> Vec<&'a Object> {
    let count = |class: usize| objects.iter().filter(|o| o.class == class).count();
    let before = |i: usize| objects[..i].iter().filter(|o| o.class == objects[i].class).count();
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|&i| (before(i), count(objects[i].class), i));
    order.into_iter().take(most).map(|i| objects[i]).collect()
}

/// How much each object counts, 1 on average: inversely to the root of its class's share. Unweighted, a common class
/// claims what is hard to tell; in even parts, few wrong names are much of a rare class.
fn weights(labels: &[usize], classes: usize) -> Vec<f32> {
    let mut counts = vec![0f32; classes];
    labels.iter().for_each(|&label| counts[label] += 1.0);
    let weights: Vec<f32> = labels.iter().map(|&label| 1.0 / counts[label].sqrt()).collect();
    let mean = weights.iter().sum::<f32>() / labels.len() as f32;
    weights.into_iter().map(|w| w / mean).collect()
}

/// The features of a cut-out that stretching hides: logarithms of the sides `[n, 2]`, standardised, with their squares
/// and their product, `[n, 5]`.
fn shapes(mut sides: Vec<f32>, weights: &[f32]) -> Vec<f32> {
    standardise(&mut sides, weights);
    sides.chunks_exact(2).flat_map(|s| [s[0], s[1], s[0] * s[0], s[1] * s[1], s[0] * s[1]]).collect()
}

/// Every column around 0, with a deviation of 1.
fn standardise(part: &mut [f32], weights: &[f32]) {
    let (width, total) = (part.len() / weights.len(), weights.iter().map(|w| f64::from(*w)).sum::<f64>());
    let (mut sums, mut squares) = (vec![0f64; width], vec![0f64; width]);
    for (row, weight) in part.chunks_exact(width).zip(weights) {
        for ((v, sum), square) in row.iter().map(|v| f64::from(*v)).zip(&mut sums).zip(&mut squares) {
            *sum += f64::from(*weight) * v;
            *square += f64::from(*weight) * v * v;
        }
    }
    let columns = sums.iter().zip(&squares).map(|(sum, square)| {
        let mean = sum / total;
        (mean, (square / total - mean * mean).max(0.0).sqrt() + 1e-6)
    });
    let columns: Vec<(f64, f64)> = columns.collect();
    for row in part.chunks_exact_mut(width) {
        let standardised = row.iter_mut().zip(&columns);
        standardised.for_each(|(v, (mean, deviation))| *v = ((f64::from(*v) - mean) / deviation) as f32);
    }
}

/// Standardises all parts and joins them to rows in which each part weighs the same and whose mean square length is 1,
/// and a constant.
fn joined(mut parts: Vec<Vec<f32>>, weights: &[f32]) -> Vec<f32> {
    let rows = weights.len();
    let share = 1.0 / parts.len() as f32;
    for part in &mut parts {
        standardise(part, weights);
        let weight = (share * rows as f32 / part.len() as f32).sqrt();
        part.iter_mut().for_each(|v| *v *= weight);
    }
    parts.push(vec![CONSTANT; rows]);
    let row = |i: usize| parts.iter().flat_map(move |part| &part[i * part.len() / rows..(i + 1) * part.len() / rows]);
    (0..rows).flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: usize, x0: f64, y0: f64, x1: f64, y1: f64) -> Object {
        Object { class, bbox: CornerBox { x0, y0, x1, y1 }, difficult: false, crowd: false, area: None }
    }

    #[test]
    fn a_cut_out_holds_the_box_and_nothing_else() {
        let pixels = (0..20)
            .flat_map(|y| (0..40).flat_map(move |x| if (10..20).contains(&x) && y < 5 { [255; 3] } else { [0; 3] }));
        let photo = RgbImage { width: 40, height: 20, pixels: pixels.collect() };
        let inside = cut_out(&photo, &object(0, 0.25, -0.5, 0.5, 0.25).bbox).unwrap();
        assert!(inside.pixels.len() == SIDE * SIDE * 3 && inside.pixels.iter().all(|v| *v == 255));
        let beside = cut_out(&photo, &object(0, 0.5, 0.0, 1.7, 0.25).bbox).unwrap();
        assert!(beside.pixels.iter().all(|v| *v == 0));
        assert!(cut_out(&photo, &object(0, 0.251, 0.1, 0.252, 0.2).bbox).is_none(), "no pixel");
        assert!(cut_out(&photo, &object(0, 1.2, 0.1, 1.5, 0.2).bbox).is_none(), "outside");
    }

    #[test]
    fn each_class_of_a_photo_gets_its_turn() {
        let objects: Vec<Object> =
            [1, 1, 1, 0, 1, 2, 2].iter().map(|&class| object(class, 0.0, 0.0, 1.0, 1.0)).collect();
        let objects: Vec<&Object> = objects.iter().collect();
        let classes = |most| chosen(&objects, most).iter().map(|o| o.class).collect::<Vec<_>>();
        assert_eq!(classes(2), [0, 2]);
        assert_eq!(classes(4), [0, 2, 1, 2]);
        assert_eq!(classes(9).len(), 7);
    }

    #[test]
    fn features_are_standardised_and_weigh_the_same() {
        let weights = weights(&[0, 0, 0, 0, 1, 1], 2);
        assert!(
            (weights[4] / weights[0] - 2f32.sqrt()).abs() < 1e-6 && (weights.iter().sum::<f32>() - 6.0).abs() < 1e-5
        );
        let parts = vec![
            vec![1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 4.0, 5.0, 5.0, 5.0, 6.0, 5.0],
            vec![0.0, 100.0, 0.0, 0.0, 0.0, 0.0],
        ];
        let joined = joined(parts, &weights);
        let mean =
            |column: usize| joined.chunks_exact(4).zip(&weights).map(|(row, w)| row[column] * w / 6.0).sum::<f32>();
        let square = |column: usize| {
            joined.chunks_exact(4).zip(&weights).map(|(row, w)| row[column].powi(2) * w / 6.0).sum::<f32>()
        };
        assert!((0..3).all(|column| mean(column).abs() < 1e-5) && (mean(3) - CONSTANT).abs() < 1e-5, "{joined:?}");
        assert!((square(0) - 0.25).abs() < 1e-4 && square(1) == 0.0 && (square(2) - 0.5).abs() < 1e-4, "{joined:?}");
    }
}
