//! From labels as written to objects that can be trained on: the one place where boxes are repaired and dropped.
//!
//! Checking and packing both call [`clean`], so that what is reported is what is done: reversed corners are put in
//! order, boxes are clipped to the image, what is then less than a pixel wide or high goes, so do unknown classes and
//! exact repetitions. Near-duplicates, small and crowded objects stay: they are true, or at least not provably wrong.

use std::collections::HashMap;

use crate::boxes::CornerBox;

use super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::box_form::Evidence;
use super::exif::Orientation;
use super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::findings::Findings;
use super::frame::{Picture, PictureFrame};
use super::sample::Object;

/// Two boxes of one class that overlap more are probably one object labelled twice.
const NEAR_DUPLICATE_IOU: f64 = 0.9;
/// Boxes that differ by less (in pixels, every corner) are the same box.
const SAME_BOX_PX: f64 = 0.5;

/// The usable objects of one image, and what was found on the way.
#[derive(Debug, Default)]
pub struct Cleaned {
    pub objects: Vec<Object>,
    /// The place of each object's label.
    pub places: Vec<FilePlace>,
    /// How many of the objects are not as they were written.
    pub repaired: usize,
    pub findings: Findings,
}

/// The classes of a set by their names.
pub type ClassIndex<'a> = HashMap<&'a str, usize>;

/// The objects of an annotation in fractions of the upright picture.
pub fn clean(annotation: &Annotation, picture: &Picture, classes: &[String], index: &ClassIndex) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let Some(frame) = PictureFrame::of(annotation, picture, &mut cleaned.findings) else { return cleaned };
    let form = &annotation.form;
    let units = form.units(annotation.units);
    let xywh = units == Units::Pixels && {
        let evidence: Vec<_> = annotation.objects.iter().map(|o| Evidence::of(o.corners, frame.size)).collect();
        form.is_xywh(&evidence)
    };
    if xywh && !annotation.objects.is_empty() {
        let detail = format!("{} boxes read as x, y, width, height", annotation.objects.len());
        cleaned.findings.note(FindingKind::XywhAsXyxy, annotation.place.clone(), FindingAction::Repaired, detail);
    }
    let reread = xywh || !form.is_as_declared() || frame.orientation != Orientation::UPRIGHT;
    let mut repetitions = Repetitions::default();
    for raw in &annotation.objects {
        let Some(class) = index.get(raw.class.as_str()).copied() else {
            let detail = format!("class {:?} is none of the {} classes", raw.class, classes.len());
            cleaned.findings.note(FindingKind::UnknownClass, raw.place.clone(), FindingAction::Dropped, detail);
            continue;
        };
        let mut corners = form.corners(raw.corners);
        if xywh {
            corners = [corners[0], corners[1], corners[0] + corners[2], corners[1] + corners[3]];
        }
        let Some((bbox, mended)) = in_picture(raw, corners, &frame, picture, &mut cleaned.findings) else { continue };
        let area = raw.area.filter(|_| units == Units::Pixels);
        let object = Object {
            class,
            bbox,
            difficult: raw.difficult,
            crowd: raw.crowd,
            area: area.map(|a| (a / (frame.size[0] * frame.size[1])).min(1.0)),
        };
        if !repetitions.is_one(&object, raw, picture, classes, &mut cleaned) {
            cleaned.objects.push(object);
            cleaned.places.push(raw.place.clone());
            cleaned.repaired += usize::from(mended || reread);
        }
    }
    cleaned
}

/// Orders, turns, scales and clips, and says whether the box was mended; `None` if nothing usable is left.
fn in_picture(
    raw: &RawObject,
    mut corners: [f64; 4],
    frame: &PictureFrame,
    picture: &Picture,
    findings: &mut Findings,
) -> Option<(CornerBox, bool)> {
    let mut mended = false;
    let mut find = |kind, action, severity, detail: String| {
        let detail = format!("{} {}", describe(raw), detail);
        mended |= action == FindingAction::Repaired;
        findings.add(Finding::new(kind, raw.place.clone(), action, detail).with_severity(severity));
    };
    if corners.iter().any(|c| !c.is_finite()) {
        find(
            FindingKind::MalformedLabel,
            FindingAction::Dropped,
            Severity::Error,
            "is not a box of finite numbers".into(),
        );
        return None;
    }
    if corners[2] < corners[0] || corners[3] < corners[1] {
        find(FindingKind::ReversedBox, FindingAction::Repaired, Severity::Warning, "has its corners exchanged".into());
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
            (true, true) => (FindingAction::Repaired, Severity::Info),
            (true, false) => (FindingAction::Repaired, Severity::Warning),
            (false, _) => (FindingAction::Dropped, Severity::Warning),
        };
        let detail = format!("reaches {} pixels out of the image of {w}x{h}", number(overhang));
        find(FindingKind::BoxOutsideImage, action, severity, detail);
    } else if !usable {
        let detail = format!("is {width:.1} pixels wide and {height:.1} high");
        find(FindingKind::ZeroAreaBox, FindingAction::Dropped, Severity::Warning, detail);
    }
    usable.then_some((clipped, mended))
}

