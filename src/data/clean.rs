//! From labels as written to objects that can be trained on: the one place where boxes are repaired and dropped.
//!
//! Checking and packing both call [`clean`], so that what is reported is what is done: reversed corners are put in
//! order, boxes are clipped to the image, what is then less than a pixel wide or high goes, so do unknown classes and
//! exact repetitions. Near-duplicates, small and crowded objects stay: they are true, or at least not provably wrong.

use crate::boxes::CornerBox;

use super::annotation::{Annotation, Place, RawObject, Units};
use super::corner_form::{CornerForm, Evidence};
use super::exif::Orientation;
use super::finding::{Action, Finding, Kind, Severity};
use super::sample::Object;

/// Two boxes of one class that overlap more are probably one object labelled twice.
const NEAR_DUPLICATE_IOU: f64 = 0.9;
/// Boxes that differ by less (in pixels, every corner) are the same box.
const SAME_BOX_PX: f64 = 0.5;

/// What the labels cannot know: the picture's true size, upright and as stored in the file.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub size: [u32; 2],
    pub stored_size: [u32; 2],
    pub orientation: Orientation,
}

/// The usable objects of one image, and what was found on the way.
#[derive(Debug, Default)]
pub struct Cleaned {
    pub objects: Vec<Object>,
    /// Where each object's label stands.
    pub places: Vec<Place>,
    pub findings: Vec<Finding>,
}

/// The coordinates that the boxes of an image are written in.
struct Frame {
    size: [f64; 2],
    /// How to turn them to fit the upright picture.
    orientation: Orientation,
}

/// The objects of an annotation in fractions of the upright picture.
pub fn clean(annotation: &Annotation, picture: &Picture, classes: &[String], form: CornerForm) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let frame = frame(annotation, picture, &mut cleaned.findings);
    let xywh = annotation.units == Units::Pixels && {
        let evidence: Vec<_> = annotation.objects.iter().map(|o| Evidence::of(o.corners, frame.size)).collect();
        form.is_xywh(&evidence)
    };
    if xywh && !annotation.objects.is_empty() {
        let detail = format!("{} boxes read as x, y, width, height", annotation.objects.len());
        let finding = Finding::new(Kind::XywhAsXyxy, annotation.place.clone(), Action::Repaired, detail);
        cleaned.findings.push(finding);
    }
    for raw in &annotation.objects {
        let mut find = |kind, action, detail: String| {
            cleaned.findings.push(Finding::new(kind, raw.place.clone(), action, detail));
        };
        let Some(class) = classes.iter().position(|c| *c == raw.class) else {
            let detail = format!("class {:?} is none of the {} classes", raw.class, classes.len());
            find(Kind::UnknownClass, Action::Dropped, detail);
            continue;
        };
        let mut corners = raw.corners;
        if xywh {
            corners = [corners[0], corners[1], corners[0] + corners[2], corners[1] + corners[3]];
        }
        let Some(bbox) = in_picture(raw, corners, &frame, picture, &mut cleaned.findings) else { continue };
        let area = raw.area.filter(|_| annotation.units == Units::Pixels);
        let object = Object {
            class,
            bbox,
            difficult: raw.difficult,
            crowd: raw.crowd,
            area: area.map(|a| (a / (frame.size[0] * frame.size[1])).min(1.0)),
        };
        if !is_repetition(&object, raw, picture, classes, &mut cleaned) {
            cleaned.objects.push(object);
            cleaned.places.push(raw.place.clone());
        }
    }
    cleaned
}

