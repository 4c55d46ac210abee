//! Label Studio's own JSON (and JSON-MIN): a list of tasks, with boxes in per cent of the image.

use serde_json::Value;

use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::roles::split_of;
use super::shapes::{around, rotated_about_corner};

/// True if a list of JSON values is a list of tasks.
pub fn is_one(list: &[Value]) -> bool {
    let is_task = |v: &Value| {
        let full = v["data"].is_object() && (v["annotations"].is_array() || v["completions"].is_array());
        full || (v["id"].is_number() && image_of(v).is_some() && v.get("annotator").is_some())
    };
    !list.is_empty() && list.iter().all(is_task)
}

/// The photo's address: the text in `data` (or in the task itself) that looks like one.
pub fn image_of(task: &Value) -> Option<&str> {
    let data = if task["data"].is_object() { &task["data"] } else { task };
    let named = ["image", "img", "photo", "ocr"].iter().find_map(|key| data[*key].as_str());
    named.or_else(|| data.as_object()?.values().filter_map(Value::as_str).find(|t| t.contains('/') || t.contains('.')))
}

/// Adds the labels of one file.
pub fn read_one(folder: &Folder, entry: &FileEntry, value: &Value, labels: &mut Labels) {
    for task in value.as_array().into_iter().flatten() {
        let place = FilePlace::entry(&entry.name, format!("task {}", task["id"]));
        let wanted = image_of(task).unwrap_or_default();
        let found = match folder.matcher().find(wanted, &entry.name, split_of(&entry.name)) {
            PhotoMatch::One(id) => &folder.entries()[id],
            other => {
                labels.orphan(place, wanted, other);
                continue;
            }
        };
        let Some(results) = results(task) else {
            // A task that nobody has worked on says nothing about its photo.
            if task["predictions"].as_array().is_some_and(|p| !p.is_empty()) {
                let detail = "only predictions of a model, which nobody has accepted as an annotation";
                labels.findings.note(FindingKind::LabelsPassedOver, place, FindingAction::Dropped, detail);
            }
            continue;
        };
        let several = valid(task).count();
        if several > 1 {
            let detail =
                format!("{several} annotations of one photo; one is used: the ground truth, else the last with boxes");
            labels.findings.note(FindingKind::LabelsPassedOver, place.clone(), FindingAction::Dropped, detail);
        }
        let mut annotation = Annotation::new(found, Units::Fractions, place.clone());
        for result in results {
            match read_result(result, place.clone()) {
                Ok(Some(object)) => annotation.objects.push(object),
                Ok(None) => {}
                Err(fault) => labels.lost(place.clone(), fault),
            }
        }
        labels.found(annotation);
    }
}

fn annotations(task: &Value) -> Option<&Vec<Value>> {
    ["annotations", "completions"].iter().find_map(|key| task[*key].as_array())
}

/// The annotations that were not cancelled.
fn valid(task: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    let all = annotations(task).into_iter().flatten();
    all.filter(|a| a["was_cancelled"].as_bool() != Some(true) && a["result"].is_array())
}

/// The regions of one annotation: that which is marked as ground truth, else the last that has any, else the last;
/// `None` where there is no annotation.
pub fn results(task: &Value) -> Option<Vec<&Value>> {
    if annotations(task).is_some() {
        let truth = valid(task).rfind(|a| a["ground_truth"].as_bool() == Some(true));
        let filled = || valid(task).rfind(|a| a["result"].as_array().is_some_and(|r| !r.is_empty()));
        let chosen = truth.or_else(filled).or_else(|| valid(task).next_back());
        return chosen.and_then(|a| a["result"].as_array()).map(|r| r.iter().collect());
    }
    // JSON-MIN has the regions themselves, under the name that the project's settings give them.
    let lists = task.as_object()?.values().filter_map(Value::as_array);
    Some(lists.flatten().filter(|r| r["x"].is_number() || r["points"].is_array()).collect())
}

/// The box of a region; `None` for what is no box.
///
/// # Errors
/// The text says what is missing.
pub fn read_result(result: &Value, place: FilePlace) -> Result<Option<RawObject>, String> {
    let value = if result["value"].is_object() { &result["value"] } else { result };
    let number = |name: &str| value[name].as_f64().ok_or_else(|| format!("a region without {name}"));
    let key = |name: &str| value[name].as_array().and_then(|l| l.first()).and_then(Value::as_str);
    let labels = ["rectanglelabels", "polygonlabels", "ellipselabels", "labels"];
    let class = labels.iter().find_map(|name| key(name)).map(str::trim).filter(|l| !l.is_empty());
    let corners = if value["points"].is_array() {
        let point = |p: &Value| Some([p.get(0)?.as_f64()?, p.get(1)?.as_f64()?]);
        let points: Option<Vec<[f64; 2]>> = value["points"].as_array().and_then(|p| p.iter().map(point).collect());
        around(&points.unwrap_or_default()).ok_or("a polygon without points")?
    } else if value["radiusX"].is_number() {
        let [x, y, rx, ry] = [number("x")?, number("y")?, number("radiusX")?, number("radiusY")?];
        [x - rx, y - ry, x + rx, y + ry]
    } else if value["width"].is_number() {
        let [x, y, w, h] = [number("x")?, number("y")?, number("width")?, number("height")?];
        turned([x, y, x + w, y + h], value["rotation"].as_f64().unwrap_or(0.0), result, value)
    } else {
        // Choices, text and key points are no boxes.
        return Ok(None);
    };
    let class = class.ok_or("a region without a label")?;
    Ok(Some(RawObject::new(class, corners.map(|c| c / 100.0), place)))
}

/// A turned box in per cent: it turns in pixels, so that the image's shape counts.
fn turned(corners: [f64; 4], degrees: f64, result: &Value, value: &Value) -> [f64; 4] {
    if degrees == 0.0 {
        return corners;
    }
    let side = |name: &str| result[name].as_f64().or(value[name].as_f64()).filter(|n| *n > 0.0).unwrap_or(100.0);
    let [w, h] = [side("original_width"), side("original_height")];
    let [x0, y0, x1, y1] = corners;
    let [a, b, c, d] = rotated_about_corner([x0 * w, y0 * h, x1 * w, y1 * h], degrees);
    [a / w, b / h, c / w, d / h]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_annotation_does_not_hide_the_boxes_of_another() {
        let one = |boxes: usize, truth: bool| json!({"result": vec![json!({"x": 1}); boxes], "ground_truth": truth});
        let chosen = |annotations: Value| results(&json!({"annotations": annotations})).map(|r| r.len());
        assert_eq!(chosen(json!([one(2, false), one(0, false)])), Some(2));
        assert_eq!(chosen(json!([one(3, true), one(2, false)])), Some(3));
        assert_eq!(chosen(json!([one(0, false)])), Some(0));
        assert_eq!(chosen(json!([{"result": [1], "was_cancelled": true}])), None);
        assert_eq!(chosen(json!([])), None);
    }
}
