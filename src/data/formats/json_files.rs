//! All JSON files of a set, told apart by their keys: COCO, LabelMe, Label Studio, CreateML, VIA.
//!
//! Others that are known are named with the export to choose instead; JSON of no labelling tool is passed over.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::account::FileFate;
use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::paths::stem;
use super::super::text::decode;
use super::format::Format;
use super::python_json::plain;
use super::{coco, createml, labelme, labelstudio, via};

/// The largest JSON of a format that is read as a whole tree of values.
pub const MAX_TREE_BYTES: usize = 256 << 20;

/// The kind of a JSON file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Coco,
    LabelMe,
    LabelStudio,
    CreateMl,
    Via,
    /// A tool whose export is not read: its name, and the export to choose.
    Known(&'static str, &'static str),
    Other,
}

/// Keys of the outermost object; values are skipped without being kept.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    images: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    categories: Option<IgnoredAny>,
    shapes: Option<IgnoredAny>,
    #[serde(rename = "imagePath")]
    image_path: Option<IgnoredAny>,
    objects: Option<IgnoredAny>,
    size: Option<IgnoredAny>,
    asset: Option<IgnoredAny>,
    regions: Option<IgnoredAny>,
    assets: Option<IgnoredAny>,
    #[serde(rename = "boundingBoxes")]
    bounding_boxes: Option<IgnoredAny>,
    #[serde(rename = "_via_img_metadata")]
    via: Option<IgnoredAny>,
    frames: Option<IgnoredAny>,
    items: Option<IgnoredAny>,
    classes: Option<IgnoredAny>,
    tags: Option<IgnoredAny>,
    item: Option<IgnoredAny>,
    label_classes: Option<IgnoredAny>,
    metadata: Option<IgnoredAny>,
    instances: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    file: Option<IgnoredAny>,
    view: Option<IgnoredAny>,
}

/// The kind of a file by its text. Broken JSON with the keys of COCO is COCO, whose reader says what is broken.
pub fn kind_of(text: &str) -> JsonKind {
    let start = text.trim_start();
    if start.starts_with('[') {
        return match serde_json::from_str::<Vec<Value>>(text).ok().as_deref() {
            Some(list) if createml::is_one(list) => JsonKind::CreateMl,
            Some(list) if labelstudio::is_one(list) => JsonKind::LabelStudio,
            Some(list) => known_list(list),
            None => JsonKind::Other,
        };
    }
    let Ok(keys) = serde_json::from_str::<Keys>(text) else {
        let likely = text.contains("\"images\"") || text.contains("\"annotations\"");
        return if likely { JsonKind::Coco } else { JsonKind::Other };
    };
    let images = keys.images.is_some();
    match keys {
        Keys { shapes: Some(_), image_path: Some(_), .. } => JsonKind::LabelMe,
        Keys { via: Some(_), .. } => JsonKind::Via,
        Keys { bounding_boxes: Some(_), .. } => {
            JsonKind::Known("Edge Impulse (bounding_boxes.labels)", "use its exporter to Pascal VOC, COCO or YOLO")
        }
        Keys { objects: Some(_), size: Some(_), .. } | Keys { classes: Some(_), tags: Some(_), .. } => {
            JsonKind::Known("Supervisely", "export with the app \"Export to COCO\" or \"Export to YOLO\"")
        }
        Keys { asset: Some(_), regions: Some(_), .. } | Keys { assets: Some(_), .. } => {
            JsonKind::Known("VoTT's own JSON", "export as \"Comma Separated Values (CSV)\" or \"Pascal VOC\"")
        }
        Keys { item: Some(_), annotations: Some(_), .. } => {
            JsonKind::Known("V7 Darwin", "export as COCO, or convert with `darwin dataset convert`")
        }
        Keys { images: Some(_), label_classes: Some(_), .. } => JsonKind::Known("Hasty", "export as COCO"),
        Keys { metadata: Some(_), instances: Some(_), .. } => {
            JsonKind::Known("SuperAnnotate", "convert with `superannotate.export_annotation` to COCO or YOLO")
        }
        Keys { file: Some(_), metadata: Some(_), view: Some(_), .. } => {
            JsonKind::Known("VIA 3", "label single photos with VIA 2, or convert to COCO")
        }
        Keys { classes: Some(_), labels: Some(_), .. } => {
            JsonKind::Known("FiftyOne", "export as `fo.types.COCODetectionDataset` or `fo.types.YOLOv5Dataset`")
        }
        Keys { items: Some(_), categories: Some(_), .. } => {
            JsonKind::Known("Datumaro", "convert with `datum convert -f coco` or `-f yolo`, with images")
        }
        Keys { frames: Some(_), .. } if !images => {
            JsonKind::Known("labels of video frames", "export single photos as COCO or YOLO")
        }
        Keys { annotations: Some(_), .. } | Keys { images: Some(_), .. } => JsonKind::Coco,
        _ if text.contains("\"regions\"") && serde_json::from_str::<Value>(text).is_ok_and(|v| via::is_json(&v)) => {
            JsonKind::Via
        }
        _ => JsonKind::Other,
    }
}

/// Lists of tools that are known and not read.
fn known_list(list: &[Value]) -> JsonKind {
    let all = |test: &dyn Fn(&Value) -> bool| !list.is_empty() && list.iter().all(test);
    if all(&|v| v["image_id"].is_number() && v["bbox"].is_array() && v["images"].is_null()) {
        return JsonKind::Known("COCO's results, without images and categories", "use the file that has these");
    }
    if all(&|v| v["name"].is_string() && (v["labels"].is_array() || v["frames"].is_array())) {
        return JsonKind::Known("BDD100K (Scalabel)", "convert with `bdd100k.label.to_coco`");
    }
    JsonKind::Other
}

