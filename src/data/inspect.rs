//! One image with its labels, opened and cleaned: what checking looks at and packing writes.

use super::annotation::{Annotation, FilePlace};
use super::clean::{ClassIndex, Cleaned, clean};
use super::exif::Orientation;
use super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::findings::Findings;
use super::frame::Picture;
use super::image::Photo;
use super::sample::RgbImage;
use super::seen::OpenedPhoto;
use super::source::DataSet;

/// The facts about an image that has been opened.
#[derive(Debug)]
pub struct Inspected {
    /// `None` if the image cannot be used; a finding says why.
    pub image: Option<RgbImage>,
    /// Width and height of the upright photo in the file's own pixels; zeros if it cannot be used.
    pub size: [u32; 2],
    pub cleaned: Cleaned,
}

/// Looks at single images in the light of the whole set.
pub struct Inspector<'a> {
    dataset: &'a DataSet,
    classes: ClassIndex<'a>,
}

impl<'a> Inspector<'a> {
    pub fn new(dataset: &'a DataSet) -> Self {
        let classes = dataset.classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
        Self { dataset, classes }
    }

    /// Decodes the image and cleans its labels.
    pub fn inspect(&self, annotation: &Annotation) -> Inspected {
        let (image, seen) = open(annotation);
        Inspected { image, size: seen.size(), cleaned: self.judge(annotation, &seen) }
    }

    /// Cleans the labels of a photo that was opened, now or earlier.
    pub fn judge(&self, annotation: &Annotation, seen: &OpenedPhoto) -> Cleaned {
        let place = FilePlace::file(&annotation.source);
        let (size, stored_size, orientation, invalid_orientation, truncated) = match seen {
            OpenedPhoto::Photo { size, stored_size, orientation, invalid_orientation, truncated } => {
                let orientation = Orientation::new(*orientation).unwrap_or(Orientation::UPRIGHT);
                (*size, *stored_size, orientation, *invalid_orientation, *truncated)
            }
            OpenedPhoto::Failed { truncated, detail } => {
                let kind = if *truncated { FindingKind::TruncatedImage } else { FindingKind::UnreadableImage };
                let findings =
                    Findings::from_iter([Finding::new(kind, place, FindingAction::Dropped, detail.as_str())]);
                return Cleaned { findings, ..Cleaned::default() };
            }
        };
        let picture = Picture { size, stored_size, orientation };
        let mut cleaned = clean(annotation, &picture, &self.dataset.classes, &self.classes);
        if let Some(missing) = truncated {
            let detail = format!("the file ends early; {:.0} % of the rows are missing", 100.0 * missing);
            let finding = Finding::new(FindingKind::TruncatedImage, place.clone(), FindingAction::Kept, detail);
            cleaned.findings.add(finding.with_severity(Severity::Warning));
        }
        if let Some(value) = invalid_orientation {
            let detail = format!("EXIF orientation {value}, expected 1 to 8; taken as upright");
            cleaned.findings.note(FindingKind::InvalidOrientation, place.clone(), FindingAction::Kept, detail);
        }
        if annotation.objects.is_empty() {
            cleaned.findings.note(FindingKind::BackgroundImage, place, FindingAction::Kept, "an image without objects");
        }
        cleaned
    }
}

/// Decodes the image of an annotation; `None` if it cannot be used.
pub fn open(annotation: &Annotation) -> (Option<RgbImage>, OpenedPhoto) {
    match Photo::of(&annotation.stored) {
        Ok(photo) => {
            let seen = OpenedPhoto::of(&photo);
            (Some(photo.image), seen)
        }
        Err(error) => (None, OpenedPhoto::failed(error)),
    }
}
