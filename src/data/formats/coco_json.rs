//! The fields of a COCO file. Ids and numbers stay JSON values, so that one odd entry costs that entry and not the file.

use serde::Deserialize;
use serde_json::Value;

use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::folder::FileEntry;
use super::super::text::decode;
use super::python_json::plain;

#[derive(Deserialize)]
pub struct CocoFile {
    pub images: Vec<CocoImage>,
    pub annotations: Vec<CocoAnnotation>,
    pub categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
pub struct CocoImage {
    #[serde(default)]
    pub id: Value,
    #[serde(default)]
    pub file_name: Value,
    #[serde(default)]
    pub path: Value,
    #[serde(default)]
    pub coco_url: Value,
    #[serde(default)]
    pub width: Value,
    #[serde(default)]
    pub height: Value,
}

impl CocoImage {
    /// The photo's name: `file_name`, or the path or address that some writers give in its place; empty where there is
    /// none.
    pub fn name(&self) -> &str {
        [&self.file_name, &self.path, &self.coco_url].into_iter().find_map(Value::as_str).unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub struct CocoAnnotation {
    #[serde(default)]
    pub id: Value,
    #[serde(default)]
    pub image_id: Value,
    #[serde(default)]
    pub category_id: Value,
    #[serde(default)]
    pub bbox: Value,
    #[serde(default)]
    pub segmentation: Value,
    #[serde(default)]
    pub area: Value,
    #[serde(default)]
    pub iscrowd: Value,
}

#[derive(Deserialize)]
pub struct CocoCategory {
    pub id: Value,
    pub name: String,
    #[serde(default)]
    pub supercategory: Value,
}

/// The file as COCO.
///
/// # Errors
/// If it cannot be read or is something else.
pub fn parse(entry: &FileEntry) -> Result<CocoFile, DataError> {
    let bytes = entry.read("read the labels")?;
    // Decoding copies, and the largest label files are of this format: only what is not plain UTF-8 is decoded.
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) => {
            serde_json::from_str(&plain(text.trim_start_matches('\u{feff}').trim_end_matches(['\0', '\u{1a}'])))
        }
        Err(_) => serde_json::from_str(&plain(&decode(&bytes).text)),
    };
    parsed.map_err(|e| DataError::Label {
        place: FilePlace::file(&entry.name),
        found: e.to_string(),
        expected: "COCO JSON with images, annotations and categories".into(),
        help: "export the labels as COCO detection once more".into(),
    })
}

/// One spelling for ids: 7, 7.0 and "7" are the same.
pub fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(n) => Some(match n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15) {
            Some(whole) => format!("{whole:.0}"),
            None => n.to_string(),
        }),
        Value::String(text) => {
            let whole = text.trim().parse::<f64>().ok().filter(|f| f.fract() == 0.0 && f.abs() < 9e15);
            Some(whole.map_or_else(|| text.clone(), |f| format!("{f:.0}")))
        }
        _ => None,
    }
}

/// The value as text, cut to a length that fits a message.
pub fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(60).chain("...".chars()).collect() } else { text }
}
