//! CVAT for images 1.1: one `annotations.xml`, with an `<image>` for every picture of the task.
//!
//! Shapes other than boxes become their bounding boxes. Points and skeletons are no objects and are left out.

use std::collections::HashSet;

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::error::DataError;
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::roles::{split_name, split_of};
use super::shapes::{around, rotated};
use super::xml::Element;

/// True if the root element is that of CVAT's XML: with images or tracks, and not merely of that name.
pub fn is_one(root: &Element) -> bool {
    root.name == "annotations" && root.children.iter().any(|c| matches!(c.name.as_str(), "image" | "track"))
}

/// Adds the labels of one file.
///
/// # Errors
/// If it is CVAT's format for videos, whose frames are no photos.
pub fn read_one(
    folder: &Folder,
    xml: &FileEntry,
    root: &Element,
    labels: &mut Labels,
    taken: &mut HashSet<usize>,
) -> Result<FileFate, DataError> {
    if root.child("image").is_none() {
        return Err(DataError::Label {
            place: FilePlace::file(&xml.name),
            found: "CVAT for video, with tracks over frames".into(),
            expected: "labels of single photos".into(),
            help: "export the task as \"CVAT for images 1.1\" or \"COCO 1.0\", with images".into(),
        });
    }
    let mut classes = labels.classes.take().unwrap_or_default();
    for name in root.child("meta").into_iter().flat_map(label_names) {
        if !classes.contains(&name) {
            classes.push(name);
        }
    }
    labels.classes = Some(classes).filter(|c| !c.is_empty());
    let mut shapes = 0;
    for image in root.children_named("image") {
        let wanted = image.attribute("name").unwrap_or_default();
        let place = FilePlace::line(&xml.name, image.line);
        let subset = image.attribute("subset").filter(|s| !s.is_empty() && !s.eq_ignore_ascii_case("default"));
        let split = subset.map(|s| split_name(s).unwrap_or(s));
        let found = match folder.matcher().find(wanted, &xml.name, split.or(split_of(&xml.name))) {
            PhotoMatch::One(id) => &folder.entries()[id],
            other => {
                labels.orphan(place, wanted, other);
                continue;
            }
        };
        if !taken.insert(found.id) {
            labels.repeated(place, &found.name);
            continue;
        }
        if let Some(split) = split {
            labels.add_to_split(split, &found.name);
        }
        let mut annotation = Annotation::new(found, Units::Pixels, place);
        annotation = annotation.with_size(image.number("width"), image.number("height"));
        for shape in &image.children {
            match read_shape(shape, &xml.name) {
                Ok(Some(object)) => {
                    shapes += usize::from(shape.name != "box");
                    annotation.objects.push(object);
                }
                Ok(None) => {}
                Err(fault) => labels.lost(FilePlace::line(&xml.name, shape.line), fault),
            }
        }
        labels.found(annotation);
    }
    if labels.splits.len() > 1 {
        labels.split_source = format!("the subsets of {}", xml.name);
    } else {
        labels.splits.clear();
    }
    if shapes > 0 {
        let detail = format!("{shapes} of the objects are polygons or other shapes; their bounding boxes are used");
        labels.findings.note(FindingKind::PolygonLabels, FilePlace::file(&xml.name), FindingAction::Repaired, detail);
    }
    Ok(FileFate::Labels)
}

/// The names in `<labels><label><name>`, at whatever depth a task, job or project puts them; parts of skeletons have
/// a parent and are no classes.
fn label_names(meta: &Element) -> Vec<String> {
    let own = meta.children_named("labels").flat_map(|l| l.children_named("label"));
    let own = own.filter(|l| l.child("parent").is_none()).filter_map(|l| l.text_of("name").map(str::to_string));
    own.chain(meta.children.iter().filter(|c| c.name != "labels").flat_map(label_names)).collect()
}

/// `None` for what is no object: tags, single points, lines.
fn read_shape(shape: &Element, file: &str) -> Result<Option<RawObject>, String> {
    let number = |name: &str| {
        shape
            .number(name)
            .ok_or_else(|| format!("{name} is {:?}, expected a number", shape.attribute(name).unwrap_or("")))
    };
    let corners = match shape.name.as_str() {
        "box" => {
            let corners = [number("xtl")?, number("ytl")?, number("xbr")?, number("ybr")?];
            rotated(corners, shape.number("rotation").unwrap_or(0.0))
        }
        "ellipse" => {
            let [cx, cy, rx, ry] = [number("cx")?, number("cy")?, number("rx")?, number("ry")?];
            rotated([cx - rx, cy - ry, cx + rx, cy + ry], shape.number("rotation").unwrap_or(0.0))
        }
        "mask" => {
            let [left, top] = [number("left")?, number("top")?];
            [left, top, left + number("width")?, top + number("height")?]
        }
        "polygon" => {
            let text = shape.attribute("points").unwrap_or_default();
            let point = |p: &str| -> Option<[f64; 2]> {
                let (x, y) = p.split_once(',')?;
                Some([x.trim().parse().ok()?, y.trim().parse().ok()?])
            };
            let points: Option<Vec<[f64; 2]>> = text.split(';').map(point).collect();
            around(&points.unwrap_or_default()).ok_or("a polygon without points")?
        }
        "cuboid" => {
            let corners = ["tl", "tr", "bl", "br"].iter().flat_map(|c| [1, 2].map(|i| (c, i)));
            let points: Option<Vec<[f64; 2]>> = corners
                .map(|(c, i)| Some([shape.number(&format!("x{c}{i}"))?, shape.number(&format!("y{c}{i}"))?]))
                .collect();
            around(&points.unwrap_or_default()).ok_or("a cuboid without corners")?
        }
        _ => return Ok(None),
    };
    let class = shape.attribute("label").filter(|l| !l.is_empty()).ok_or("a shape without a label")?;
    Ok(Some(RawObject::new(class, corners, FilePlace::line(file, shape.line))))
}
