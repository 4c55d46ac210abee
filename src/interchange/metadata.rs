//! The statements of a file about itself in `metadata_props`, so that it can be used without the run that made it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tract_onnx::pb::StringStringEntryProto;

use crate::boxes::{AnchorRule, InputSize, ScoreFunction};

/// The data set that a detector was trained on: enough to hold back the same photos again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    pub seed: u64,
    /// Share of the photos that was held back where the data set gives no split.
    pub val_share: f64,
    pub train_split: String,
    /// The split that the best epoch was chosen by.
    pub val_split: String,
    /// CRC-32 over the training photos and their labels as they were packed.
    pub train_crc32: u32,
    /// CRC-32 of the pixels of each training photo as packed: tells them wherever they lie. Empty where there are too
    /// many.
    #[serde(default)]
    pub photos: Vec<u32>,
}

/// Facts that the graph does not hold. Every field is `None` for files of other programs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Program and version, e.g. `fieldtune 0.1.0`.
    pub producer: Option<String>,
    /// Classes in the order of the columns after the background: `class_names[0]` is column 1.
    pub class_names: Option<Vec<String>>,
    pub input_size: Option<InputSize>,
    /// The formula that turns 8-bit RGB into the input, e.g. `x / 127.5 - 1`.
    pub normalisation: Option<String>,
    /// How the anchors were made, e.g. `tf-ssd`.
    pub anchors: Option<AnchorRule>,
    pub scores: Option<ScoreFunction>,
    /// Variances of ty, tx, th, tw.
    pub variances: Option<[f64; 4]>,
    pub trained_on: Option<TrainedOn>,
    /// The score of best F1 on the validation photos.
    pub threshold: Option<f64>,
    /// The same for each class, in the order of `class_names`; `None` for a class that was never right.
    pub class_thresholds: Option<Vec<Option<f64>>>,
}

const PRODUCER: &str = "fieldtune.producer";
const CLASS_NAMES: &str = "fieldtune.class_names";
const INPUT_SIZE: &str = "fieldtune.input_size";
const NORMALISATION: &str = "fieldtune.normalisation";
const ANCHORS: &str = "fieldtune.anchors";
const SCORES: &str = "fieldtune.scores";
const TRAINED_ON: &str = "fieldtune.trained_on";
const VARIANCES: &str = "fieldtune.box_coder_variances";
const THRESHOLD: &str = "fieldtune.threshold";
const CLASS_THRESHOLDS: &str = "fieldtune.class_thresholds";

/// Sides of an input, in pixels, that are believed.
const SIDES: std::ops::RangeInclusive<usize> = 1..=1 << 14;

impl Metadata {
    /// Entries that are absent, or do not parse, are `None`: metadata describes, it decides nothing.
    pub(super) fn read(entries: &HashMap<String, String>) -> Self {
        let text = |key: &str| entries.get(key).cloned();
        Self {
            producer: text(PRODUCER),
            class_names: text(CLASS_NAMES).and_then(|t| serde_json::from_str(&t).ok()),
            input_size: text(INPUT_SIZE)
                .and_then(|t| t.parse().ok())
                .filter(|s: &InputSize| s.dims().iter().all(|side| SIDES.contains(side))),
            normalisation: text(NORMALISATION),
            anchors: text(ANCHORS).and_then(|t| t.parse().ok()),
            scores: text(SCORES).and_then(|t| t.parse().ok()),
            variances: text(VARIANCES).and_then(|t| serde_json::from_str(&t).ok()),
            trained_on: text(TRAINED_ON).and_then(|t| serde_json::from_str(&t).ok()),
            threshold: text(THRESHOLD).and_then(|t| t.parse().ok()).filter(|t| (0.0..=1.0).contains(t)),
            class_thresholds: text(CLASS_THRESHOLDS).and_then(|t| serde_json::from_str(&t).ok()),
        }
    }

    pub(super) fn entries(&self) -> Vec<StringStringEntryProto> {
        let json = |values: &Vec<String>| serde_json::Value::from(values.clone()).to_string();
        let entries = [
            (PRODUCER, self.producer.clone()),
            (CLASS_NAMES, self.class_names.as_ref().map(json)),
            (INPUT_SIZE, self.input_size.map(|s| s.to_string())),
            (NORMALISATION, self.normalisation.clone()),
            (ANCHORS, self.anchors.as_ref().map(ToString::to_string)),
            (SCORES, self.scores.map(|s| s.to_string())),
            (TRAINED_ON, self.trained_on.as_ref().and_then(|t| serde_json::to_string(t).ok())),
            (VARIANCES, self.variances.map(|v| serde_json::Value::from(v.to_vec()).to_string())),
            (THRESHOLD, self.threshold.map(|t| format!("{t:.3}"))),
            (CLASS_THRESHOLDS, self.class_thresholds.as_deref().map(listed)),
        ];
        let present = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        present.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).collect()
    }
}

/// Three digits are more than a validation set can tell.
fn listed(thresholds: &[Option<f64>]) -> String {
    let each = thresholds.iter().map(|t| t.map_or("null".into(), |t| format!("{t:.3}")));
    format!("[{}]", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_left_out() {
        let written = Metadata {
            producer: Some("fieldtune 0.1.0".into()),
            class_names: Some(vec!["a \"quoted\" one".into(), "Überraschung".into()]),
            input_size: Some(InputSize::new(240, 320)),
            normalisation: Some("x / 127.5 - 1".into()),
            anchors: None,
            scores: Some(ScoreFunction::Softmax),
            variances: Some([0.1, 0.1, 0.2, 0.2]),
            trained_on: Some(TrainedOn {
                seed: 5,
                val_share: 0.25,
                train_split: "train".into(),
                val_split: "val".into(),
                train_crc32: 7,
                photos: vec![u32::MAX, 0],
            }),
            threshold: Some(0.412),
            class_thresholds: Some(vec![Some(0.5), None]),
        };
        let mut map: HashMap<_, _> = written.entries().into_iter().map(|e| (e.key, e.value)).collect();
        assert_eq!(Metadata::read(&map), written);
        map.insert(CLASS_NAMES.into(), "{not json".into());
        map.insert(INPUT_SIZE.into(), "-3".into());
        let read = Metadata::read(&map);
        assert_eq!((read.class_names, read.input_size), (None, None));
    }
}
