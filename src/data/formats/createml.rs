//! Apple's CreateML: a list of photos, with `coordinates` of each object as centre and size in pixels.

use serde_json::Value;

use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::roles::{split_in_file_name, split_of};

/// True if a list of JSON values is a list of photos in CreateML's form.
pub fn is_one(list: &[Value]) -> bool {
    let is_photo = |v: &Value| name_of(v).is_some() && objects_of(v).is_some() && v["data"].is_null();
    !list.is_empty() && list.iter().all(is_photo)
}

/// Some writers leave the `s` away.
fn objects_of(photo: &Value) -> Option<&Vec<Value>> {
    photo["annotations"].as_array().or_else(|| photo["annotation"].as_array())
}

fn name_of(photo: &Value) -> Option<&str> {
    ["image", "imagefilename", "filename", "imageName"].iter().find_map(|key| photo[*key].as_str())
}

/// Adds the labels of one file.
pub fn read_one(folder: &Folder, entry: &FileEntry, value: &Value, labels: &mut Labels) {
    let split = split_in_file_name(&entry.name).or_else(|| split_of(&entry.name));
    for photo in value.as_array().into_iter().flatten() {
        let wanted = name_of(photo).unwrap_or_default();
        let place = FilePlace::entry(&entry.name, wanted);
        let found = match folder.matcher().find(wanted, &entry.name, split) {
            PhotoMatch::One(id) => &folder.entries()[id],
            other => {
                labels.orphan(place, wanted, other);
                continue;
            }
        };
        if let Some(split) = split.or_else(|| split_of(&found.name)) {
            labels.add_to_split(split, &found.name);
        }
        let mut annotation = Annotation::new(found, Units::Pixels, place.clone());
        for (i, object) in objects_of(photo).into_iter().flatten().enumerate() {
            let place = FilePlace::entry(&entry.name, format!("{wanted}, object {}", i + 1));
            match read_object(object, place.clone()) {
                Ok(object) => annotation.objects.push(object),
                Err(fault) => labels.lost(place, fault),
            }
        }
        labels.found(annotation);
    }
    if !labels.splits.is_empty() {
        labels.split_source = "the names of JSON files and folders".into();
    }
}

fn read_object(object: &Value, place: FilePlace) -> Result<RawObject, String> {
    let label = object["label"].as_str().or(object["text"].as_str()).map(str::trim).filter(|l| !l.is_empty());
    let number = |name: &str| {
        let value = &object["coordinates"][name];
        value.as_f64().ok_or_else(|| format!("coordinates without {name}"))
    };
    let [x, y, w, h] = [number("x")?, number("y")?, number("width")?, number("height")?];
    let corners = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
    Ok(RawObject::new(label.ok_or("an object without a label")?, corners, place))
}
