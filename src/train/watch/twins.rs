//! Near-duplicates across splits: validation photos that look almost the same as a training photo, as frames of one video
//! or bursts of a camera do.
//!
//! Each photo becomes a small grey picture of mean 0 and length 1; two of them are near-duplicates if their correlation
//! is almost 1.

use crate::data::DataError;
use crate::data::resize::resize;
use crate::train::records::Records;

/// Side of the small pictures in pixels.
const SIDE: usize = 16;

/// Photos compared, at most, spread over each split.
const TRAINING: usize = 600;
const VALIDATION: usize = 150;

/// Correlation from which on two photos are near-duplicates. Other photos of like scenes stay below 0.95 (raccoons, boards
/// on one table, blood cells: at most 0.93, but for photos that are there twice).
const ALIKE: f32 = 0.97;

/// Validation photos that are near-duplicates of a training photo, scaled to all of them; `None` where nothing is held
/// back or both splits are one.
///
/// # Errors
/// If a record cannot be read.
pub fn twins(training: &Records, validation: &Records) -> Result<Option<u32>, DataError> {
    if validation.is_empty() || training.is_empty() {
        return Ok(None);
    }
    let known = pictures(training, TRAINING)?;
    let judged = pictures(validation, VALIDATION)?;
    let alike = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() >= ALIKE;
    let twins = judged.iter().filter(|own| known.iter().any(|other| alike(own, other))).count();
    Ok(Some((twins * validation.len() / judged.len().max(1)) as u32))
}

/// The small pictures of a split.
fn pictures(records: &Records, most: usize) -> Result<Vec<Vec<f32>>, DataError> {
    let count = most.min(records.len());
    (0..count)
        .map(|i| {
            let small = resize(&records.get(i * records.len() / count)?.image, SIDE, SIDE);
            Ok(picture(&small.pixels))
        })
        .collect()
}

/// Grey values of mean 0 and length 1; zeros for a plain picture, which resembles nothing.
fn picture(pixels: &[u8]) -> Vec<f32> {
    let grey: Vec<f32> = pixels.chunks_exact(3).map(|p| p.iter().map(|v| f32::from(*v)).sum()).collect();
    let mean = grey.iter().sum::<f32>() / grey.len().max(1) as f32;
    let length = grey.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt();
    let scale = if length > 1.0 { 1.0 / length } else { 0.0 };
    grey.iter().map(|v| (v - mean) * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Record, SceneOptions, scene};

    #[test]
    fn a_brighter_frame_of_the_same_scene_is_a_twin_and_another_scene_is_not() {
        let options = SceneOptions { size: 96, ..SceneOptions::default() };
        let scenes = |from: u64, n: u64| (from..from + n).map(|i| scene(i, &options)).collect::<Vec<Record>>();
        let training = scenes(0, 40);
        let mut frames: Vec<Record> = training[..6].to_vec();
        for frame in &mut frames {
            frame.image.pixels.iter_mut().for_each(|v| *v = (f32::from(*v) * 0.9 + 12.0) as u8);
        }
        frames.extend(scenes(1000, 14));
        let found = twins(&Records::in_memory(training), &Records::in_memory(frames)).unwrap();
        assert_eq!(found, Some(6));
        let plain = picture(&[7; SIDE * SIDE * 3]);
        assert!(plain.iter().all(|v| *v == 0.0));
    }
}