/// The labels in JSON files, of the most telling format that is there; `None` if no JSON is a label file.
///
/// # Errors
/// If the files are of a tool that is known and not read, or the only candidates are broken.
pub fn read(folder: &Folder) -> Result<Option<(Format, Labels)>, DataError> {
    let mut of_kind: [Vec<FileEntry>; 5] = Default::default();
    let mut known = None;
    let mut broken = Vec::new();
    for entry in folder.with_extension("json") {
        let text = decode(&entry.read("read the labels")?).text;
        let slot = match kind_of(&plain(&text)) {
            JsonKind::Coco => 0,
            JsonKind::LabelMe => 1,
            JsonKind::LabelStudio => 2,
            JsonKind::CreateMl => 3,
            JsonKind::Via => 4,
            JsonKind::Known(tool, help) => {
                known = known.or(Some((entry, tool, help)));
                continue;
            }
            JsonKind::Other => {
                let is_broken = || serde_json::from_str::<IgnoredAny>(&plain(&text)).is_err();
                let photo = folder.matcher().find(stem(&entry.name), &entry.name, None).id();
                broken.extend(photo.filter(|_| is_broken()).map(|_| entry.clone()));
                continue;
            }
        };
        of_kind[slot].push(entry.clone());
    }
    // A file with a photo's name that is no JSON, beside LabelMe's files, was one of them.
    if !of_kind[1].is_empty() {
        of_kind[1].append(&mut broken);
    }
    let mut first_error = None;
    if !of_kind[0].is_empty() {
        match coco::read(folder, &of_kind[0]) {
            Ok(labels) => return Ok(Some((Format::Coco, labels))),
            Err(error) => first_error = Some(error),
        }
    }
    let readers: [(Format, JsonLabels); 4] = [
        (Format::LabelMe, labelme::read_one),
        (Format::LabelStudio, labelstudio::read_one),
        (Format::CreateMl, createml::read_one),
        (Format::Via, via::read_json),
    ];
    for ((format, read_one), entries) in readers.into_iter().zip(&of_kind[1..]) {
        if !entries.is_empty() {
            return Ok(Some((format, read_each(folder, entries, read_one)?)));
        }
    }
    match (known, first_error) {
        (Some((entry, tool, help)), _) => Err(DataError::Label {
            place: FilePlace::file(&entry.name),
            found: format!("labels of {tool}"),
            expected: "a format that is read (see docs/data-formats.md)".into(),
            help: help.into(),
        }),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

type JsonLabels = fn(&Folder, &FileEntry, &Value, &mut Labels);

fn read_each(folder: &Folder, entries: &[FileEntry], read_one: JsonLabels) -> Result<Labels, DataError> {
    let mut labels = Labels::default();
    for entry in entries {
        let text = labels.text(entry, FileFate::Labels)?;
        if text.len() > MAX_TREE_BYTES {
            labels.malformed(FilePlace::file(&entry.name), format!("{} bytes of JSON", text.len()));
            continue;
        }
        match serde_json::from_str(&plain(&text)) {
            Ok(value) => read_one(folder, entry, &value, &mut labels),
            Err(error) => {
                labels.fates.push((entry.name.clone(), FileFate::Malformed));
                let photo = folder.matcher().find(stem(&entry.name), &entry.name, None).id();
                labels.spoken_of.extend(photo.map(|id| folder.entries()[id].name.clone()));
                labels.malformed(FilePlace::file(&entry.name), error.to_string());
            }
        }
    }
    leave_repetitions_out(&mut labels);
    labels.report_unlabelled(folder);
    Ok(labels)
}

/// Of several label entries of one photo, the first counts.
fn leave_repetitions_out(labels: &mut Labels) {
    let mut seen = std::collections::HashSet::new();
    let (first, again): (Vec<_>, Vec<_>) =
        std::mem::take(&mut labels.annotations).into_iter().partition(|a| seen.insert(a.source.clone()));
    labels.annotations = first;
    for annotation in again {
        labels.count.used -= 1;
        labels.lost_boxes += annotation.objects.len();
        labels.repeated(annotation.place, &annotation.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_told_by_its_keys() {
        for (text, kind) in [
            (r#"{"images": [], "annotations": [], "categories": []}"#, JsonKind::Coco),
            (r#"{"shapes": [], "imagePath": "a.jpg"}"#, JsonKind::LabelMe),
            (r#"{"_via_img_metadata": {}}"#, JsonKind::Via),
            (r#"{"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": []}}"#, JsonKind::Via),
            (r#"[{"image": "a.jpg", "annotations": []}]"#, JsonKind::CreateMl),
            (r#"[{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": []}]}]"#, JsonKind::LabelStudio),
            (r#"{"info": {"version": "1.0"}}"#, JsonKind::Other),
            ("[1, 2]", JsonKind::Other),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
        for text in [
            r#"{"size": {}, "objects": []}"#,
            r#"{"version": 1, "boundingBoxes": {}}"#,
            r#"{"asset": {}, "regions": []}"#,
            r#"{"version": "2.0", "item": {}, "annotations": []}"#,
            r#"{"images": [], "label_classes": []}"#,
            r#"{"metadata": {}, "instances": []}"#,
            r#"{"project": {}, "file": {}, "metadata": {}, "view": {}}"#,
            r#"{"classes": ["a"], "labels": {}}"#,
            r#"[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]"#,
            r#"[{"name": "a.jpg", "labels": [{"category": "car", "box2d": {}}]}]"#,
        ] {
            assert!(matches!(kind_of(text), JsonKind::Known(..)), "{text}");
        }
    }
}
