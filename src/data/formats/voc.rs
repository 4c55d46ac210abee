//! Pascal VOC (and the XML of MIT's LabelMe): one XML per image, in `Annotations/`, `annotations/`, `annots/` or beside the image.
//!
//! Corners are taken as written: whether a tool counted pixels from 0 or from 1 cannot be seen, and one pixel is
//! below the labels' own noise. Read leniently, because hand-made tools write many dialects: only objects that are
//! direct children of the annotation count (`<part>` boxes do not), coordinates may be floats, the size may be missing.

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::{file_name, folded, stem};
use super::super::roles::split_of;
use super::shapes::{around, rotated};
use super::xml::Element;

/// More corners than a polygon of any tool has.
const MAX_CORNERS: usize = 10_000;

/// Adds the labels of one file whose root element is `annotation`; `taken` holds the ids of photos with labels.
pub fn read_one(
    folder: &Folder,
    xml: &FileEntry,
    root: &Element,
    labels: &mut Labels,
    taken: &mut std::collections::HashSet<usize>,
) -> FileFate {
    let place = FilePlace::file(&xml.name);
    let image = match find_image(folder, xml, root) {
        PhotoMatch::One(id) => &folder.entries()[id],
        other => {
            let named = root.text_of("filename").filter(|n| !n.is_empty());
            labels.orphan(place, named.unwrap_or(stem(&xml.name)), other);
            return FileFate::Orphan;
        }
    };
    if !taken.insert(image.id) {
        labels.repeated(place, &image.name);
        return FileFate::Orphan;
    }
    let size = |name| root.child("size").and_then(|s| s.text_of(name)).and_then(|t| t.parse().ok());
    let mut annotation = Annotation::new(image, Units::Pixels, place).with_size(size("width"), size("height"));
    // LabelMe keeps what was deleted, with a mark.
    for element in root.children_named("object").filter(|o| o.text_of("deleted") != Some("1")) {
        match read_object(element, &xml.name) {
            Ok(object) => annotation.objects.push(object),
            Err(fault) => labels.lost(FilePlace::line(&xml.name, element.line), fault),
        }
    }
    labels.found(annotation);
    FileFate::Labels
}

/// The image of the XML's own name is the rule of the format, with the extension that `<filename>` gives. Another
/// `<filename>` is often a leftover, but better than nothing.
fn find_image<'a>(folder: &'a Folder, xml: &FileEntry, root: &Element) -> PhotoMatch<'a> {
    let own = stem(&xml.name);
    let filename = root.text_of("filename").unwrap_or_default().replace('\\', "/");
    let named = file_name(&filename);
    let split = split_of(&xml.name);
    let find = |wanted: &str| match wanted.is_empty() {
        true => PhotoMatch::None,
        false => folder.matcher().find(wanted, &xml.name, split),
    };
    let same = folded(stem(named)) == folded(own);
    let readings = if same { [named, own, ""] } else { [own, &filename, named] };
    let mut first = PhotoMatch::None;
    for reading in readings {
        match find(reading) {
            PhotoMatch::One(id) => return PhotoMatch::One(id),
            other if first == PhotoMatch::None => first = other,
            _ => {}
        }
    }
    // Photos of one name in several folders: `<folder>` may tell.
    let inside = root.text_of("folder").filter(|f| !f.is_empty() && matches!(first, PhotoMatch::Several(..)));
    match inside.map(|f| find(&format!("{f}/{}", if same { named } else { own }))) {
        Some(PhotoMatch::One(id)) => PhotoMatch::One(id),
        _ => first,
    }
}

/// The box around an outline, which the web LabelMe of MIT writes in the place of `bndbox`.
fn outline(polygon: &Element) -> Option<[f64; 4]> {
    let number_in = |point: &Element, name: &str| number(point.text_of(name)?);
    let point = |point: &Element| Some([number_in(point, "x")?, number_in(point, "y")?]);
    let points: Option<Vec<[f64; 2]>> = polygon.children_named("pt").map(point).collect();
    // Other tools number the corners: `<x1>`, `<y1>`, `<x2>` and so on.
    let numbered = (1..=MAX_CORNERS)
        .map_while(|i| Some([number_in(polygon, &format!("x{i}"))?, number_in(polygon, &format!("y{i}"))?]));
    around(&points?).or_else(|| around(&numbered.collect::<Vec<_>>()))
}