/// Decides what the boxes refer to where the declared size is missing or not the picture's.
fn frame(annotation: &Annotation, picture: &Picture, findings: &mut Vec<Finding>) -> Frame {
    let upright = |[w, h]: [u32; 2]| Frame { size: [f64::from(w), f64::from(h)], orientation: Orientation::UPRIGHT };
    if annotation.units == Units::Fractions {
        return Frame { size: [1.0, 1.0], orientation: Orientation::UPRIGHT };
    }
    let mut find = |kind, action, detail: String| {
        findings.push(Finding::new(kind, annotation.place.clone(), action, detail));
    };
    let [w, h] = picture.size;
    let Some(declared) = annotation.declared_size else {
        if !annotation.objects.is_empty() {
            find(Kind::SizeMissing, Action::Kept, format!("no usable image size; the image has {w}x{h} pixels"));
        }
        return upright(picture.size);
    };
    if declared == picture.size {
        return upright(picture.size);
    }
    let [dw, dh] = declared;
    if declared == picture.stored_size {
        let detail = format!("labelled at {dw}x{dh}, before the EXIF rotation to {w}x{h}; boxes are turned along");
        find(Kind::LabelsNotRotated, Action::Repaired, detail);
        return Frame { orientation: picture.orientation, ..upright(declared) };
    }
    let fit = |[w, h]: [u32; 2]| {
        let inside = |c: &[f64; 4]| c.iter().step_by(2).all(|x| *x <= f64::from(w) + 1.0);
        let inside = |c: &[f64; 4]| inside(c) && c.iter().skip(1).step_by(2).all(|y| *y <= f64::from(h) + 1.0);
        annotation.objects.iter().all(|o| inside(&o.corners))
    };
    let ratio = (f64::from(dw) / f64::from(dh)) / (f64::from(w) / f64::from(h));
    let same_shape = (ratio - 1.0).abs() < 0.02;
    if fit(declared) && (same_shape || !fit(picture.size)) {
        let detail = format!("labelled at {dw}x{dh}, the image has {w}x{h} pixels; boxes are scaled along");
        find(Kind::SizeMismatch, Action::Repaired, detail);
        upright(declared)
    } else {
        let detail = format!("declared as {dw}x{dh}, the image has {w}x{h} pixels; boxes are taken as they are");
        find(Kind::SizeMismatch, Action::Kept, detail);
        upright(picture.size)
    }
}

/// Orders, turns, scales and clips; `None` if nothing usable is left.
fn in_picture(
    raw: &RawObject,
    mut corners: [f64; 4],
    frame: &Frame,
    picture: &Picture,
    findings: &mut Vec<Finding>,
) -> Option<CornerBox> {
    let mut find = |kind, action, severity, detail: String| {
        let detail = format!("{} {}", describe(raw), detail);
        findings.push(Finding::new(kind, raw.place.clone(), action, detail).with_severity(severity));
    };
    if corners.iter().any(|c| !c.is_finite()) {
        find(Kind::MalformedLabel, Action::Dropped, Severity::Error, "is not a box of finite numbers".into());
        return None;
    }
    if corners[2] < corners[0] || corners[3] < corners[1] {
        find(Kind::ReversedBox, Action::Repaired, Severity::Warning, "has its corners exchanged".into());
        let [a, b, c, d] = corners;
        corners = [a.min(c), b.min(d), a.max(c), b.max(d)];
    }
    let frame_size = if frame.orientation.swaps_sides() { [frame.size[1], frame.size[0]] } else { frame.size };
    let [x0, y0, x1, y1] = frame.orientation.turn_corners(corners, frame.size);
    let full = CornerBox::new(x0 / frame_size[0], y0 / frame_size[1], x1 / frame_size[0], y1 / frame_size[1]);
    let clipped = full.clipped();
    let [w, h] = picture.size.map(f64::from);
    let (width, height) = (clipped.width() * w, clipped.height() * h);
    // Rounding in the labels' decimals must not cost a box of exactly one pixel.
    let usable = width >= 1.0 - 1e-6 && height >= 1.0 - 1e-6;
    let overhang = (clipped.x0 - full.x0).max(full.x1 - clipped.x1) * w;
    let overhang = overhang.max((clipped.y0 - full.y0).max(full.y1 - clipped.y1) * h);
    if overhang > 1e-6 {
        let small = overhang <= 1.0 + 1e-6;
        let (action, severity) = match (usable, small) {
            (true, true) => (Action::Repaired, Severity::Info),
            (true, false) => (Action::Repaired, Severity::Warning),
            (false, _) => (Action::Dropped, Severity::Warning),
        };
        let detail = format!("reaches {} pixels out of the image of {w}x{h}", number(overhang));
        find(Kind::BoxOutsideImage, action, severity, detail);
    } else if !usable {
        let detail = format!("is {width:.1} pixels wide and {height:.1} high");
        find(Kind::ZeroAreaBox, Action::Dropped, Severity::Warning, detail);
    }
    usable.then_some(clipped)
}

