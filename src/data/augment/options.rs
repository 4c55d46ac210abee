//! The operations of augmentation, and their probabilities.

use serde::{Deserialize, Serialize};

/// One way to crop, drawn with equal chance from [`AugmentOptions::crops`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Show everything.
    Whole,
    /// A random part whose IoU with at least one object that stays is not below this.
    MinIou(f64),
    /// A random part in which at least one object stays.
    Free,
}

/// The knobs of augmentation; the defaults are SSD's (Liu et al. 2016, section 2.2), with a gentler zoom-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentOptions {
    /// Probability of laying the photo on a larger canvas.
    pub zoom_out_probability: f64,
    /// Largest side of that canvas, in sides of the photo; at least 1.
    pub max_zoom_out: f64,
    /// Grey level of the canvas.
    pub fill: u8,
    /// Ways to crop; empty for none.
    pub crops: Vec<Crop>,
    /// Smallest side of a crop, in sides of what it is cut from; in (0, 1].
    pub min_crop: f64,
    /// Most elongated crop, width / height or height / width in pixels of the photo; at least 1.
    pub max_crop_aspect: f64,
    /// Probability of shifting all channels by up to `brightness` of 255.
    pub brightness_probability: f64,
    pub brightness: f64,
    /// Probability of scaling all channels, before or after the change of colour.
    pub contrast_probability: f64,
    pub contrast: [f64; 2],
    /// Probability that saturation and hue may change at all.
    pub color_probability: f64,
    pub saturation_probability: f64,
    pub saturation: [f64; 2],
    pub hue_probability: f64,
    /// Largest turn of the hue, in degrees of 360; at most 180.
    pub hue_degrees: f64,
    /// Probability of mirroring left and right.
    pub flip_horizontal: f64,
    /// Probability of mirroring top and bottom: for photos from above.
    pub flip_vertical: f64,
    /// Objects with a side shorter than this many pixels at the input size are dropped.
    pub min_object_px: f64,
}

impl Default for AugmentOptions {
    fn default() -> Self {
        Self {
            zoom_out_probability: 0.5,
            max_zoom_out: 3.0,
            fill: 127,
            crops: [Crop::Whole]
                .into_iter()
                .chain([0.1, 0.3, 0.5, 0.7, 0.9].map(Crop::MinIou))
                .chain([Crop::Free])
                .collect(),
            min_crop: 0.3,
            max_crop_aspect: 2.0,
            brightness_probability: 0.5,
            brightness: 32.0,
            contrast_probability: 0.5,
            contrast: [0.5, 1.5],
            color_probability: 0.75,
            saturation_probability: 0.5,
            saturation: [0.5, 1.5],
            hue_probability: 0.5,
            hue_degrees: 18.0,
            flip_horizontal: 0.5,
            flip_vertical: 0.0,
            min_object_px: 2.0,
        }
    }
}

impl AugmentOptions {
    /// Nothing is changed; only objects without a usable size are dropped.
    pub fn none() -> Self {
        Self {
            zoom_out_probability: 0.0,
            crops: Vec::new(),
            flip_horizontal: 0.0,
            flip_vertical: 0.0,
            ..Self::default().without_photometric()
        }
    }

    /// The error in the numbers, if there is one.
    ///
    /// # Errors
    /// A sentence naming the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: f64, least: f64, most: f64| match value {
            v if (least..=most).contains(&v) => Ok(()),
            v => Err(format!("{key} = {v}, expected {least} to {most}")),
        };
        for (key, probability) in [
            ("zoom_out_probability", self.zoom_out_probability),
            ("brightness_probability", self.brightness_probability),
            ("contrast_probability", self.contrast_probability),
            ("color_probability", self.color_probability),
            ("saturation_probability", self.saturation_probability),
            ("hue_probability", self.hue_probability),
            ("flip_horizontal", self.flip_horizontal),
            ("flip_vertical", self.flip_vertical),
        ] {
            within(key, probability, 0.0, 1.0)?;
        }
        within("max_zoom_out", self.max_zoom_out, 1.0, 16.0)?;
        within("min_crop", self.min_crop, 0.01, 1.0)?;
        within("max_crop_aspect", self.max_crop_aspect, 1.0, 16.0)?;
        within("brightness", self.brightness, 0.0, 255.0)?;
        within("hue_degrees", self.hue_degrees, 0.0, 180.0)?;
        within("min_object_px", self.min_object_px, 0.0, 1000.0)?;
        for (key, [least, most]) in [("contrast", self.contrast), ("saturation", self.saturation)] {
            if !(0.0 <= least && least <= most && most <= 10.0) {
                return Err(format!("{key} = [{least}, {most}], expected a smaller and a larger number from 0 to 10"));
            }
        }
        for crop in &self.crops {
            if let Crop::MinIou(iou) = *crop {
                within("crops: min-iou", iou, 0.0, 1.0)?;
            }
        }
        Ok(())
    }

    /// The same geometry in the photo's own colours.
    pub fn without_photometric(self) -> Self {
        Self { brightness_probability: 0.0, contrast_probability: 0.0, color_probability: 0.0, ..self }
    }
}
