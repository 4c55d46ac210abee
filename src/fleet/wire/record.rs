//! Settings and metrics as Flower's ConfigRecord and MetricRecord have them.

use super::super::participant::{SettingValue, Settings};
use super::proto::{Bools, Doubles, RecordBody, RecordItem, RecordKind, RecordValue, Signeds, Texts, Unsigneds};
use prost::Message;

/// Entries of a record.
const MOST_ENTRIES: usize = 1024;

/// Longest key, in bytes.
const LONGEST_KEY: usize = 256;

/// Reads the body of a ConfigRecord or MetricRecord. Truth values in lists become 0 and 1; values that have no place in
/// [`SettingValue`] (lists of bytes, numbers above 2^63) are left out with a warning.
///
/// # Errors
/// A phrase that says how the body is wrong.
pub fn read(body: &[u8]) -> Result<Settings, String> {
    let record = RecordBody::decode(body).map_err(|error| format!("a record that cannot be read ({error})"))?;
    if record.items.len() > MOST_ENTRIES {
        return Err(format!("a record of {} entries, more than {MOST_ENTRIES}", record.items.len()));
    }
    let mut settings = Settings::new();
    for item in record.items {
        if item.key.len() > LONGEST_KEY {
            return Err(format!("a record with a key of {} bytes", item.key.len()));
        }
        match item.value.and_then(|value| value.kind).and_then(value) {
            Some(value) => _ = settings.insert(item.key, value),
            None => log::warn!("the setting {:?} is of a kind that is not understood; it is left out", item.key),
        }
    }
    Ok(settings)
}

fn value(kind: RecordKind) -> Option<SettingValue> {
    let signed = |v: u64| i64::try_from(v).ok();
    Some(match kind {
        RecordKind::Double(v) => SettingValue::F64(v),
        RecordKind::Signed(v) => SettingValue::I64(v),
        RecordKind::Unsigned(v) => SettingValue::I64(signed(v)?),
        RecordKind::Bool(v) => SettingValue::Bool(v),
        RecordKind::Text(v) => SettingValue::Text(v),
        RecordKind::Bytes(v) => SettingValue::Bytes(v),
        RecordKind::Doubles(Doubles { values }) => SettingValue::F64s(values),
        RecordKind::Signeds(Signeds { values }) => SettingValue::I64s(values),
        RecordKind::Unsigneds(Unsigneds { values }) => {
            SettingValue::I64s(values.into_iter().map(signed).collect::<Option<_>>()?)
        }
        RecordKind::Bools(Bools { values }) => SettingValue::I64s(values.into_iter().map(i64::from).collect()),
        RecordKind::Texts(Texts { values }) => SettingValue::Texts(values),
        RecordKind::Blobs(_) => return None,
    })
}

/// Metrics as two records' bodies: the numbers, which a MetricRecord may hold, and the rest, which a ConfigRecord may.
pub struct SplitMetrics {
    pub numbers: Vec<u8>,
    /// `None` where there is nothing but numbers.
    pub notes: Option<Vec<u8>>,
}

/// Writes metrics; truth values become 0 and 1, so that they can be averaged.
pub fn split(metrics: &Settings) -> SplitMetrics {
    let (mut numbers, mut notes) = (RecordBody::default(), RecordBody::default());
    for (key, value) in metrics {
        let (record, kind) = match value {
            SettingValue::F64(v) => (&mut numbers, RecordKind::Double(*v)),
            SettingValue::I64(v) => (&mut numbers, RecordKind::Signed(*v)),
            SettingValue::Bool(v) => (&mut numbers, RecordKind::Signed(i64::from(*v))),
            SettingValue::F64s(v) => (&mut numbers, RecordKind::Doubles(Doubles { values: v.clone() })),
            SettingValue::I64s(v) => (&mut numbers, RecordKind::Signeds(Signeds { values: v.clone() })),
            SettingValue::Text(v) => (&mut notes, RecordKind::Text(v.clone())),
            SettingValue::Bytes(v) => (&mut notes, RecordKind::Bytes(v.clone())),
            SettingValue::Texts(v) => (&mut notes, RecordKind::Texts(Texts { values: v.clone() })),
        };
        record.items.push(RecordItem { key: key.clone(), value: Some(RecordValue { kind: Some(kind) }) });
    }
    let notes = (!notes.items.is_empty()).then(|| notes.encode_to_vec());
    SplitMetrics { numbers: numbers.encode_to_vec(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_part_and_come_back() {
        let metrics: Settings = [
            ("num-examples", SettingValue::I64(12)),
            ("loss", SettingValue::F64(0.5)),
            ("skipped", SettingValue::Bool(true)),
            ("per-class", SettingValue::F64s(vec![0.25, 1.0])),
            ("verdict", SettingValue::Text("labels".into())),
            ("classes", SettingValue::Texts(vec!["a".into(), "b".into()])),
        ]
        .map(|(key, value)| (key.to_string(), value))
        .into();
        let split = split(&metrics);
        let mut back = read(&split.numbers).unwrap();
        assert_eq!(back.len(), 4);
        back.extend(read(&split.notes.unwrap()).unwrap());
        let mut expected = metrics;
        expected.insert("skipped".into(), SettingValue::I64(1));
        assert_eq!(back, expected);
    }

    #[test]
    fn records_without_bound_are_refused() {
        let item = RecordItem { key: "k".into(), value: None };
        let many = RecordBody { items: vec![item; MOST_ENTRIES + 1] }.encode_to_vec();
        assert!(read(&many).unwrap_err().contains("1025 entries"));
        let long = RecordItem { key: "k".repeat(300), value: None };
        assert!(read(&RecordBody { items: vec![long] }.encode_to_vec()).unwrap_err().contains("300 bytes"));
        assert!(read(b"\xff\xff").unwrap_err().contains("cannot be read"));
        let blobs = RecordKind::Blobs(super::super::proto::Blobs { values: vec![vec![1]] });
        let odd = RecordItem { key: "k".into(), value: Some(RecordValue { kind: Some(blobs) }) };
        assert!(read(&RecordBody { items: vec![odd] }.encode_to_vec()).unwrap().is_empty());
    }
}
