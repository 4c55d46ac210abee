//! A detector from a file: photos in, named boxes out.

use super::error::Result;
use crate::data::{Record, RgbImage, normalised, plain};
use crate::session::LoadedDetector;
use crate::train::detect;
use anyhow::anyhow;
use image::DynamicImage;
use std::path::Path;

/// Scores from which on an object counts as found, unless [`Detector::with_threshold`] says otherwise.
const THRESHOLD: f64 = 0.4;

/// A detector that is ready to run. It can be shared between threads.
///
/// ```no_run
/// let detector = fieldtune::Detector::open("best.onnx")?.with_threshold(0.5);
/// for found in detector.detect(&image::open("photo.jpg")?)? {
///     println!("{} {:.2} at {:?}", found.name, found.score, found.bbox);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Detector {
    loaded: LoadedDetector,
}

/// One object that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Position in [`Detector::class_names`].
    pub class: usize,
    /// The name of that class.
    pub name: String,
    /// In `[0, 1]`.
    pub score: f64,
    /// Its place.
    pub bbox: PixelBox,
}

/// A box in pixels of the photo, inside of it: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelBox {
    /// Left edge.
    pub x0: f64,
    /// Upper edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Lower edge.
    pub y1: f64,
}

impl Detector {
    /// Reads a detector, such as a run's `best.onnx`.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no detector that this crate can run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut loaded = LoadedDetector::open(path.as_ref(), None)?;
        let recommended = loaded.thresholds.as_ref().map(|(overall, _)| *overall);
        loaded.detector.score_threshold = recommended.unwrap_or(THRESHOLD);
        Ok(Self { loaded })
    }

    /// Finds objects from another score on, in `[0, 1]`; preset is the score of best F1 that the file
    /// names, or 0.4.
    #[must_use]
    pub fn with_threshold(mut self, score: f64) -> Self {
        self.loaded.detector.score_threshold = score;
        self
    }

    /// The classes' names, without the background.
    pub fn class_names(&self) -> &[String] {
        &self.loaded.class_names
    }

    /// Height and width of the network's input in pixels. Photos of any size are scaled to it.
    pub fn input_size(&self) -> [usize; 2] {
        self.loaded.size.dims()
    }

    /// The objects in a photo, highest score first. Alpha is dropped; grey becomes RGB.
    ///
    /// # Errors
    /// If the photo has no pixels.
    pub fn detect(&self, photo: &DynamicImage) -> Result<Vec<Found>> {
        let rgb = photo.to_rgb8();
        self.detect_rgb(rgb.width() as usize, rgb.height() as usize, rgb.as_raw())
    }

    /// The objects in an image of RGB bytes, row by row from the top left.
    ///
    /// # Errors
    /// If there are not `width · height · 3` bytes, or none.
    pub fn detect_rgb(&self, width: usize, height: usize, pixels: &[u8]) -> Result<Vec<Found>> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(3)).filter(|&n| n > 0);
        if expected != Some(pixels.len()) {
            let found = pixels.len();
            return Err(anyhow!("{width} x {height} pixels: found {found} bytes, expected 3 for each pixel").into());
        }
        let image = RgbImage { width, height, pixels: pixels.to_vec() };
        let record =
            Record { source: String::new(), source_size: [width as u32, height as u32], image, objects: Vec::new() };
        let loaded = &self.loaded;
        let input = normalised(plain(&record, loaded.size).image.pixels);
        let found = detect(&loaded.model, input, 1, loaded.size, &loaded.detector).pop().unwrap_or_default();
        let [width, height] = [width as f64, height as f64];
        let named = |d: crate::eval::Detection| Found {
            class: d.class,
            name: loaded.class_names[d.class].clone(),
            score: d.score,
            bbox: PixelBox {
                x0: d.bbox.x0 * width,
                y0: d.bbox.y0 * height,
                x1: d.bbox.x1 * width,
                y1: d.bbox.y1 * height,
            },
        };
        Ok(found.into_iter().map(named).collect())
    }
}
