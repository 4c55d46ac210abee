//! Settings and metrics as Flower's ConfigRecord and MetricRecord have them.

use super::super::participant::{Settings, Value};
use super::proto::{Bools, Doubles, Kind, Record, RecordItem, RecordValue, Signeds, Texts, Unsigneds};
use prost::Message;

/// Entries of a record.
const MOST_ENTRIES: usize = 1024;

/// Longest key, in bytes.
const LONGEST_KEY: usize = 256;

/// Reads the body of a ConfigRecord or MetricRecord. Truth values in lists become 0 and 1; values that have no place in
/// [`Value`] (lists of bytes, numbers above 2^63) are left out with a warning.
///
/// # Errors
/// A phrase that says how the body is wrong.
pub fn read(body: &[u8]) -> Result<Settings, String> {
    let record = Record::decode(body).map_err(|error| format!("a record that cannot be read ({error})"))?;
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

fn value(kind: Kind) -> Option<Value> {
    let signed = |v: u64| i64::try_from(v).ok();
    Some(match kind {
        Kind::Double(v) => Value::F64(v),
        Kind::Signed(v) => Value::I64(v),
        Kind::Unsigned(v) => Value::I64(signed(v)?),
        Kind::Bool(v) => Value::Bool(v),
        Kind::Text(v) => Value::Text(v),
        Kind::Bytes(v) => Value::Bytes(v),
        Kind::Doubles(Doubles { values }) => Value::F64s(values),
        Kind::Signeds(Signeds { values }) => Value::I64s(values),
        Kind::Unsigneds(Unsigneds { values }) => Value::I64s(values.into_iter().map(signed).collect::<Option<_>>()?),
        Kind::Bools(Bools { values }) => Value::I64s(values.into_iter().map(i64::from).collect()),
        Kind::Texts(Texts { values }) => Value::Texts(values),
        Kind::Blobs(_) => return None,
    })
}

/// Metrics as two records' bodies: the numbers, which a MetricRecord may hold, and the rest, which a ConfigRecord may.
pub struct Split {
    pub numbers: Vec<u8>,
    /// `None` where there is nothing but numbers.
    pub notes: Option<Vec<u8>>,
}

/// Writes metrics; truth values become 0 and 1, so that they can be averaged.
pub fn split(metrics: &Settings) -> Split {
    let (mut numbers, mut notes) = (Record::default(), Record::default());
    for (key, value) in metrics {
        let (record, kind) = match value {
            Value::F64(v) => (&mut numbers, Kind::Double(*v)),
            Value::I64(v) => (&mut numbers, Kind::Signed(*v)),
            Value::Bool(v) => (&mut numbers, Kind::Signed(i64::from(*v))),
            Value::F64s(v) => (&mut numbers, Kind::Doubles(Doubles { values: v.clone() })),
            Value::I64s(v) => (&mut numbers, Kind::Signeds(Signeds { values: v.clone() })),
            Value::Text(v) => (&mut notes, Kind::Text(v.clone())),
            Value::Bytes(v) => (&mut notes, Kind::Bytes(v.clone())),
            Value::Texts(v) => (&mut notes, Kind::Texts(Texts { values: v.clone() })),
        };
        record.items.push(RecordItem { key: key.clone(), value: Some(RecordValue { kind: Some(kind) }) });
    }
    let notes = (!notes.items.is_empty()).then(|| notes.encode_to_vec());
    Split { numbers: numbers.encode_to_vec(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_part_and_come_back() {
        let metrics: Settings = [
            ("num-examples", Value::I64(12)),
            ("loss", Value::F64(0.5)),
            ("skipped", Value::Bool(true)),
            ("per-class", Value::F64s(vec![0.25, 1.0])),
            ("verdict", Value::Text("labels".into())),
            ("classes", Value::Texts(vec!["a".into(), "b".into()])),
        ]
        .map(|(key, value)| (key.to_string(), value))
        .into();
        let split = split(&metrics);
        let mut back = read(&split.numbers).unwrap();
        assert_eq!(back.len(), 4);
        back.extend(read(&split.notes.unwrap()).unwrap());
        let mut expected = metrics;
        expected.insert("skipped".into(), Value::I64(1));
        assert_eq!(back, expected);
    }

    #[test]
    fn records_without_bound_are_refused() {
        let item = RecordItem { key: "k".into(), value: None };
        let many = Record { items: vec![item; MOST_ENTRIES + 1] }.encode_to_vec();
        assert!(read(&many).unwrap_err().contains("1025 entries"));
        let long = RecordItem { key: "k".repeat(300), value: None };
        assert!(read(&Record { items: vec![long] }.encode_to_vec()).unwrap_err().contains("300 bytes"));
        assert!(read(b"\xff\xff").unwrap_err().contains("cannot be read"));
        let blobs = Kind::Blobs(super::super::proto::Blobs { values: vec![vec![1]] });
        let odd = RecordItem { key: "k".into(), value: Some(RecordValue { kind: Some(blobs) }) };
        assert!(read(&Record { items: vec![odd] }.encode_to_vec()).unwrap().is_empty());
    }
}
