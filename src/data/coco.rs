//! COCO JSON: `images`, `annotations` with `bbox` as x, y, width, height in pixels, `categories`.
//!
//! Category ids are names, not indices: they have gaps, start anywhere, and differ between files; classes are joined
//! by name and ordered by id. A category that is only the supercategory of others (Roboflow writes one with id 0) is
//! no class. Masks are not read.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::annotation::{Annotation, Place, RawObject, Units};
use super::error::DataError;
use super::finding::{Action, Finding, Kind};
use super::folder::{Entry, Folder, file_name, split_in_file_name, split_of};
use super::labels::Labels;

#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

// Numbers stay `Value` where one odd entry should cost that entry and not the whole file.
#[derive(Deserialize)]
struct CocoImage {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    file_name: Value,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    image_id: Value,
    #[serde(default)]
    category_id: Value,
    #[serde(default)]
    bbox: Value,
    #[serde(default)]
    area: Value,
    #[serde(default)]
    iscrowd: Value,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: i64,
    name: String,
    #[serde(default)]
    supercategory: Value,
}

/// Reads these JSON files as one data set. `json` files that are something else are passed over if another one serves.
///
/// # Errors
/// If none of the files is COCO; a defect inside one that is becomes a finding.
pub fn read(folder: &Folder, json: &[Entry]) -> Result<Labels, DataError> {
    let mut first_error = None;
    let mut files = Vec::new();
    for entry in json {
        match parse(entry) {
            Ok(file) => files.push((entry, file)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    if let (true, Some(error)) = (files.is_empty(), first_error) {
        return Err(error);
    }
    // The original's folder also holds captions and keypoints of the same images.
    if files.iter().any(|(e, _)| file_name(&e.name).starts_with("instances_")) {
        files.retain(|(e, _)| file_name(&e.name).starts_with("instances_"));
    }
    let mut labels = Labels::default();
    let mut classes = Vec::new();
    let mut taken = BTreeSet::new();
    for (entry, file) in files {
        labels.files.push(entry.path.clone());
        read_one(folder, entry, file, &mut labels, &mut classes, &mut taken);
    }
    labels.classes = Some(classes);
    Ok(labels)
}

fn parse(entry: &Entry) -> Result<CocoFile, DataError> {
    let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the labels"))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|e| DataError::Label {
        place: Place::file(&entry.name),
        found: e.to_string(),
        expected: "COCO JSON with images, annotations and categories".into(),
        help: "export the labels as COCO detection once more".into(),
    })
}

fn read_one(
    folder: &Folder,
    json: &Entry,
    file: CocoFile,
    labels: &mut Labels,
    classes: &mut Vec<String>,
    taken: &mut BTreeSet<String>,
) {
    let names = class_names(json, &file, labels);
    let mut ordered: Vec<_> = names.iter().collect();
    ordered.sort();
    for (_, name) in ordered {
        if !classes.contains(name) {
            classes.push(name.clone());
        }
    }
    let split = split_in_file_name(&json.name).or_else(|| split_of(&json.name));
    let place = |entry: String| Place::entry(&json.name, entry);
    let mut of_image: HashMap<String, usize> = HashMap::new();
    let mut absent = BTreeSet::new();
    for image in &file.images {
        let id = image.id.to_string();
        let wanted = image.file_name.as_str().unwrap_or_default();
        let Some(found) = folder.find_image_of(wanted, &json.name, split).filter(|_| !wanted.is_empty()) else {
            let detail = format!("no image file {wanted:?}");
            let finding = Finding::new(Kind::LabelWithoutImage, place(format!("image {id}")), Action::Dropped, detail);
            labels.findings.push(finding);
            absent.insert(id);
            continue;
        };
        if of_image.contains_key(&id) || !taken.insert(found.name.clone()) {
            let detail = format!("image id {id} or file {wanted:?} is listed twice");
            let finding = Finding::new(Kind::MalformedLabel, place(format!("image {id}")), Action::Dropped, detail);
            labels.findings.push(finding);
            continue;
        }
        if let Some(split) = split.or_else(|| split_of(&found.name)) {
            labels.add_to_split(split, &found.name);
        }
        let side = |v: &Value| v.as_f64().filter(|n| (1.0..=65535.0).contains(n)).map(|n| n as u32);
        of_image.insert(id.clone(), labels.annotations.len());
        labels.annotations.push(Annotation {
            path: found.path.clone(),
            source: found.name.clone(),
            declared_size: side(&image.width).zip(side(&image.height)).map(|(w, h)| [w, h]),
            units: Units::Pixels,
            objects: Vec::new(),
            place: place(format!("image {id}")),
        });
    }
    for annotation in &file.annotations {
        let image = annotation.image_id.to_string();
        if absent.contains(&image) {
            continue;
        }
        let at = place(format!("annotation {}", annotation.id));
        let object = match of_image.get(&image) {
            None => Err(format!("image_id {image} is not in images")),
            Some(&i) => read_object(annotation, &names, at.clone()).map(|o| labels.annotations[i].objects.push(o)),
        };
        if let Err(fault) = object {
            labels.findings.push(Finding::new(Kind::MalformedLabel, at, Action::Dropped, fault));
        }
    }
}

/// Class name by category id, without pure supercategories.
fn class_names(json: &Entry, file: &CocoFile, labels: &mut Labels) -> HashMap<i64, String> {
    let used: BTreeSet<i64> = file.annotations.iter().filter_map(|a| a.category_id.as_i64()).collect();
    let mut names = HashMap::new();
    for category in &file.categories {
        let name = category.name.trim().to_string();
        let is_super = |c: &CocoCategory| c.id != category.id && c.supercategory.as_str() == Some(&category.name);
        if !used.contains(&category.id) && file.categories.iter().any(is_super) {
            let place = Place::entry(&json.name, format!("category {}", category.id));
            let detail = format!("{name:?} is the supercategory of others and labels nothing");
            labels.findings.push(Finding::new(Kind::UnusedCategory, place, Action::Dropped, detail));
        } else {
            names.insert(category.id, name);
        }
    }
    names
}

fn read_object(a: &CocoAnnotation, names: &HashMap<i64, String>, place: Place) -> Result<RawObject, String> {
    let numbers: Option<Vec<f64>> = a.bbox.as_array().map(|v| v.iter().filter_map(Value::as_f64).collect());
    let (Some([x, y, w, h]), Some(4)) = (numbers.as_deref(), a.bbox.as_array().map(Vec::len)) else {
        return Err(format!("bbox is {}, expected [x, y, width, height]", brief(&a.bbox)));
    };
    let class = match a.category_id.as_i64() {
        Some(id) => names.get(&id).cloned().unwrap_or_else(|| format!("category id {id}")),
        None => return Err(format!("category_id is {}, expected a number", brief(&a.category_id))),
    };
    Ok(RawObject {
        class,
        corners: [*x, *y, x + w, y + h],
        difficult: false,
        crowd: a.iscrowd.as_i64() == Some(1) || a.iscrowd.as_bool() == Some(true),
        area: a.area.as_f64().filter(|area| *area > 0.0),
        place,
    })
}

/// The value as text, cut to a length that fits a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(60).chain("...".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_json(value: &Value, images: &[&str]) -> Result<Labels, DataError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::create_dir_all(dir.path().join("annotations")).expect("creates");
        fs::write(dir.path().join("annotations/instances_train2017.json"), value.to_string()).expect("writes");
        for image in images {
            fs::write(dir.path().join(image), "").expect("writes");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let json: Vec<Entry> = folder.with_extension("json").cloned().collect();
        read(&folder, &json)
    }

    fn two_images() -> Value {
        json!({
            "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}, {"id": 9000, "file_name": "b.jpg"}],
            "categories": [
                {"id": 0, "name": "animals", "supercategory": "none"},
                {"id": 17, "name": "dog", "supercategory": "animals"},
                {"id": 3, "name": "cat", "supercategory": "animals"},
            ],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 17, "bbox": [10, 20.5, 30, 5], "area": 75.0, "iscrowd": 1},
                {"id": 5, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1]},
            ],
        })
    }

    #[test]
    fn sparse_ids_gaps_crowd_and_supercategory_zero() {
        let labels = read_json(&two_images(), &["a.jpg", "b.jpg"]).expect("reads");
        assert_eq!(labels.classes, Some(vec!["cat".to_string(), "dog".to_string()]));
        assert_eq!(labels.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::UnusedCategory]);
        let dog = &labels.annotations[0].objects[0];
        assert_eq!((dog.class.as_str(), dog.corners), ("dog", [10.0, 20.5, 40.0, 25.5]));
        assert_eq!((dog.crowd, dog.area), (true, Some(75.0)));
        assert_eq!(labels.annotations[0].declared_size, Some([100, 50]));
        assert_eq!(labels.annotations[1].objects, []);
        assert_eq!(labels.splits["train"].len(), 2);
    }

    #[test]
    fn odd_entries_are_findings() {
        let mut value = two_images();
        value["annotations"] = json!([
            {"id": 1, "image_id": 7, "category_id": 99, "bbox": [0, 0, 5, 5]},
            {"id": 2, "image_id": 8, "category_id": 3, "bbox": [0, 0, 5, 5]},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 5]},
            {"id": 4, "image_id": 7, "category_id": "x", "bbox": [0, 0, 5, 5]},
            {"id": 5, "image_id": 9000, "category_id": 3, "bbox": [0, 0, 5, 5]},
        ]);
        let labels = read_json(&value, &["a.jpg"]).expect("reads");
        let details: Vec<_> = labels.findings.iter().map(|f| format!("{}: {}", f.place.spot, f.detail)).collect();
        assert_eq!(
            details,
            [
                "category 0: \"animals\" is the supercategory of others and labels nothing",
                "image 9000: no image file \"b.jpg\"",
                "annotation 2: image_id 8 is not in images",
                "annotation 3: bbox is [0,0,5], expected [x, y, width, height]",
                "annotation 4: category_id is \"x\", expected a number",
            ]
        );
        assert_eq!(labels.annotations[0].objects[0].class, "category id 99");
    }

    #[test]
    fn other_json_is_an_error() {
        let error = read_json(&json!({"images": []}), &[]).expect_err("no annotations").to_string();
        assert!(error.contains("instances_train2017.json: missing field `annotations`"), "{error}");
        let error = read_json(&json!("words"), &[]).expect_err("no object").to_string();
        assert!(error.contains("expected COCO JSON"), "{error}");
    }
}
