//! What a file says of itself in `metadata_props`, so that it can be used without the run that made it.

use std::collections::HashMap;

use tract_onnx::pb::StringStringEntryProto;

/// Facts that the graph does not hold. Every field is `None` for files of other programs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Program and version, e.g. `fieldtune 0.1.0`.
    pub producer: Option<String>,
    /// Classes in the order of the columns after the background: `class_names[0]` is column 1.
    pub class_names: Option<Vec<String>>,
    /// Side of the square input in pixels.
    pub input_size: Option<usize>,
    /// What turns 8-bit RGB into the input, e.g. `x / 127.5 - 1`.
    pub normalisation: Option<String>,
    /// How the anchors were made, e.g. `tf-ssd`.
    pub anchors: Option<String>,
    /// How class logits become scores: `softmax` or `sigmoid`.
    pub scores: Option<String>,
    /// Variances of ty, tx, th, tw.
    pub variances: Option<[f64; 4]>,
}

const PRODUCER: &str = "fieldtune.producer";
const CLASS_NAMES: &str = "fieldtune.class_names";
const INPUT_SIZE: &str = "fieldtune.input_size";
const NORMALISATION: &str = "fieldtune.normalisation";
const ANCHORS: &str = "fieldtune.anchors";
const SCORES: &str = "fieldtune.scores";
const VARIANCES: &str = "fieldtune.box_coder_variances";

impl Metadata {
    /// Entries that are absent, or do not parse, are `None`: metadata describes, it decides nothing.
    pub(super) fn read(entries: &HashMap<String, String>) -> Self {
        let text = |key: &str| entries.get(key).cloned();
        Self {
            producer: text(PRODUCER),
            class_names: text(CLASS_NAMES).and_then(|t| serde_json::from_str(&t).ok()),
            input_size: text(INPUT_SIZE).and_then(|t| t.parse().ok()).filter(|s| (1..=1 << 14).contains(s)),
            normalisation: text(NORMALISATION),
            anchors: text(ANCHORS),
            scores: text(SCORES),
            variances: text(VARIANCES).and_then(|t| serde_json::from_str(&t).ok()),
        }
    }

    pub(super) fn entries(&self) -> Vec<StringStringEntryProto> {
        let json = |values: &Vec<String>| serde_json::Value::from(values.clone()).to_string();
        let entries = [
            (PRODUCER, self.producer.clone()),
            (CLASS_NAMES, self.class_names.as_ref().map(json)),
            (INPUT_SIZE, self.input_size.map(|s| s.to_string())),
            (NORMALISATION, self.normalisation.clone()),
            (ANCHORS, self.anchors.clone()),
            (SCORES, self.scores.clone()),
            (VARIANCES, self.variances.map(|v| serde_json::Value::from(v.to_vec()).to_string())),
        ];
        let present = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        present.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_left_out() {
        let written = Metadata {
            producer: Some("fieldtune 0.1.0".into()),
            class_names: Some(vec!["a \"quoted\" one".into(), "Überraschung".into()]),
            input_size: Some(300),
            normalisation: Some("x / 127.5 - 1".into()),
            anchors: None,
            scores: Some("softmax".into()),
            variances: Some([0.1, 0.1, 0.2, 0.2]),
        };
        let mut map: HashMap<_, _> = written.entries().into_iter().map(|e| (e.key, e.value)).collect();
        assert_eq!(Metadata::read(&map), written);
        map.insert(CLASS_NAMES.into(), "{not json".into());
        map.insert(INPUT_SIZE.into(), "-3".into());
        let read = Metadata::read(&map);
        assert_eq!((read.class_names, read.input_size), (None, None));
    }
}
