//! The coordinates that the boxes of a photo are written in: those of the photo as it is, of another size, or turned.

use super::annotation::{Annotation, Units};
use super::exif::Orientation;
use super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::findings::Findings;

/// A picture's frame, which labels do not tell: the picture's true size, upright and as stored in the file.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub size: [u32; 2],
    pub stored_size: [u32; 2],
    pub orientation: Orientation,
}

/// The picture that boxes refer to.
pub struct PictureFrame {
    /// Width and height.
    pub size: [f64; 2],
    /// How to turn the boxes to fit the upright picture.
    pub orientation: Orientation,
}

impl PictureFrame {
    fn upright([w, h]: [u32; 2]) -> Self {
        Self { size: [f64::from(w), f64::from(h)], orientation: Orientation::UPRIGHT }
    }

    /// Decides what the boxes of a photo refer to where the declared size is missing or not the picture's; `None` where
    /// they cannot be brought onto the picture.
    pub fn of(annotation: &Annotation, picture: &Picture, findings: &mut Findings) -> Option<Self> {
        if annotation.form.units(annotation.units) == Units::Fractions {
            return Some(Self { size: [1.0, 1.0], orientation: Orientation::UPRIGHT });
        }
        if annotation.units == Units::Fractions {
            // Pixels in a format that has no place for the image's size.
            return Some(Self::upright(picture.size));
        }
        let [w, h] = picture.size;
        let Some(declared) = annotation.declared_size else {
            if !annotation.objects.is_empty() && annotation.form.sizes_given() {
                let detail = format!("no usable image size; the image has {w}x{h} pixels");
                findings.note(FindingKind::SizeMissing, annotation.place.clone(), FindingAction::Kept, detail);
            }
            return Some(Self::upright(picture.size));
        };
        if declared == picture.size {
            return Some(Self::upright(picture.size));
        }
        Self::of_other_size(annotation, declared, picture, findings)
    }

    /// As [`PictureFrame::of`], where labels and picture do not agree on the size.
    fn of_other_size(
        annotation: &Annotation,
        declared: [u32; 2],
        picture: &Picture,
        findings: &mut Findings,
    ) -> Option<Self> {
        let ([w, h], [dw, dh]) = (picture.size, declared);
        let mut find = |kind, action, detail| findings.note(kind, annotation.place.clone(), action, detail);
        if declared == picture.stored_size {
            let detail = format!("labelled at {dw}x{dh}, before the EXIF rotation to {w}x{h}; boxes are turned along");
            find(FindingKind::LabelsNotRotated, FindingAction::Repaired, detail);
            return Some(Self { orientation: picture.orientation, ..Self::upright(declared) });
        }
        let fit = |[w, h]: [u32; 2]| {
            let inside = |c: &[f64; 4]| c.iter().step_by(2).all(|x| *x <= f64::from(w) + 1.0);
            let inside = |c: &[f64; 4]| inside(c) && c.iter().skip(1).step_by(2).all(|y| *y <= f64::from(h) + 1.0);
            annotation.objects.iter().all(|o| inside(&annotation.form.corners(o.corners)))
        };
        let ratio = |w: u32, h: u32| f64::from(w) / f64::from(h);
        let same_shape = |a: f64, b: f64| (a / b - 1.0).abs() < 0.02;
        let [is_same, is_turned] = [ratio(w, h), ratio(h, w)].map(|shape| same_shape(ratio(dw, dh), shape));
        let fits = fit(declared);
        if fits && is_turned && !is_same && !fit(picture.size) && !annotation.objects.is_empty() {
            let detail = format!(
                "labelled at {dw}x{dh}, the image has {w}x{h} pixels: it was turned since, and nothing says to which side"
            );
            let finding =
                Finding::new(FindingKind::SizeMismatch, annotation.place.clone(), FindingAction::Dropped, detail);
            findings.add(finding.with_severity(Severity::Error));
            return None;
        }
        if fits && (is_same || !fit(picture.size)) {
            let detail = format!("labelled at {dw}x{dh}, the image has {w}x{h} pixels; boxes are scaled along");
            find(FindingKind::SizeMismatch, FindingAction::Repaired, detail);
            return Some(Self::upright(declared));
        }
        let detail = format!("declared as {dw}x{dh}, the image has {w}x{h} pixels; boxes are taken as they are");
        find(FindingKind::SizeMismatch, FindingAction::Kept, detail);
        Some(Self::upright(picture.size))
    }
}
