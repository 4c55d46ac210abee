//! What augmentation may do, and how often.

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

    /// The same geometry in the photo's own colours.
    pub fn without_photometric(self) -> Self {
        Self { brightness_probability: 0.0, contrast_probability: 0.0, color_probability: 0.0, ..self }
    }
}
