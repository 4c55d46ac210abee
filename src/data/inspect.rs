//! One image with its labels, opened and cleaned: what checking looks at and packing writes.

use super::annotation::{Annotation, Place};
use super::clean::{Cleaned, Picture, clean};
use super::corner_form::CornerForm;
use super::error::DataError;
use super::finding::{Action, Finding, Kind, Severity};
use super::image::Photo;
use super::sample::RgbImage;
use super::source::{DataSet, Format};

/// What is known of an image once it has been opened.
#[derive(Debug)]
pub struct Inspected {
    /// `None` if the image cannot be used; a finding says why.
    pub image: Option<RgbImage>,
    pub cleaned: Cleaned,
}

/// Looks at single images in the light of the whole set.
pub struct Inspector<'a> {
    dataset: &'a DataSet,
    form: CornerForm,
}

impl<'a> Inspector<'a> {
    pub fn new(dataset: &'a DataSet) -> Self {
        // COCO's boxes are x, y, w, h by definition and YOLO's are centred.
        let form = match dataset.format {
            Format::Voc | Format::Csv => CornerForm::of(&dataset.annotations),
            Format::Coco | Format::Yolo => CornerForm::Corners { reversed_may_be_xywh: false },
        };
        Self { dataset, form }
    }

    /// Decodes the image and cleans its labels.
    pub fn inspect(&self, annotation: &Annotation) -> Inspected {
        let place = Place::file(&annotation.source);
        let photo = match Photo::read(&annotation.path) {
            Ok(photo) => photo,
            Err(error) => {
                let detail = match error {
                    DataError::Image { found, .. } => found,
                    DataError::Io { action, error, .. } => format!("cannot {action}: {error}"),
                    other => other.to_string(),
                };
                let truncated = detail.starts_with("truncated image");
                let kind = if truncated { Kind::TruncatedImage } else { Kind::UnreadableImage };
                let findings = vec![Finding::new(kind, place, Action::Dropped, detail)];
                return Inspected { image: None, cleaned: Cleaned { findings, ..Cleaned::default() } };
            }
        };
        let picture = Picture {
            size: [photo.image.width as u32, photo.image.height as u32],
            stored_size: photo.stored_size(),
            orientation: photo.orientation,
        };
        let mut cleaned = clean(annotation, &picture, &self.dataset.classes, self.form);
        if let Some(missing) = photo.truncated {
            let detail = format!("the file ends early; {:.0} % of the rows are missing", 100.0 * missing);
            let finding = Finding::new(Kind::TruncatedImage, place.clone(), Action::Kept, detail);
            cleaned.findings.push(finding.with_severity(Severity::Warning));
        }
        if let Some(value) = photo.invalid_orientation {
            let detail = format!("EXIF orientation {value}, expected 1 to 8; taken as upright");
            cleaned.findings.push(Finding::new(Kind::InvalidOrientation, place.clone(), Action::Kept, detail));
        }
        if annotation.objects.is_empty() {
            cleaned.findings.push(Finding::new(Kind::BackgroundImage, place, Action::Kept, "an image without objects"));
        }
        Inspected { image: Some(photo.image), cleaned }
    }
}