/// Compares with the objects before; `true` if the object is to be left out.
fn is_repetition(
    object: &Object,
    raw: &RawObject,
    picture: &Picture,
    classes: &[String],
    cleaned: &mut Cleaned,
) -> bool {
    let [w, h] = picture.size.map(f64::from);
    let mut repeated = false;
    for (other, place) in cleaned.objects.iter().zip(&cleaned.places) {
        let iou = object.bbox.iou(&other.bbox);
        if iou <= NEAR_DUPLICATE_IOU || object.crowd || other.crowd {
            continue;
        }
        let (a, b) = (&object.bbox, &other.bbox);
        let shift_x = (a.x0 - b.x0).abs().max((a.x1 - b.x1).abs()) * w;
        let shift_y = (a.y0 - b.y0).abs().max((a.y1 - b.y1).abs()) * h;
        let with = format!("IoU {iou:.3} with the {} of {}", classes[other.class], place.spot);
        let (kind, action) = if other.class != object.class {
            (Kind::ConflictingBoxes, Action::Kept)
        } else if shift_x.max(shift_y) < SAME_BOX_PX {
            (Kind::DuplicateBox, Action::Dropped)
        } else {
            (Kind::NearDuplicateBox, Action::Kept)
        };
        let detail = format!("{} has {with}", describe(raw));
        cleaned.findings.push(Finding::new(kind, raw.place.clone(), action, detail));
        repeated |= action == Action::Dropped;
    }
    repeated
}

/// `Platelets [504, 337, 504, 337]`, corners as written.
fn describe(raw: &RawObject) -> String {
    let numbers: Vec<String> = raw.corners.iter().map(|&c| number(c)).collect();
    format!("{} [{}]", raw.class, numbers.join(", "))
}

