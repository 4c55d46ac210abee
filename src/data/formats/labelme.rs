//! LabelMe: one JSON per photo, with `shapes` of points in pixels and `imagePath`.
//!
//! `imageData` may hold the photo once more in base64; it is skipped.

use serde_json::Value;

use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::{file_name, folded, stem};
use super::super::roles::split_of;
use super::shapes::around;

/// Adds the labels of one file.
pub fn read_one(folder: &Folder, entry: &FileEntry, value: &Value, labels: &mut Labels) {
    let place = FilePlace::file(&entry.name);
    let path = value["imagePath"].as_str().unwrap_or_default().replace('\\', "/");
    let own = stem(&entry.name);
    let find = |wanted: &str| folder.matcher().find(wanted, &entry.name, split_of(&entry.name));
    // The path is from the JSON's folder, as long as nobody moved either.
    let same = folded(stem(file_name(&path))) == folded(own);
    let first = find(if same { file_name(&path) } else { own });
    let found = match first.id() {
        Some(_) => first,
        None => find(&path),
    };
    let PhotoMatch::One(id) = found else {
        labels.orphan(
            place,
            if path.is_empty() { own } else { &path },
            if first == PhotoMatch::None { found } else { first },
        );
        return;
    };
    let mut annotation = Annotation::new(&folder.entries()[id], Units::Pixels, place);
    annotation = annotation.with_size(value["imageWidth"].as_f64(), value["imageHeight"].as_f64());
    for (i, shape) in value["shapes"].as_array().into_iter().flatten().enumerate() {
        let place = FilePlace::entry(&entry.name, format!("shape {}", i + 1));
        match read_shape(shape, place.clone()) {
            Ok(Some(object)) => annotation.objects.push(object),
            Ok(None) => {}
            Err(fault) => labels.lost(place, fault),
        }
    }
    labels.found(annotation);
}

/// `None` for points and lines, which are no objects.
fn read_shape(shape: &Value, place: FilePlace) -> Result<Option<RawObject>, String> {
    let point = |p: &Value| Some([p.get(0)?.as_f64()?, p.get(1)?.as_f64()?]);
    let points: Option<Vec<[f64; 2]>> = shape["points"].as_array().and_then(|p| p.iter().map(point).collect());
    let points = points.ok_or("a shape without points")?;
    let corners = match (shape["shape_type"].as_str().unwrap_or("polygon"), points.as_slice()) {
        ("point" | "points" | "line" | "linestrip", _) => return Ok(None),
        ("circle", [centre, edge]) => {
            let radius = (edge[0] - centre[0]).hypot(edge[1] - centre[1]);
            [centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius]
        }
        (_, points) if points.len() >= 2 => around(points).ok_or("points that are no numbers")?,
        (kind, points) => return Err(format!("a {kind} of {} points", points.len())),
    };
    let class = shape["label"].as_str().map(str::trim).filter(|l| !l.is_empty()).ok_or("a shape without a label")?;
    Ok(Some(RawObject::new(class, corners, place)))
}
