//! COCO JSON: `images`, `annotations` with `bbox` as x, y, width, height in pixels, `categories`.
//!
//! Category ids are names, not indices: they have gaps, start anywhere, differ between files, and some tools write them
//! as text or as 1.0; classes are joined by name and ordered by id. A category that is only the supercategory of others
//! (Roboflow writes one with id 0), or that means the background, is no class. Masks are not read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::box_form::WrittenBox;
use super::super::error::DataError;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::file_name;
use super::super::roles::{split_in_file_name, split_of};
use super::class_list::is_background;
use super::coco_json::{CocoAnnotation, CocoFile, brief, id_of, parse};
use super::shapes::around;

/// Reads these JSON files as one data set. `json` files that are something else are passed over if another one serves.
///
/// # Errors
/// If none of the files is COCO; a defect inside one that is becomes a finding.
pub fn read(folder: &Folder, json: &[FileEntry]) -> Result<Labels, DataError> {
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
    let mut labels = Labels { written: WrittenBox::Xywh, ..Labels::default() };
    // The original's folder also holds captions and keypoints of the same images.
    if files.iter().any(|(e, _)| file_name(&e.name).starts_with("instances_")) {
        let (instances, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(e, _)| file_name(&e.name).starts_with("instances_"));
        labels.fates.extend(others.into_iter().map(|(e, _)| (e.name.clone(), FileFate::PassedOver)));
        files = instances;
    }
    leave_unions_out(&mut files, &mut labels);
    let mut set = Set { folder, classes: Vec::new(), known: HashSet::new(), taken: HashSet::new() };
    for (entry, file) in files {
        labels.files.push(entry.stored.clone());
        labels.fates.push((entry.name.clone(), FileFate::Labels));
        set.read_one(entry, file, &mut labels);
    }
    labels.classes = Some(set.classes);
    if !labels.splits.is_empty() {
        labels.split_source = "the names of JSON files and folders".into();
    }
    labels.report_unlabelled(folder);
    Ok(labels)
}

/// `all.json` beside `train.json` and `val.json` says nothing new, and would hide the split.
fn leave_unions_out(files: &mut Vec<(&FileEntry, CocoFile)>, labels: &mut Labels) {
    let role = |e: &FileEntry| split_in_file_name(&e.name).or_else(|| split_of(&e.name));
    let roles: BTreeSet<&str> = files.iter().filter_map(|(e, _)| role(e)).collect();
    if roles.is_empty() || files.len() < 2 {
        return;
    }
    let names = |f: &CocoFile| -> Vec<String> { f.images.iter().map(|i| i.name().to_string()).collect() };
    let in_splits: HashSet<String> =
        files.iter().filter(|(e, _)| role(e).is_some()).flat_map(|(_, f)| names(f)).collect();
    files.retain(|(entry, file)| {
        let names = names(file);
        let known = names.iter().filter(|n| in_splits.contains(*n)).count();
        let is_union = role(entry).is_none() && known * 10 >= names.len() * 9;
        if is_union {
            labels.fates.push((entry.name.clone(), FileFate::PassedOver));
            let detail = format!("{known} of its {} images are in the files of the splits as well", names.len());
            let (kind, place) = (FindingKind::LabelsPassedOver, FilePlace::file(&entry.name));
            let finding = Finding::new(kind, place, FindingAction::Dropped, detail);
            labels.findings.add(finding.with_severity(Severity::Info));
        }
        !is_union
    });
}

/// The parts that all files of a set share.
struct Set<'a> {
    folder: &'a Folder,
    classes: Vec<String>,
    known: HashSet<String>,
    taken: HashSet<usize>,
}

impl Set<'_> {
    fn read_one(&mut self, json: &FileEntry, file: CocoFile, labels: &mut Labels) {
        let names = class_names(json, &file, labels);
        for name in names.values().flatten() {
            if self.known.insert(name.clone()) {
                self.classes.push(name.clone());
            }
        }
        let split = split_in_file_name(&json.name).or_else(|| split_of(&json.name));
        let place = |entry: String| FilePlace::entry(&json.name, entry);
        let mut of_image: HashMap<String, usize> = HashMap::new();
        let mut absent = HashSet::new();
        for image in &file.images {
            let id = id_of(&image.id).unwrap_or_default();
            let wanted = image.name();
            let found = match self.folder.matcher().find(wanted, &json.name, split) {
                PhotoMatch::One(found) => &self.folder.entries()[found],
                other => {
                    labels.orphan(place(format!("image {id}")), wanted, other);
                    absent.insert(id);
                    continue;
                }
            };
            if of_image.contains_key(&id) || !self.taken.insert(found.id) {
                labels.count.orphaned += 1;
                let detail = format!("image id {id} or file {wanted:?} is listed twice");
                let place = place(format!("image {id}"));
                labels.findings.note(FindingKind::MalformedLabel, place, FindingAction::Dropped, detail);
                absent.insert(id);
                continue;
            }
            if let Some(split) = split.or_else(|| split_of(&found.name)) {
                labels.add_to_split(split, &found.name);
            }
            of_image.insert(id.clone(), labels.annotations.len());
            let annotation = Annotation::new(found, Units::Pixels, place(format!("image {id}")));
            labels.found(annotation.with_size(image.width.as_f64(), image.height.as_f64()));
        }
        for annotation in &file.annotations {
            let image = id_of(&annotation.image_id).unwrap_or_else(|| annotation.image_id.to_string());
            // Boxes of an image that is listed twice stay with its first entry.
            if absent.contains(&image) && !of_image.contains_key(&image) {
                continue;
            }
            let at = place(format!("annotation {}", annotation.id));
            match of_image.get(&image) {
                None => labels.lost(at, format!("image_id {image} is not in images")),
                Some(&i) => match read_object(annotation, &names, at.clone()) {
                    Ok(object) => labels.annotations[i].objects.extend(object),
                    Err(fault) => labels.lost(at, fault),
                },
            }
        }
    }
}