/// The box around a turned box of roLabelImg: its centre, size, and angle in radians.
fn turned(robndbox: &Element) -> Option<[f64; 4]> {
    let of = |name: &str| number(robndbox.text_of(name)?);
    let (cx, cy, w, h) = (of("cx")?, of("cy")?, of("w")?, of("h")?);
    let upright = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
    Some(rotated(upright, of("angle").unwrap_or(0.0).to_degrees()))
}

/// A finite number, also with a decimal comma.
fn number(text: &str) -> Option<f64> {
    text.trim().replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite())
}

fn read_object(object: &Element, file: &str) -> Result<RawObject, String> {
    let class = object.text_of("name").filter(|n| !n.is_empty()).ok_or("an object without a name")?;
    let Some(bndbox) = object.child("bndbox") else {
        let outline = object.child("polygon").and_then(outline);
        let outline = outline.or_else(|| object.child("robndbox").and_then(turned));
        let corners = outline.ok_or_else(|| format!("object {class:?} without bndbox"))?;
        return Ok(RawObject::new(class, corners, FilePlace::line(file, object.line)));
    };
    let mut corners = [0.0; 4];
    for (corner, name) in corners.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
        let text = bndbox.text_of(name).ok_or_else(|| format!("object {class:?}: bndbox without {name}"))?;
        *corner = number(text).ok_or_else(|| format!("object {class:?}: {name} is {text:?}, expected a number"))?;
    }
    let difficult = object.text_of("difficult").is_some_and(|d| d == "1" || d.eq_ignore_ascii_case("true"));
    Ok(RawObject { difficult, ..RawObject::new(class, corners, FilePlace::line(file, object.line)) })
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::FindingKind;
    use super::super::xml_files::read;
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Labels {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            std::fs::write(path, text).expect("writes");
        }
        let (_, labels) = read(&Folder::list(dir.path()).expect("lists")).expect("reads").expect("has labels");
        labels
    }

    const CAT: &str = "<annotation><filename>old.jpg</filename><size><width>64</width><height>48</height></size>
        <object><name> cat &amp; dog </name><difficult>1</difficult>
        <bndbox><ymin>2.5</ymin><xmin>1</xmin><xmax>30</xmax><ymax>40</ymax></bndbox>
        <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object></annotation>";

    #[test]
    fn reads_objects_with_floats_entities_and_any_order() {
        let labels = read_files(&[("Annotations/a #1.xml", CAT), ("JPEGImages/a #1.JPG", "")]);
        assert!(labels.findings.is_empty(), "{:?}", labels.findings);
        let a = &labels.annotations[0];
        assert_eq!((a.source.as_str(), a.declared_size), ("JPEGImages/a #1.JPG", Some([64, 48])));
        assert_eq!(a.objects.len(), 1);
        assert_eq!((a.objects[0].class.as_str(), a.objects[0].corners), ("cat & dog", [1.0, 2.5, 30.0, 40.0]));
        assert!(a.objects[0].difficult);
        assert_eq!(a.objects[0].place, FilePlace::line("Annotations/a #1.xml", 2));
    }

    #[test]
    fn the_xmls_own_name_beats_its_filename_element_and_its_extension_beats_a_mask() {
        let labels = read_files(&[("x/a.xml", CAT), ("x/a.png", ""), ("x/old.jpg", "")]);
        assert_eq!(labels.annotations[0].source, "x/a.png");
        let labels = read_files(&[("x/a.xml", CAT), ("x/old.jpg", "")]);
        assert_eq!(labels.annotations[0].source, "x/old.jpg");
        let named = CAT.replace("old.jpg", "a.jpg");
        let labels = read_files(&[("ann/xmls/a.xml", &named), ("ann/odd/a.png", ""), ("images/a.jpg", "")]);
        assert_eq!(labels.annotations[0].source, "images/a.jpg");
    }

    #[test]
    fn outlines_are_read_as_boxes_and_deleted_objects_are_not_there() {
        let point = |x: u32, y: u32| format!("<pt><x>{x}</x><y>{y}.5</y></pt>");
        let polygon: String = [(5, 6), (30, 6), (30, 40), (5, 41)].map(|(x, y)| point(x, y)).concat();
        let object = |deleted| {
            format!(
                "<object><name>car</name><deleted>{deleted}</deleted><polygon>{polygon}<username/></polygon></object>"
            )
        };
        let text = format!("<annotation><filename>a.jpg</filename>{}{}</annotation>", object(0), object(1));
        let labels = read_files(&[("Annotations/a.xml", &text), ("Images/a.jpg", "")]);
        let [object] = labels.annotations[0].objects.as_slice() else { panic!("{:?}", labels.annotations) };
        assert_eq!((object.class.as_str(), object.corners), ("car", [5.0, 6.5, 30.0, 41.5]));
    }

    #[test]
    fn turned_boxes_numbered_corners_and_decimal_commas_are_read() {
        let robndbox = "<robndbox><cx>20</cx><cy>10</cy><w>8</w><h>4</h><angle>1.5707963267948966</angle></robndbox>";
        let polygon = "<polygon><x1>18</x1><y1>6</y1><x2>22</x2><y2>6</y2><x3>22</x3><y3>14</y3></polygon>";
        let bndbox = "<bndbox><xmin>18,0</xmin><ymin>6,00</ymin><xmax>22</xmax><ymax>14,0</ymax></bndbox>";
        for inner in [robndbox, polygon, bndbox] {
            let text = format!("<annotation><object><name>car</name>{inner}</object></annotation>");
            let labels = read_files(&[("a.xml", &text), ("a.jpg", "")]);
            let [object] = labels.annotations[0].objects.as_slice() else { panic!("{inner}: {labels:?}") };
            let off = object.corners.iter().zip([18.0, 6.0, 22.0, 14.0]).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f64::max) < 1e-9, "{inner}: {object:?}");
        }
    }

    #[test]
    fn a_second_annotation_and_a_pointer_in_the_place_of_a_file_are_told() {
        let twice = format!("{CAT}\n{CAT}");
        let labels = read_files(&[("a.xml", &twice), ("a.jpg", "")]);
        assert_eq!((labels.annotations.len(), labels.findings[0].kind), (1, FindingKind::MalformedLabel));
        assert!(labels.findings[0].detail.contains("a second annotation"), "{:?}", labels.findings[0]);
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n";
        let labels = read_files(&[("a.xml", pointer), ("a.jpg", "")]);
        assert!(labels.findings[0].detail.contains("git lfs pull"), "{:?}", labels.findings[0]);
    }

    #[test]
    fn defects_are_findings_with_their_line() {
        let no_box = "<annotation>\n<object><name>cat</name></object>\n</annotation>";
        let word = no_box.replace("</name>", "</name><bndbox><xmin>left</xmin></bndbox>");
        let cut = &CAT[..CAT.find("<xmin>").expect("is there")];
        for (text, line, detail) in [
            (no_box, 2, "object \"cat\" without bndbox"),
            (word.as_str(), 2, "object \"cat\": xmin is \"left\", expected a number"),
            (cut, 3, "the file ends inside <"),
        ] {
            let labels = read_files(&[("a.xml", text), ("a.jpg", "")]);
            let finding = &labels.findings[0];
            assert_eq!(
                (finding.kind, finding.place.clone()),
                (FindingKind::MalformedLabel, FilePlace::line("a.xml", line))
            );
            assert!(finding.detail.starts_with(detail), "{}", finding.detail);
        }
        let orphan = read_files(&[("a.xml", CAT)]);
        assert_eq!(orphan.findings[0].kind, FindingKind::LabelWithoutImage);
        assert_eq!(
            (orphan.count.orphaned, orphan.fates.as_slice()),
            (1, &[("a.xml".to_string(), FileFate::Orphan)][..])
        );
    }
}