/// Four decimals at most, and no line of three hundred digits.
fn number(value: f64) -> String {
    if value.abs() < 1e9 { format!("{}", (value * 1e4).round() / 1e4) } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNERS: CornerForm = CornerForm::Corners { reversed_may_be_xywh: true };

    fn picture(width: u32, height: u32) -> Picture {
        Picture { size: [width, height], stored_size: [width, height], orientation: Orientation::UPRIGHT }
    }

    fn annotation(declared: Option<[u32; 2]>, boxes: &[(&str, [f64; 4])]) -> Annotation {
        let object = |(i, (class, corners)): (usize, &(&str, [f64; 4]))| RawObject {
            class: class.to_string(),
            corners: *corners,
            difficult: false,
            crowd: false,
            area: None,
            place: Place::line("a.xml", i + 1),
        };
        Annotation {
            path: "a.jpg".into(),
            source: "a.jpg".into(),
            declared_size: declared,
            units: Units::Pixels,
            objects: boxes.iter().enumerate().map(object).collect(),
            place: Place::file("a.xml"),
        }
    }

    fn classes() -> Vec<String> {
        vec!["cat".into(), "dog".into()]
    }

    type Found = Vec<(Kind, Action, Severity)>;

    /// Kind, action and severity of what cleaning one box finds, and the box in pixels if it stays.
    fn one(corners: [f64; 4]) -> (Found, Option<[f64; 4]>) {
        let a = annotation(Some([200, 100]), &[("cat", corners), ("dog", [150.0, 50.0, 190.0, 90.0])]);
        let cleaned = clean(&a, &picture(200, 100), &classes(), CORNERS);
        let found = cleaned.findings.iter().map(|f| (f.kind, f.action, f.severity)).collect();
        let kept = cleaned.objects.iter().find(|o| o.class == 0).map(|o| o.bbox);
        (found, kept.map(|b| [b.x0 * 200.0, b.y0 * 100.0, b.x1 * 200.0, b.y1 * 100.0].map(|c| (c * 1e6).round() / 1e6)))
    }

    #[test]
    fn each_defect_of_a_box_is_named_and_settled() {
        use {Action::*, Kind::*, Severity::*};
        let good = Some([10.0, 20.0, 60.0, 70.0]);
        for (corners, found, kept) in [
            ([10.0, 20.0, 60.0, 70.0], vec![], good),
            ([10.0, 20.0, 10.0, 20.0], vec![(ZeroAreaBox, Dropped, Warning)], None),
            ([10.0, 20.0, 60.0, 20.5], vec![(ZeroAreaBox, Dropped, Warning)], None),
            ([60.0, 70.0, 10.0, 20.0], vec![(ReversedBox, Repaired, Warning)], good),
            ([60.0, 20.0, 10.0, 70.0], vec![(ReversedBox, Repaired, Warning)], good),
            ([150.0, 20.0, 201.0, 70.0], vec![(BoxOutsideImage, Repaired, Info)], Some([150.0, 20.0, 200.0, 70.0])),
            ([-30.0, 20.0, 60.0, 170.0], vec![(BoxOutsideImage, Repaired, Warning)], Some([0.0, 20.0, 60.0, 100.0])),
            ([210.0, 20.0, 260.0, 70.0], vec![(BoxOutsideImage, Dropped, Warning)], None),
            ([f64::NAN, 20.0, 260.0, 70.0], vec![(MalformedLabel, Dropped, Error)], None),
            ([1e300, 20.0, f64::MAX, 70.0], vec![(BoxOutsideImage, Dropped, Warning)], None),
        ] {
            assert_eq!(one(corners), (found, kept), "{corners:?}");
        }
    }

    #[test]
    fn repetitions_are_dropped_and_near_ones_only_reported() {
        let base = [10.0, 10.0, 110.0, 90.0];
        let near = [12.0, 10.0, 112.0, 90.0];
        let a = annotation(Some([200, 100]), &[("cat", base), ("cat", base), ("cat", near), ("dog", base)]);
        let cleaned = clean(&a, &picture(200, 100), &classes(), CORNERS);
        let kinds: Vec<_> = cleaned.findings.iter().map(|f| (f.kind, f.place.to_string())).collect();
        let at = |line: usize| format!("a.xml:{line}");
        assert_eq!(
            kinds,
            [
                (Kind::DuplicateBox, at(2)),
                (Kind::NearDuplicateBox, at(3)),
                (Kind::ConflictingBoxes, at(4)),
                (Kind::ConflictingBoxes, at(4)),
            ]
        );
        assert_eq!(cleaned.objects.len(), 3);
    }

    #[test]
    fn an_unknown_class_is_dropped() {
        let a = annotation(Some([200, 100]), &[("cow", [10.0, 10.0, 50.0, 50.0])]);
        let cleaned = clean(&a, &picture(200, 100), &classes(), CORNERS);
        assert_eq!(cleaned.objects, []);
        assert_eq!(cleaned.findings[0].detail, "class \"cow\" is none of the 2 classes");
    }

    #[test]
    fn xywh_is_read_as_such_when_the_image_says_so() {
        let a = annotation(Some([200, 100]), &[("cat", [150.0, 20.0, 30.0, 60.0]), ("dog", [10.0, 20.0, 90.0, 30.0])]);
        let cleaned = clean(&a, &picture(200, 100), &classes(), CORNERS);
        assert_eq!(cleaned.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::XywhAsXyxy]);
        assert_eq!(cleaned.objects[0].bbox, CornerBox::new(0.75, 0.2, 0.9, 0.8));
    }

    #[test]
    fn a_wrong_declared_size_scales_or_stays() {
        let boxes = [("cat", [100.0, 50.0, 200.0, 100.0])];
        let cases = [
            // Photo scaled down after labelling: same shape.
            (Some([400, 200]), Kind::SizeMismatch, Action::Repaired, CornerBox::new(0.25, 0.25, 0.5, 0.5)),
            // A wrong number: boxes fit the picture itself.
            (Some([999, 200]), Kind::SizeMismatch, Action::Kept, CornerBox::new(0.5, 0.5, 1.0, 1.0)),
            (None, Kind::SizeMissing, Action::Kept, CornerBox::new(0.5, 0.5, 1.0, 1.0)),
        ];
        for (declared, kind, action, bbox) in cases {
            let cleaned = clean(&annotation(declared, &boxes), &picture(200, 100), &classes(), CORNERS);
            let found: Vec<_> = cleaned.findings.iter().map(|f| (f.kind, f.action)).collect();
            assert_eq!((found, cleaned.objects[0].bbox), (vec![(kind, action)], bbox), "{declared:?}");
        }
    }

    #[test]
    fn boxes_drawn_on_the_unturned_picture_are_turned() {
        let a = annotation(Some([200, 100]), &[("cat", [0.0, 0.0, 100.0, 25.0])]);
        let orientation = Orientation::new(6).expect("one of the eight");
        let picture = Picture { size: [100, 200], stored_size: [200, 100], orientation };
        let cleaned = clean(&a, &picture, &classes(), CORNERS);
        assert_eq!(cleaned.findings[0].kind, Kind::LabelsNotRotated);
        assert_eq!(cleaned.objects[0].bbox, CornerBox::new(0.75, 0.0, 1.0, 0.5));
    }
}
