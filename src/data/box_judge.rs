//! Judges whether boxes are written in the form that their format demands, judged over the whole set.
//!
//! One box cannot tell: `[400, 100, 200, 300]` may be x, y, w, h or corners with left and right exchanged. Many can.
//! Read in the true form, (nearly) every box of a set lies inside its image; read in another, at least one in ten is
//! reversed or reaches far out. Where two other forms fit equally well, neither is taken for granted.

use super::annotation::{Annotation, FilePlace, Units};
use super::box_form::{BoxForm, Evidence, WrittenBox};
use super::finding::{Finding, FindingAction, FindingKind};

/// Boxes needed before a whole set is judged: five would all fit by chance once in a thousand sets.
const MIN_BOXES: usize = 5;
/// Images whose size is read from the file where the labels give none.
const SIZES_READ: usize = 64;
/// Fractions may stick out so far by rounding.
const SLACK: f64 = 0.01;

/// Judges all boxes whose image has a known size; `size_of` reads it from the file.
pub fn judge(
    annotations: &[Annotation],
    declared: WrittenBox,
    size_of: &dyn Fn(&Annotation) -> Option<[u32; 2]>,
) -> BoxForm {
    let mut form = BoxForm::declared(declared);
    form.units = units_of(annotations, declared);
    form.sizes_given = annotations.iter().any(|a| a.declared_size.is_some());
    let forms = [WrittenBox::Corners, WrittenBox::Xywh, WrittenBox::Centre];
    let mut fitting = [0; 3];
    let (mut on_one_axis, mut on_one_axis_fitting, mut sizes_read) = (0, 0, 0);
    for annotation in annotations.iter().filter(|a| !a.objects.is_empty()) {
        let fractions = form.units.unwrap_or(annotation.units) == Units::Fractions;
        let size = match (fractions, annotation.declared_size) {
            (true, _) => Some([1, 1]),
            (_, Some(size)) => Some(size),
            (_, None) if sizes_read < SIZES_READ => {
                sizes_read += 1;
                size_of(annotation)
            }
            _ => None,
        };
        let Some(size) = size.map(|s| s.map(f64::from)) else { continue };
        for object in &annotation.objects {
            let numbers = declared.numbers(object.corners);
            form.boxes += 1;
            for (count, candidate) in fitting.iter_mut().zip(forms) {
                *count += usize::from(candidate.fits(numbers, size, if fractions { SLACK } else { 1.0 }));
            }
            let evidence = Evidence::of(numbers, size);
            if declared == WrittenBox::Corners && !fractions && evidence.reversed_on_one_axis() {
                on_one_axis += 1;
                on_one_axis_fitting += usize::from(evidence.fits_as_xywh);
            }
        }
    }
    form.reversed_may_be_xywh = declared == WrittenBox::Corners && on_one_axis_fitting * 10 >= on_one_axis * 9;
    let of = |wanted: WrittenBox| fitting[forms.iter().position(|f| *f == wanted).expect("one of the three")];
    form.misfits = form.boxes - of(declared);
    if form.boxes >= MIN_BOXES && form.misfits * 10 >= form.boxes {
        let mut others = forms.into_iter().filter(|f| *f != declared && of(*f) * 50 >= form.boxes * 49);
        form.read = others.next().unwrap_or(declared);
        form.rival = others.next();
    }
    form
}

/// The findings about the set as a whole.
pub fn findings(form: &BoxForm) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find =
        |kind, action, detail: String| findings.push(Finding::new(kind, FilePlace::whole_set(), action, detail));
    let (declared, read) = (form.declared.name(), form.read.name());
    let misfits = format!("{} of {} boxes do not fit their image as {declared}", form.misfits, form.boxes);
    match (form.read == form.declared, form.rival) {
        (true, _) => {}
        (_, Some(rival)) => {
            let detail = format!("{misfits}, which the format demands; all fit as {read} and as {}", rival.name());
            find(FindingKind::BoxFormUnclear, FindingAction::Kept, detail);
        }
        (_, None) => {
            let kind = match form.read {
                WrittenBox::Corners => FindingKind::XyxyAsXywh,
                _ => FindingKind::XywhAsXyxy,
            };
            find(kind, FindingAction::Repaired, format!("{misfits}, which the format demands; all fit as {read}"));
        }
    }
    match form.units {
        Some(Units::Fractions) => {
            let detail = "every number of a box is 1 or less: read as fractions of the image, not as pixels";
            find(FindingKind::FractionsAsPixels, FindingAction::Repaired, detail.into());
        }
        Some(Units::Pixels) => {
            let detail = "the numbers of the boxes are pixels, where the format has fractions of the image";
            find(FindingKind::PixelsAsFractions, FindingAction::Repaired, detail.into());
        }
        None => {}
    }
    findings
}