/// Class name by category id; `None` for what is no class: pure supercategories and the background.
fn class_names(json: &FileEntry, file: &CocoFile, labels: &mut Labels) -> BTreeMap<CategoryId, Option<String>> {
    let used: HashSet<CategoryId> = file.annotations.iter().filter_map(|a| CategoryId::of(&a.category_id)).collect();
    let supers: HashSet<&str> = {
        let of = |c: &'_ super::coco_json::CocoCategory| c.supercategory.as_str().is_some_and(|s| s != c.name);
        file.categories.iter().filter(|c| of(c)).filter_map(|c| c.supercategory.as_str()).collect()
    };
    let mut names: BTreeMap<CategoryId, Option<String>> = BTreeMap::new();
    for category in &file.categories {
        let Some(id) = CategoryId::of(&category.id) else { continue };
        let name = category.name.trim().to_string();
        if let Some(Some(other)) = names.get(&id).filter(|n| n.as_ref() != Some(&name)) {
            let place = FilePlace::entry(&json.name, format!("category {}", category.id));
            let detail = format!("the id stands for {other:?} and for {name:?}; the first is used");
            labels.findings.note(FindingKind::ClassListsDisagree, place, FindingAction::Kept, detail);
            continue;
        }
        let unused = !used.contains(&id);
        let reason = match () {
            () if unused && supers.contains(category.name.as_str()) => {
                "is the supercategory of others and labels nothing"
            }
            () if is_background(&name) => "means the background, which is no class",
            () => {
                names.insert(id, Some(name));
                continue;
            }
        };
        let place = FilePlace::entry(&json.name, format!("category {}", category.id));
        labels.findings.note(FindingKind::UnusedCategory, place, FindingAction::Dropped, format!("{name:?} {reason}"));
        names.insert(id, None);
    }
    if let Some(detail) = counted_from_zero(&names, &used) {
        labels.findings.note(FindingKind::ClassListsDisagree, FilePlace::file(&json.name), FindingAction::Kept, detail);
    }
    names
}

/// Ids 0 to n - 1 in the annotations where the categories have 1 to n: one reading takes all names wrong.
fn counted_from_zero(names: &BTreeMap<CategoryId, Option<String>>, used: &HashSet<CategoryId>) -> Option<String> {
    let number = |id: &CategoryId| match id {
        CategoryId::Number(n) => Some(*n),
        CategoryId::Text(_) => None,
    };
    let ids = |all: Vec<&CategoryId>| all.into_iter().map(number).collect::<Option<BTreeSet<i64>>>();
    let (listed, used) = (ids(names.keys().collect())?, ids(used.iter().collect())?);
    let is_run = listed.iter().zip(1..).all(|(id, i)| *id == i);
    let n = listed.len() as i64;
    (is_run && n > 1 && used.first() == Some(&0) && used.last().is_some_and(|last| *last == n - 1)).then(|| {
        format!(
            "category ids run from 1 to {n}, those of annotations from 0 to {}: the annotations count from 0",
            n - 1
        )
    })
}

/// A category's id: ordered as a number where it is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum CategoryId {
    Number(i64),
    Text(String),
}

impl CategoryId {
    fn of(value: &Value) -> Option<Self> {
        let text = id_of(value)?;
        Some(text.parse().map_or(Self::Text(text), Self::Number))
    }
}

