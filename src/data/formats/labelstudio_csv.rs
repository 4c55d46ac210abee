//! Label Studio's table (CSV and TSV): a row for each annotated task, its regions as JSON in one cell.

use serde_json::{Map, Value};

use super::super::annotation::{FilePlace, RawObject};
use super::labelstudio::{image_of, read_result, results};

/// True if a heading is that of this table.
pub fn is_heading(heading: &[String]) -> bool {
    ["annotation_id", "annotator", "lead_time"].iter().all(|name| heading.iter().any(|h| h == name))
}

/// The photo and the boxes of a row. Cells are texts, or JSON where they begin as a list or an object does.
pub fn row(heading: &[String], record: &[String], place: &FilePlace) -> (String, Vec<Result<RawObject, String>>) {
    let cell = |text: &String| match text.starts_with(['[', '{']) {
        true => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        false => Value::String(text.clone()),
    };
    let fields: Map<String, Value> = heading.iter().cloned().zip(record.iter().map(cell)).collect();
    let task = Value::Object(fields);
    let found = results(&task).unwrap_or_default();
    let objects = found.into_iter().filter_map(|r| read_result(r, place.clone()).transpose()).collect();
    (image_of(&task).unwrap_or_default().to_string(), objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_out_of_their_cell() {
        let heading = ["annotation_id", "annotator", "created_at", "id", "image", "label", "lead_time"];
        let heading = heading.map(str::to_string);
        assert!(is_heading(&heading) && !is_heading(&heading[..4]));
        let regions = r#"[{"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}]"#;
        let record = ["7", "1", "2026-01-01", "3", "/data/upload/1/ab-a.jpg", regions, "1.5"].map(str::to_string);
        let place = FilePlace::line("l.csv", 2);
        let (photo, objects) = row(&heading, &record, &place);
        let [Ok(object)] = objects.as_slice() else { panic!("{objects:?}") };
        assert_eq!((photo.as_str(), object.class.as_str()), ("/data/upload/1/ab-a.jpg", "cat"));
        let off = object.corners.iter().zip([0.1, 0.2, 0.4, 0.6]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-12, "{object:?}");
        let bare = ["8", "1", "2026-01-01", "4", "b.jpg", "", "1"].map(str::to_string);
        assert!(row(&heading, &bare, &place).1.is_empty());
    }
}
