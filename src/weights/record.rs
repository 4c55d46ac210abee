//! The record of kept weights: a small TOML file beside the model.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The most bytes that a record may have.
const MAX_BYTES: u64 = 1 << 20;

/// `NAME.toml` beside `NAME.onnx` (or `.tflite`, `.pth`, `.safetensors`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord {
    /// The name that `--weights` takes.
    pub name: String,
    /// Name of the model's file in this folder.
    pub file: String,
    /// File name of what was added, and the place of the model in it.
    pub source: String,
    /// SHA-256 of the model in hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
    /// UTC date on which it was added, year, month, day.
    pub added: String,
    /// Licence of the model, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Class names without the background, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The model in one line.
    pub about: String,
    /// The text that `fieldtune inspect` prints of it.
    pub inspect: String,
}

impl WeightsRecord {
    /// Reads a record; `None` for a file that is none.
    pub fn read(path: &Path) -> Option<Self> {
        let size = fs::metadata(path).ok().filter(|about| about.is_file())?.len();
        (size <= MAX_BYTES).then(|| fs::read_to_string(path).ok())?.and_then(|text| toml::from_str(&text).ok())
    }

    /// The record of the kept model at `path`; `None` for a file that is not kept.
    pub fn beside(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Self::read(&path.with_extension("toml")).filter(|record| record.file == name)
    }

    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a record has only keys that TOML can hold")
    }
}

/// Today's date in UTC as year, month, day.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds / 86_400)
}

/// The Gregorian date of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    // Days since 0000-03-01, so that the leap day ends a year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        // By `date -u -d @SECONDS +%F`.
        for (days, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_787, "2026-11-30"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_record_comes_back_and_another_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let record = WeightsRecord {
            name: "start".into(),
            file: "start.onnx".into(),
            source: "a \"quoted\" package.tgz: model.onnx".into(),
            sha256: "00".repeat(32),
            bytes: 7,
            added: "2026-11-30".into(),
            licence: None,
            classes: Some(vec!["Katze".into()]),
            about: "detector".into(),
            inspect: "file  ONNX\nclasses  1: Katze\n".into(),
        };
        fs::write(dir.path().join("start.toml"), record.to_toml()).unwrap();
        assert_eq!(WeightsRecord::beside(&dir.path().join("start.onnx")), Some(record));
        assert_eq!(WeightsRecord::beside(&dir.path().join("start.tflite")), None);
        fs::write(dir.path().join("job.toml"), "epochs = 3").unwrap();
        assert_eq!(WeightsRecord::beside(&dir.path().join("job.onnx")), None);
    }
}