/// `None` for an object of what is no class.
fn read_object(
    a: &CocoAnnotation,
    names: &BTreeMap<CategoryId, Option<String>>,
    place: FilePlace,
) -> Result<Option<RawObject>, String> {
    let list = box_list(&a.bbox);
    let numbers: Option<Vec<f64>> = list.as_ref().map(|v| v.iter().filter_map(number).collect());
    let corners = match (numbers.as_deref(), list.as_ref().map(Vec::len), outline(&a.segmentation)) {
        (Some([x, y, w, h]), Some(4), _) => [*x, *y, x + w, y + h],
        (None | Some([]), None | Some(0), Some(corners)) => corners,
        _ => return Err(format!("bbox is {}, expected [x, y, width, height]", brief(&a.bbox))),
    };
    let class = match CategoryId::of(&a.category_id) {
        Some(id @ CategoryId::Number(_)) => match names.get(&id) {
            Some(Some(name)) => name.clone(),
            Some(None) => return Ok(None),
            None => format!("category id {}", a.category_id),
        },
        Some(id) if names.contains_key(&id) => match &names[&id] {
            Some(name) => name.clone(),
            None => return Ok(None),
        },
        _ => return Err(format!("category_id is {}, expected a number", brief(&a.category_id))),
    };
    let crowd = a.iscrowd.as_i64() == Some(1) || a.iscrowd.as_bool() == Some(true);
    let area = number(&a.area).filter(|area| *area > 0.0);
    Ok(Some(RawObject { crowd, area, ..RawObject::new(class, corners, place) }))
}

/// The four values of a box, which some writers put into a text (`"[1, 2, 3, 4]"`) or an object with names.
fn box_list(bbox: &Value) -> Option<Vec<Value>> {
    let named =
        |x: &str, y: &str, w: &str, h: &str| Some([x, y, w, h].map(|k| bbox.get(k)).into_iter().flatten().cloned());
    match bbox {
        Value::Array(list) => Some(list.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Object(_) if bbox.get("x").is_some() => named("x", "y", "width", "height").map(Iterator::collect),
        Value::Object(_) => named("left", "top", "width", "height").map(Iterator::collect),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n| n.is_finite())
}

/// The box around polygons, for objects without `bbox`.
fn outline(segmentation: &Value) -> Option<[f64; 4]> {
    let numbers: Vec<f64> =
        segmentation.as_array()?.iter().filter_map(Value::as_array).flatten().filter_map(number).collect();
    let points: Vec<[f64; 2]> = numbers.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
    around(&points)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(value: &Value, images: &[&str]) -> Result<Labels, DataError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(dir.path().join("annotations")).expect("creates");
        std::fs::write(dir.path().join("annotations/instances_train2017.json"), value.to_string()).expect("writes");
        for image in images {
            std::fs::write(dir.path().join(image), "").expect("writes");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let json: Vec<FileEntry> = folder.with_extension("json").cloned().collect();
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
        assert_eq!(labels.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::UnusedCategory]);
        let dog = &labels.annotations[0].objects[0];
        assert_eq!((dog.class.as_str(), dog.corners), ("dog", [10.0, 20.5, 40.0, 25.5]));
        assert_eq!((dog.crowd, dog.area), (true, Some(75.0)));
        assert_eq!(labels.annotations[0].declared_size, Some([100, 50]));
        assert_eq!(labels.annotations[1].objects, []);
        assert_eq!(labels.splits["train"].len(), 2);
    }

    #[test]
    fn ids_as_text_and_as_floats_are_ids_and_the_background_is_no_class() {
        let mut value = two_images();
        value["categories"].as_array_mut().expect("a list").push(json!({"id": 20, "name": "_background_"}));
        value["annotations"] = json!([
            {"id": 1, "image_id": "7", "category_id": "17", "bbox": [1, 1, 5, 5]},
            {"id": 2, "image_id": 7.0, "category_id": 3.0, "bbox": ["1", 1, 5, 5]},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [], "segmentation": [[1, 2, 5, 2, 5, 9]]},
        ]);
        let labels = read_json(&value, &["a.jpg", "b.jpg"]).expect("reads");
        let found: Vec<_> = labels.annotations[0].objects.iter().map(|o| (o.class.as_str(), o.corners[3])).collect();
        assert_eq!(found, [("dog", 6.0), ("cat", 6.0), ("cat", 9.0)]);
        assert_eq!(labels.classes.map(|c| c.len()), Some(2));
    }

    #[test]
    fn boxes_as_texts_and_objects_are_read_and_ids_that_disagree_are_told() {
        let mut value = two_images();
        value["annotations"] = json!([
            {"id": 1, "image_id": 7, "category_id": 17, "bbox": "[1, 2, 3, 4]"},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": {"x": 1, "y": 2, "width": 3, "height": 4}},
        ]);
        let labels = read_json(&value, &["a.jpg", "b.jpg"]).expect("reads");
        assert!(labels.annotations[0].objects.iter().all(|o| o.corners == [1.0, 2.0, 4.0, 6.0]), "{labels:?}");
        value["categories"] = json!([{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]);
        value["annotations"] = json!([
            {"id": 1, "image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},
        ]);
        let told = |value: &Value, part: &str| {
            let labels = read_json(value, &["a.jpg", "b.jpg"]).expect("reads");
            let found = labels.findings.iter().find(|f| f.kind == FindingKind::ClassListsDisagree).expect("is told");
            assert!(found.detail.contains(part), "{found:?}");
        };
        told(&value, "the annotations count from 0");
        value["categories"] = json!([{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]);
        told(&value, "stands for \"cat\" and for \"dog\"");
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