/// The places of one image's objects, so that a box is compared only with those near it.
#[derive(Default)]
struct Repetitions {
    /// Positions of objects by the cell of their left upper corner.
    cells: HashMap<[i32; 2], Vec<usize>>,
}

/// Cells along each side of an image.
const CELLS: f64 = 64.0;
/// Boxes of one cell that a box is compared with.
const COMPARED: usize = 64;

impl Repetitions {
    /// Compares with the objects before; `true` if the object is to be left out. One finding of each kind at most.
    fn is_one(
        &mut self,
        object: &Object,
        raw: &RawObject,
        picture: &Picture,
        classes: &[String],
        cleaned: &mut Cleaned,
    ) -> bool {
        let [w, h] = picture.size.map(f64::from);
        let cell = [object.bbox.x0, object.bbox.y0].map(|c| (c * CELLS) as i32);
        // Boxes with an IoU above the limit begin within a tenth of their sides of each other.
        let reach = [object.bbox.width(), object.bbox.height()].map(|s| (s * 0.12 * CELLS).ceil() as i32);
        let mut said = [false; 2];
        for x in cell[0] - reach[0]..=cell[0] + reach[0] {
            for y in cell[1] - reach[1]..=cell[1] + reach[1] {
                for &other in self.cells.get(&[x, y]).into_iter().flatten().rev().take(COMPARED) {
                    let (other, place) = (&cleaned.objects[other], &cleaned.places[other]);
                    let iou = object.bbox.iou(&other.bbox);
                    if iou <= NEAR_DUPLICATE_IOU || object.crowd || other.crowd {
                        continue;
                    }
                    let (a, b) = (&object.bbox, &other.bbox);
                    let shift_x = (a.x0 - b.x0).abs().max((a.x1 - b.x1).abs()) * w;
                    let shift_y = (a.y0 - b.y0).abs().max((a.y1 - b.y1).abs()) * h;
                    let with = format!("IoU {iou:.3} with the {} of {}", classes[other.class], place.spot);
                    let (kind, action) = if other.class != object.class {
                        (FindingKind::ConflictingBoxes, FindingAction::Kept)
                    } else if shift_x.max(shift_y) < SAME_BOX_PX {
                        (FindingKind::DuplicateBox, FindingAction::Dropped)
                    } else {
                        (FindingKind::NearDuplicateBox, FindingAction::Kept)
                    };
                    let slot = usize::from(kind == FindingKind::ConflictingBoxes);
                    if action == FindingAction::Dropped || !std::mem::replace(&mut said[slot], true) {
                        let detail = format!("{} has {with}", describe(raw));
                        cleaned.findings.note(kind, raw.place.clone(), action, detail);
                    }
                    if action == FindingAction::Dropped {
                        return true;
                    }
                }
            }
        }
        self.cells.entry(cell).or_default().push(cleaned.objects.len());
        false
    }
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
    use super::super::box_form::BoxForm;
    use super::super::stored::StoredBytes;
    use super::*;

    fn cleaned(annotation: &Annotation, picture: &Picture) -> Cleaned {
        let classes = classes();
        let index = classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
        clean(annotation, picture, &classes, &index)
    }

    fn picture(width: u32, height: u32) -> Picture {
        Picture { size: [width, height], stored_size: [width, height], orientation: Orientation::UPRIGHT }
    }

    fn annotation(declared: Option<[u32; 2]>, boxes: &[(&str, [f64; 4])]) -> Annotation {
        let object = |(i, (class, corners)): (usize, &(&str, [f64; 4]))| {
            RawObject::new(*class, *corners, FilePlace::line("a.xml", i + 1))
        };
        Annotation {
            stored: StoredBytes::Disk("a.jpg".into()),
            source: "a.jpg".into(),
            declared_size: declared,
            units: Units::Pixels,
            form: BoxForm { reversed_may_be_xywh: true, sizes_given: true, ..BoxForm::default() },
            objects: boxes.iter().enumerate().map(object).collect(),
            place: FilePlace::file("a.xml"),
        }
    }

    fn classes() -> Vec<String> {
        vec!["cat".into(), "dog".into()]
    }

    type Found = Vec<(FindingKind, FindingAction, Severity)>;

