//! VGG Image Annotator (VIA 2): its CSV, whose fields hold JSON, and its JSON export.

use serde_json::Value;

use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::roles::split_of;
use super::shapes::around;

/// Attributes that people give the class, likeliest first; else the only one there is.
const CLASS_KEYS: [&str; 8] = ["class", "label", "name", "type", "category", "object", "species", "class_name"];

/// A row of VIA's CSV.
pub struct ViaRow {
    pub filename: String,
    /// `None` where the row has no region; the text says what is wrong.
    pub object: Option<Result<RawObject, String>>,
}

/// True if a heading is that of VIA's CSV.
pub fn is_heading(heading: &[String]) -> bool {
    let has = |name: &str| heading.iter().any(|h| h.trim_start_matches('#') == name);
    has("filename") && has("region_shape_attributes") && has("region_attributes")
}

/// One row below such a heading.
pub fn row(heading: &[String], record: &[String], place: FilePlace) -> ViaRow {
    let column = |name: &str| heading.iter().position(|h| h.trim_start_matches('#') == name);
    let field = |name: &str| column(name).and_then(|i| record.get(i)).map(String::as_str).unwrap_or_default();
    let json = |name: &str| serde_json::from_str::<Value>(field(name)).unwrap_or_default();
    let shape = json("region_shape_attributes");
    let empty = shape.as_object().is_none_or(|s| s.is_empty()) && field("region_count") == "0";
    let object = (!empty).then(|| read_region(&shape, &json("region_attributes"), place));
    ViaRow { filename: field("filename").to_string(), object }
}

/// True if JSON is VIA's: by its project's keys, or as images with regions.
pub fn is_json(value: &Value) -> bool {
    images(value).is_some_and(|images| {
        let is_image = |v: &Value| v["filename"].is_string() && !v["regions"].is_null();
        !images.is_empty() && images.values().all(is_image)
    })
}

fn images(value: &Value) -> Option<&serde_json::Map<String, Value>> {
    value.get("_via_img_metadata").unwrap_or(value).as_object()
}

/// Adds the labels of one JSON export.
pub fn read_json(folder: &Folder, entry: &FileEntry, value: &Value, labels: &mut Labels) {
    for image in images(value).into_iter().flat_map(|images| images.values()) {
        let wanted = image["filename"].as_str().unwrap_or_default();
        let place = FilePlace::entry(&entry.name, wanted);
        let found = match folder.matcher().find(wanted, &entry.name, split_of(&entry.name)) {
            PhotoMatch::One(id) => &folder.entries()[id],
            other => {
                labels.orphan(place, wanted, other);
                continue;
            }
        };
        let mut annotation = Annotation::new(found, Units::Pixels, place.clone());
        let regions: Vec<&Value> = match &image["regions"] {
            Value::Array(list) => list.iter().collect(),
            // VIA 1 numbers them.
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        for region in regions {
            match read_region(&region["shape_attributes"], &region["region_attributes"], place.clone()) {
                Ok(object) => annotation.objects.push(object),
                Err(fault) => labels.lost(place.clone(), fault),
            }
        }
        labels.found(annotation);
    }
}

fn read_region(shape: &Value, attributes: &Value, place: FilePlace) -> Result<RawObject, String> {
    let number = |name: &str| shape[name].as_f64().ok_or_else(|| format!("a region without {name}"));
    let list =
        |name: &str| -> Vec<f64> { shape[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    let corners = match shape["name"].as_str().unwrap_or_default() {
        "rect" => {
            let [x, y] = [number("x")?, number("y")?];
            [x, y, x + number("width")?, y + number("height")?]
        }
        "circle" => {
            let [x, y, r] = [number("cx")?, number("cy")?, number("r")?];
            [x - r, y - r, x + r, y + r]
        }
        "ellipse" => {
            let [x, y, rx, ry] = [number("cx")?, number("cy")?, number("rx")?, number("ry")?];
            [x - rx, y - ry, x + rx, y + ry]
        }
        "polygon" | "polyline" => {
            let points: Vec<[f64; 2]> =
                list("all_points_x").into_iter().zip(list("all_points_y")).map(|(x, y)| [x, y]).collect();
            around(&points).ok_or("a polygon without points")?
        }
        other => return Err(format!("a region of shape {other:?}, expected a rectangle or a polygon")),
    };
    Ok(RawObject::new(class_of(attributes).ok_or("a region without a class")?, corners, place))
}

/// The value of the attribute that is the class: text, or the option that is chosen.
fn class_of(attributes: &Value) -> Option<String> {
    let map = attributes.as_object()?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_string()).filter(|t| !t.is_empty()),
        Value::Object(options) => {
            options.iter().find(|(_, on)| on.as_bool() == Some(true)).map(|(name, _)| name.clone())
        }
        _ => None,
    };
    let known = CLASS_KEYS.iter().find_map(|key| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)));
    known.and_then(|(_, value)| text(value)).or_else(|| match map.len() {
        1 => map.values().next().and_then(text),
        _ => None,
    })
}
