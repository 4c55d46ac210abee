//! A detector that is ready to look at pictures of any size.

use super::lowest_score::{LowestScore, thresholds};
use crate::data::{Record, RgbImage, normalised, plain};
use crate::eval::{Detection, Suppression};
use crate::session::LoadedDetector;
use crate::train::detect;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Finder {
    loaded: LoadedDetector,
}

/// A picture that was looked at.
#[derive(Debug)]
pub struct SearchedPicture {
    /// Upright; of a very large photo, at a fraction of its size.
    pub image: RgbImage,
    /// Width and height of the upright picture in its own pixels.
    pub size: [u32; 2],
    /// Highest score first.
    pub detections: Vec<Detection>,
    /// Time of scaling, network and suppression.
    pub took: Duration,
}

impl Finder {
    /// Opens a detector: a file, a run folder, or the name of kept weights.
    ///
    /// # Errors
    /// If it is none, or a class is named that it does not have.
    pub fn open(model: &Path, names: Option<&str>, asked: &[LowestScore], suppression: Suppression) -> Result<Self> {
        let mut loaded = LoadedDetector::open(model, names)?;
        loaded.detector.class_thresholds = thresholds(&loaded, asked)?;
        loaded.detector.suppression = suppression;
        Ok(Self { loaded })
    }

    /// Without the background.
    pub fn class_names(&self) -> &[String] {
        &self.loaded.class_names
    }

    /// The lowest score of each class.
    pub fn thresholds(&self) -> &[f64] {
        &self.loaded.detector.class_thresholds
    }

    /// Height and width of the network's input.
    pub fn input_size(&self) -> [usize; 2] {
        self.loaded.size.dims()
    }

    /// Looks at a picture, which must have pixels; `size` is its width and height before any reduction.
    pub fn look(&self, image: RgbImage, size: [u32; 2]) -> SearchedPicture {
        let began = Instant::now();
        let record = Record { source: String::new(), source_size: size, image, objects: Vec::new() };
        let input = normalised(plain(&record, self.loaded.size).image.pixels);
        let found = detect(&self.loaded.model, input, 1, self.loaded.size, &self.loaded.detector).pop();
        SearchedPicture { image: record.image, size, detections: found.unwrap_or_default(), took: began.elapsed() }
    }

    /// A sighting as JSON: boxes are left, top, right, bottom in pixels of the picture.
    pub fn json(&self, file: &str, sighting: &SearchedPicture) -> Value {
        let [w, h] = sighting.size;
        let detections: Vec<Value> = sighting
            .detections
            .iter()
            .map(|d| {
                let (b, width, height) = (d.bbox, f64::from(w), f64::from(h));
                let corners = [b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height];
                json!({"class": self.loaded.class_names[d.class], "score": d.score, "box": corners})
            })
            .collect();
        let ms = (sighting.took.as_secs_f64() * 1e4).round() / 10.0;
        json!({"file": file, "width": w, "height": h, "ms": ms, "detections": detections})
    }
}