    /// Kind, action and severity of what cleaning one box finds, and the box in pixels if it stays.
    fn one(corners: [f64; 4]) -> (Found, Option<[f64; 4]>) {
        let a = annotation(Some([200, 100]), &[("cat", corners), ("dog", [150.0, 50.0, 190.0, 90.0])]);
        let cleaned = cleaned(&a, &picture(200, 100));
        let found = cleaned.findings.iter().map(|f| (f.kind, f.action, f.severity)).collect();
        let kept = cleaned.objects.iter().find(|o| o.class == 0).map(|o| o.bbox);
        (found, kept.map(|b| [b.x0 * 200.0, b.y0 * 100.0, b.x1 * 200.0, b.y1 * 100.0].map(|c| (c * 1e6).round() / 1e6)))
    }

    #[test]
    fn each_defect_of_a_box_is_named_and_settled() {
        use {FindingAction::*, FindingKind::*, Severity::*};
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
        let cleaned = cleaned(&a, &picture(200, 100));
        let kinds: Vec<_> = cleaned.findings.iter().map(|f| (f.kind, f.place.to_string())).collect();
        let at = |line: usize| format!("a.xml:{line}");
        assert_eq!(
            kinds,
            [
                (FindingKind::DuplicateBox, at(2)),
                (FindingKind::NearDuplicateBox, at(3)),
                (FindingKind::ConflictingBoxes, at(4)),
            ]
        );
        assert_eq!(cleaned.objects.len(), 3);
    }

    #[test]
    fn an_unknown_class_is_dropped() {
        let a = annotation(Some([200, 100]), &[("cow", [10.0, 10.0, 50.0, 50.0])]);
        let cleaned = cleaned(&a, &picture(200, 100));
        assert_eq!(cleaned.objects, []);
        assert_eq!(cleaned.findings[0].detail, "class \"cow\" is none of the 2 classes");
    }

    #[test]
    fn xywh_is_read_as_such_when_the_image_says_so() {
        let a = annotation(Some([200, 100]), &[("cat", [150.0, 20.0, 30.0, 60.0]), ("dog", [10.0, 20.0, 90.0, 30.0])]);
        let cleaned = cleaned(&a, &picture(200, 100));
        assert_eq!(cleaned.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::XywhAsXyxy]);
        assert_eq!(cleaned.objects[0].bbox, CornerBox::new(0.75, 0.2, 0.9, 0.8));
    }

    #[test]
    fn a_wrong_declared_size_scales_or_stays() {
        let boxes = [("cat", [100.0, 50.0, 200.0, 100.0])];
        let cases = [
            // Photo scaled down after labelling: same shape.
            (
                Some([400, 200]),
                FindingKind::SizeMismatch,
                FindingAction::Repaired,
                CornerBox::new(0.25, 0.25, 0.5, 0.5),
            ),
            // A wrong number: boxes fit the picture itself.
            (Some([999, 200]), FindingKind::SizeMismatch, FindingAction::Kept, CornerBox::new(0.5, 0.5, 1.0, 1.0)),
            (None, FindingKind::SizeMissing, FindingAction::Kept, CornerBox::new(0.5, 0.5, 1.0, 1.0)),
        ];
        for (declared, kind, action, bbox) in cases {
            let cleaned = cleaned(&annotation(declared, &boxes), &picture(200, 100));
            let found: Vec<_> = cleaned.findings.iter().map(|f| (f.kind, f.action)).collect();
            assert_eq!((found, cleaned.objects[0].bbox), (vec![(kind, action)], bbox), "{declared:?}");
        }
    }

    #[test]
    fn boxes_drawn_on_the_unturned_picture_are_turned() {
        let a = annotation(Some([200, 100]), &[("cat", [0.0, 0.0, 100.0, 25.0])]);
        let orientation = Orientation::new(6).expect("one of the eight");
        let picture = Picture { size: [100, 200], stored_size: [200, 100], orientation };
        let cleaned = cleaned(&a, &picture);
        assert_eq!(cleaned.findings[0].kind, FindingKind::LabelsNotRotated);
        assert_eq!(cleaned.objects[0].bbox, CornerBox::new(0.75, 0.0, 1.0, 0.5));
    }
    #[test]
    fn thousands_of_boxes_on_each_other_take_no_quadratic_time() {
        let boxes: Vec<(&str, [f64; 4])> =
            (0..20_000).map(|i| ("cat", [10.0, 10.0, 150.0 + f64::from(i) * 1e-3, 90.0])).collect();
        let a = annotation(Some([200, 100]), &boxes);
        let start = std::time::Instant::now();
        let cleaned = cleaned(&a, &picture(200, 100));
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
        let found = [FindingKind::NearDuplicateBox, FindingKind::DuplicateBox].map(|k| cleaned.findings.count(k));
        assert_eq!((found[0] + found[1], cleaned.findings.len()), (boxes.len() - 1, 40));
    }
}