/// The units where the whole set speaks against those of the format.
fn units_of(annotations: &[Annotation], declared: WrittenBox) -> Option<Units> {
    let largest = |c: [f64; 4]| declared.numbers(c).into_iter().fold(0.0, f64::max);
    let boxes =
        |units| annotations.iter().filter(move |a| a.units == units).flat_map(|a| &a.objects).map(|o| o.corners);
    let (pixels, fractions) = (boxes(Units::Pixels).count(), boxes(Units::Fractions).count());
    let small = boxes(Units::Pixels).filter(|c| largest(*c) <= 1.0 + SLACK).count();
    if pixels >= MIN_BOXES && fractions == 0 && small * 50 >= pixels * 49 {
        return Some(Units::Fractions);
    }
    let large = boxes(Units::Fractions).filter(|c| largest(*c) > 2.0).count();
    (fractions >= MIN_BOXES && pixels == 0 && large * 50 >= fractions * 49).then_some(Units::Pixels)
}

#[cfg(test)]
mod tests {
    use super::super::annotation::RawObject;
    use super::super::stored::StoredBytes;
    use super::*;

    fn image(units: Units, boxes: &[[f64; 4]]) -> Annotation {
        Annotation {
            stored: StoredBytes::Disk("a".into()),
            source: "a".into(),
            declared_size: Some([640, 480]),
            units,
            form: BoxForm::default(),
            objects: boxes.iter().map(|c| RawObject::new("a", *c, FilePlace::file("a"))).collect(),
            place: FilePlace::file("a"),
        }
    }

    fn judged(declared: WrittenBox, units: Units, numbers: &[[f64; 4]]) -> BoxForm {
        let corners: Vec<[f64; 4]> = numbers.iter().map(|n| declared.corners(*n)).collect();
        judge(&[image(units, &corners), image(units, &corners)], declared, &|_| None)
    }

    fn kinds(form: BoxForm) -> Vec<FindingKind> {
        findings(&form).iter().map(|f| f.kind).collect()
    }

    #[test]
    fn a_set_of_xywh_is_recognised_and_a_set_of_corners_with_slips_is_not() {
        let xywh = [[10.0, 20.0, 100.0, 80.0], [300.0, 200.0, 120.0, 90.0], [500.0, 400.0, 50.0, 40.0]];
        let form = judged(WrittenBox::Corners, Units::Pixels, &xywh);
        assert_eq!(form.corners(xywh[1]), [300.0, 200.0, 420.0, 290.0]);
        let corners = [[10.0, 20.0, 100.0, 80.0], [300.0, 200.0, 420.0, 290.0], [500.0, 400.0, 550.0, 440.0]];
        let flipped = [[600.0, 200.0, 420.0, 290.0], [200.0, 20.0, 100.0, 80.0]];
        let all: Vec<_> = corners.iter().chain(&corners).chain(&flipped).copied().collect();
        assert!(judged(WrittenBox::Corners, Units::Pixels, &all).is_as_declared());
    }

    #[test]
    fn corners_in_place_of_centres_and_of_xywh_are_told() {
        let yolo = [[0.12, 0.21, 0.8, 0.97], [0.52, 0.27, 0.86, 0.82], [0.29, 0.33, 0.76, 0.8]];
        let form = judged(WrittenBox::Centre, Units::Fractions, &yolo);
        assert_eq!(kinds(form), [FindingKind::XyxyAsXywh]);
        let read = form.corners(WrittenBox::Centre.corners(yolo[0]));
        assert!(read.iter().zip(yolo[0]).all(|(a, b)| (a - b).abs() < 1e-9), "{read:?}");
        let coco = [[320.0, 35.0, 600.0, 160.0], [133.0, 250.0, 520.0, 449.0], [276.0, 160.0, 594.0, 344.0]];
        assert_eq!(kinds(judged(WrittenBox::Xywh, Units::Pixels, &coco)), [FindingKind::XyxyAsXywh]);
    }

    #[test]
    fn honest_boxes_stay_and_two_readings_are_an_error() {
        let centres = [[0.5, 0.5, 0.6, 0.7], [0.3, 0.3, 0.5, 0.5], [0.9, 0.9, 0.1, 0.1]];
        assert!(kinds(judged(WrittenBox::Centre, Units::Fractions, &centres)).is_empty());
        let both = [[0.1, 0.1, 0.3, 0.3], [0.2, 0.2, 0.5, 0.5], [0.1, 0.3, 0.4, 0.65]];
        assert_eq!(kinds(judged(WrittenBox::Centre, Units::Fractions, &both)), [FindingKind::BoxFormUnclear]);
    }

    #[test]
    fn units_are_judged_together() {
        let fractions = [[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.4, 0.9]];
        let form = judged(WrittenBox::Corners, Units::Pixels, &fractions);
        assert_eq!((form.units(Units::Pixels), kinds(form)), (Units::Fractions, vec![FindingKind::FractionsAsPixels]));
        let pixels = [[100.0, 100.0, 50.0, 60.0], [300.0, 200.0, 80.0, 90.0], [500.0, 100.0, 44.0, 44.0]];
        let form = judged(WrittenBox::Centre, Units::Fractions, &pixels);
        assert_eq!(kinds(form), [FindingKind::PixelsAsFractions]);
    }
}
