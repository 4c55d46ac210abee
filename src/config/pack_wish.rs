//! The way in which the photos of a run are to be packed.

use serde::{Deserialize, Serialize};

/// The choice of whoever trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum PackWish {
    /// Pixels, or JPEG where pixels would take more than half of the free space.
    #[default]
    Auto,
    /// Three bytes a pixel, nothing to decode in training.
    Pixels,
    /// A tenth of the room; photos are decoded at every use.
    Jpeg,
}
