//! The facts from opening a photo, without its pixels: enough to judge its labels again when packing goes on after a
//! stop.

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::image::Photo;

/// The outcome of opening a photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpenedPhoto {
    Photo {
        /// Width and height of the upright photo in the file's own pixels.
        size: [u32; 2],
        /// Of the picture as stored.
        stored_size: [u32; 2],
        /// EXIF's number, 1 to 8.
        orientation: u32,
        invalid_orientation: Option<u32>,
        /// Share of the rows that are missing.
        truncated: Option<f64>,
    },
    /// It cannot be used.
    Failed { truncated: bool, detail: String },
}

impl OpenedPhoto {
    pub fn of(photo: &Photo) -> Self {
        Self::Photo {
            size: photo.size,
            stored_size: photo.stored_size(),
            orientation: photo.orientation.number(),
            invalid_orientation: photo.invalid_orientation,
            truncated: photo.truncated,
        }
    }

    pub fn failed(error: DataError) -> Self {
        let detail = match error {
            DataError::Image { found, .. } => found,
            DataError::Io { action, error, .. } => format!("cannot {action}: {error}"),
            other => other.to_string(),
        };
        Self::Failed { truncated: detail.starts_with("truncated image"), detail }
    }

    /// Width and height of the upright photo; zeros if it cannot be used.
    pub fn size(&self) -> [u32; 2] {
        match self {
            Self::Photo { size, .. } => *size,
            Self::Failed { .. } => [0, 0],
        }
    }

    /// As one line of JSON.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are JSON")
    }

    /// `None` if the text is none that [`OpenedPhoto::to_text`] gives.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_the_text() {
        let photo = OpenedPhoto::Photo {
            size: [30, 20],
            stored_size: [20, 30],
            orientation: 6,
            invalid_orientation: Some(99),
            truncated: Some(0.01),
        };
        let failed = OpenedPhoto::Failed { truncated: true, detail: "a \"word\"\n".into() };
        for seen in [photo, failed] {
            assert_eq!(OpenedPhoto::from_text(&seen.to_text()), Some(seen));
        }
        assert_eq!(OpenedPhoto::from_text("{}"), None);
    }
}
