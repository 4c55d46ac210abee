//! Whether boxes that ought to be corners were written as x, y, width, height.
//!
//! One box cannot tell: `[400, 100, 200, 300]` may be x, y, w, h or have left and right exchanged. Many can. Read as
//! x, y, w, h, every box of such a set lies inside its image; of true corners only one in four does, those with the
//! centre in the upper left quarter. And x, y, w, h read as corners comes out reversed sooner or later.

use super::annotation::{Annotation, Units};

/// Boxes needed before a whole set is judged: five would all fit by chance once in a thousand sets.
const MIN_BOXES: usize = 5;

/// How the boxes of a data set are written, by their evidence together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CornerForm {
    /// x0, y0, x1, y1, as it should be.
    Corners {
        /// Whether the boxes reversed on one axis only would all fit their image as x, y, w, h.
        reversed_may_be_xywh: bool,
    },
    /// x, y, width, height throughout.
    Xywh,
}

/// What one box says: whether it is reversed on each axis, and whether it would lie inside as x, y, w, h.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    pub reversed: [bool; 2],
    pub fits_as_xywh: bool,
}

impl Evidence {
    pub fn of([x, y, w, h]: [f64; 4], [width, height]: [f64; 2]) -> Self {
        // A pixel of slack for tools that count from 1.
        let fits = x >= -1.0 && y >= -1.0 && w > 0.0 && h > 0.0 && x + w <= width + 1.0 && y + h <= height + 1.0;
        Self { reversed: [w < x, h < y], fits_as_xywh: fits }
    }

    pub fn reversed_on_one_axis(&self) -> bool {
        self.reversed[0] != self.reversed[1]
    }

    pub fn is_reversed(&self) -> bool {
        self.reversed[0] || self.reversed[1]
    }
}

impl CornerForm {
    /// Judges all boxes whose image has a declared size.
    pub fn of(annotations: &[Annotation]) -> Self {
        let (mut boxes, mut reversed, mut fitting) = (0, 0, 0);
        let (mut on_one_axis, mut on_one_axis_fitting) = (0, 0);
        for annotation in annotations.iter().filter(|a| a.units == Units::Pixels) {
            let Some([w, h]) = annotation.declared_size else { continue };
            for object in &annotation.objects {
                let evidence = Evidence::of(object.corners, [f64::from(w), f64::from(h)]);
                boxes += 1;
                reversed += usize::from(evidence.is_reversed());
                fitting += usize::from(evidence.fits_as_xywh);
                if evidence.reversed_on_one_axis() {
                    on_one_axis += 1;
                    on_one_axis_fitting += usize::from(evidence.fits_as_xywh);
                }
            }
        }
        if boxes >= MIN_BOXES && reversed * 10 >= boxes && fitting * 50 >= boxes * 49 {
            return CornerForm::Xywh;
        }
        CornerForm::Corners { reversed_may_be_xywh: on_one_axis_fitting * 10 >= on_one_axis * 9 }
    }

    /// Whether the boxes of one image are to be read as x, y, w, h.
    pub fn is_xywh(self, boxes: &[Evidence]) -> bool {
        match self {
            CornerForm::Xywh => true,
            CornerForm::Corners { reversed_may_be_xywh } => {
                let all_fit = boxes.iter().all(|e| e.fits_as_xywh);
                let one_axis = boxes.iter().any(Evidence::reversed_on_one_axis);
                let many = boxes.len() >= 3 && boxes.iter().any(Evidence::is_reversed);
                all_fit && ((one_axis && reversed_may_be_xywh) || many)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::annotation::{Place, RawObject};

    fn image(boxes: &[[f64; 4]]) -> Annotation {
        let object = |&corners: &[f64; 4]| RawObject {
            class: "a".into(),
            corners,
            difficult: false,
            crowd: false,
            area: None,
            place: Place::file("a"),
        };
        Annotation {
            path: "a".into(),
            source: "a".into(),
            declared_size: Some([640, 480]),
            units: Units::Pixels,
            objects: boxes.iter().map(object).collect(),
            place: Place::file("a"),
        }
    }

    #[test]
    fn a_set_of_xywh_is_recognised_and_a_set_of_corners_with_slips_is_not() {
        let xywh = [[10.0, 20.0, 100.0, 80.0], [300.0, 200.0, 120.0, 90.0], [500.0, 400.0, 50.0, 40.0]];
        assert_eq!(CornerForm::of(&[image(&xywh), image(&xywh)]), CornerForm::Xywh);
        let corners = [[10.0, 20.0, 100.0, 80.0], [300.0, 200.0, 420.0, 290.0], [500.0, 400.0, 550.0, 440.0]];
        let flipped = [[600.0, 200.0, 420.0, 290.0], [200.0, 20.0, 100.0, 80.0]];
        let form = CornerForm::of(&[image(&corners), image(&corners), image(&flipped)]);
        assert_eq!(form, CornerForm::Corners { reversed_may_be_xywh: false });
    }
}
