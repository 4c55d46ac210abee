//! The gain of AP50 if one kind of mistake were mended, as an epoch's validation found it.

use super::plausible::{MOST_CLASSES, at_most, finite};
use serde::{Deserialize, Serialize};

/// Mix-ups kept: the most frequent.
pub const MIXUPS: usize = 5;

/// Objects of one class that were called another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassMixup {
    pub label: u32,
    pub answer: u32,
    pub count: u32,
    /// Objects of `label`.
    pub of: u32,
}

/// Gains in AP50, from 0 to 1; each is the most that mending can bring, and they do not add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Detections in place under another class's name.
    pub naming: f32,
    /// Detections of the right class, loosely around the object.
    pub placing: f32,
    /// Detections of nothing.
    pub phantoms: f32,
    /// Objects that no detection is about; and those of them that are smaller than a cell of the finest feature map.
    pub missed: f32,
    pub missed_small: f32,
    /// Small objects found and all of them; the same of the others.
    pub found_small: [u32; 2],
    pub found_others: [u32; 2],
    /// Most frequent first.
    pub mixups: Vec<ClassMixup>,
}

impl Shortfall {
    /// # Errors
    /// If a list is longer than any epoch's, or a number is none.
    pub fn check(&self) -> Result<(), String> {
        at_most("mixups", self.mixups.len(), MIXUPS)?;
        self.mixups.iter().try_for_each(|m| at_most("a class", m.label.max(m.answer), MOST_CLASSES as u32))?;
        finite("a gain", &[self.naming, self.placing, self.phantoms, self.missed, self.missed_small])
    }
}
