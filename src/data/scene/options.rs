//! The look of generated scenes.

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::shape::SceneShape;
use crate::data::draw::generator;

/// A set of generated scenes. The same options give the same pixels on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneOptions {
    /// Scenes in the set.
    pub images: usize,
    /// Width and height of a scene in pixels; at least 16.
    pub size: usize,
    /// The first of [`SceneOptions::ALL_CLASSES`] that occurs.
    pub first_class: usize,
    /// How many of them occur, from that one on.
    pub classes: usize,
    /// Most objects in one scene; at least 1.
    pub max_objects: usize,
    /// Longest side of the smallest objects, in pixels.
    pub min_object_px: usize,
    /// Longest side of the largest objects, as a share of the scene's.
    pub max_object: f64,
    /// Share of the set that is for validation: its last scenes.
    pub val_share: f64,
    pub seed: u64,
}

impl Default for SceneOptions {
    fn default() -> Self {
        Self {
            images: 400,
            size: 320,
            first_class: 0,
            classes: 5,
            max_objects: 8,
            min_object_px: 8,
            max_object: 0.7,
            val_share: 0.2,
            seed: 0,
        }
    }
}

impl SceneOptions {
    /// Every class there is.
    pub const ALL_CLASSES: [&str; SceneShape::ALL.len()] = [
        "disc",
        "square",
        "triangle",
        "ring",
        "star",
        "cross",
        "crescent",
        "arrow",
        "half-disc",
        "frame",
        "hexagon",
        "tee",
        "ell",
        "bow-tie",
        "pie",
        "zigzag",
    ];

    /// Names of the classes that occur.
    pub fn class_names(&self) -> &'static [&'static str] {
        static ALL: [&str; SceneShape::ALL.len()] = SceneOptions::ALL_CLASSES;
        let first = self.first_class();
        &ALL[first..][..self.classes.clamp(1, ALL.len() - first)]
    }

    /// The first class that occurs, whatever was asked for.
    pub(super) fn first_class(&self) -> usize {
        self.first_class.min(SceneShape::ALL.len() - 1)
    }

    /// The seed of one scene of the set, for [`super::scene`].
    pub fn seed_of(&self, index: usize) -> u64 {
        generator(self.seed, index as u64, 0).next_u64()
    }

    /// How many scenes, from the first on, are for training.
    pub fn training_images(&self) -> usize {
        let val = (self.images as f64 * self.val_share.clamp(0.0, 1.0)).round() as usize;
        self.images - val.min(self.images)
    }
}
