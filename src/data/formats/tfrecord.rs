//! TFRecord of TensorFlow's object detection API: photos and boxes as `tf.train.Example`, class names in a `.pbtxt`.
//!
//! A record is its length (u64), the masked CRC-32C of that, its bytes, and the masked CRC-32C of those, all
//! little-endian. Photos stay where they are: only their place in the file is kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::entry::FileEntry;
use super::super::error::DataError;
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::Folder;
use super::super::labels::Labels;
use super::super::paths::file_name;
use super::super::roles::{split_in_file_name, split_of};
use super::super::stored::StoredBytes;
use super::crc32c::masked;
use super::tf_example::{TfExample, read_example};

/// No photo of a data set is larger.
const MAX_RECORD_BYTES: u64 = 256 << 20;
/// More records than photos that any board could train on.
const MAX_RECORDS: usize = 1_000_000;

fn is_record_file(name: &str) -> bool {
    let name = file_name(name).to_ascii_lowercase();
    [".record", ".tfrecord"].iter().any(|e| name.contains(e))
}

/// The labels in record files; `None` if there is no such file.
///
/// # Errors
/// If a file cannot be read, or is no TFRecord.
pub fn read(folder: &Folder) -> Result<Option<Labels>, DataError> {
    let files: Vec<&FileEntry> = folder.entries().iter().filter(|e| is_record_file(&e.name)).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let mut labels = Labels::default();
    let names = label_map(folder, &mut labels)?;
    for entry in files {
        labels.files.push(entry.stored.clone());
        labels.fates.push((entry.name.clone(), FileFate::Labels));
        read_file(entry, &names, &mut labels)?;
    }
    labels.classes = Some(names.into_values().collect::<Vec<_>>()).filter(|n| !n.is_empty());
    if !labels.splits.is_empty() {
        labels.split_source = "the names of record files".into();
    }
    Ok(Some(labels))
}

fn read_file(entry: &FileEntry, names: &BTreeMap<i64, String>, labels: &mut Labels) -> Result<(), DataError> {
    let fault = |found: String, help: &str| DataError::Label {
        place: FilePlace::file(&entry.name),
        found,
        expected: "a TFRecord of labelled photos".into(),
        help: help.into(),
    };
    let StoredBytes::Disk(path) = &entry.stored else {
        return Err(fault("a record file inside an archive".into(), "unpack the archive and name the folder"));
    };
    let file: Arc<Path> = path.as_path().into();
    let io = |error| DataError::Io { file: path.clone(), action: "read the records", error };
    let len = entry.stored.len().map_err(io)?;
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let split = split_in_file_name(&entry.name).or_else(|| split_of(&entry.name));
    let mut at = 0u64;
    for index in 0..MAX_RECORDS {
        if at == len {
            return Ok(());
        }
        let place = FilePlace::entry(&entry.name, format!("record {index}"));
        let cut = |what: &str| format!("the file ends inside {what}");
        let mut header = [0; 12];
        if len - at < 12 || reader.read_exact(&mut header).is_err() {
            labels.malformed(place, cut("a length"));
            return Ok(());
        }
        let (size, sum) = header.split_at(8);
        let record_len = u64::from_le_bytes(size.try_into().expect("8 bytes"));
        if masked(size).to_le_bytes() != sum {
            if index == 0 {
                let packed = header.starts_with(&[0x1f, 0x8b]);
                let found =
                    if packed { "a compressed file" } else { "a first length that its checksum does not match" };
                return Err(fault(found.into(), "write the records without compression"));
            }
            labels.malformed(place, "the checksum of its length does not match; what follows cannot be read");
            return Ok(());
        }
        if record_len > MAX_RECORD_BYTES || len - at < 16 + record_len {
            labels.malformed(place, cut(&format!("a record of {record_len} bytes")));
            return Ok(());
        }
        let mut bytes = vec![0; record_len as usize];
        let mut sum = [0; 4];
        reader.read_exact(&mut bytes).and_then(|()| reader.read_exact(&mut sum)).map_err(io)?;
        let start = at + 12;
        at += 16 + record_len;
        if masked(&bytes).to_le_bytes() != sum {
            labels.malformed(place, "the checksum does not match");
            continue;
        }
        match read_example(&bytes).ok_or_else(|| "no tf.train.Example".to_string()).and_then(|e| {
            annotation(&e, entry, index, place.clone(), names, |photo| StoredBytes::Span {
                file: file.clone(),
                start: start + photo.start as u64,
                len: photo.len() as u64,
            })
        }) {
            Ok(annotation) => {
                if let Some(split) = split {
                    labels.add_to_split(split, &annotation.source);
                }
                labels.found(annotation);
            }
            Err(fault) => labels.malformed(place, fault),
        }
    }
    labels.findings.note(
        FindingKind::MalformedLabel,
        FilePlace::file(&entry.name),
        FindingAction::Dropped,
        format!("more than {MAX_RECORDS} records"),
    );
    Ok(())
}

/// The photo and boxes of one record; boxes are fractions.
fn annotation(
    example: &TfExample,
    entry: &FileEntry,
    index: usize,
    place: FilePlace,
    names: &BTreeMap<i64, String>,
    stored: impl Fn(std::ops::Range<usize>) -> StoredBytes,
) -> Result<Annotation, String> {
    let photo = example.bytes("image/encoded").first().cloned().ok_or("a record without image/encoded")?;
    let name = example.texts("image/filename").into_iter().next().filter(|n| !n.is_empty());
    let name =
        name.map_or_else(|| format!("{index:05}"), |n| format!("{index:05}-{}", file_name(&n.replace('\\', "/"))));
    let image = FileEntry { name: format!("{}/{name}", entry.name), id: usize::MAX, stored: stored(photo) };
    let side = |key: &str| example.ints(key).first().map(|n| *n as f64);
    let mut annotation = Annotation::new(&image, Units::Fractions, place.clone());
    annotation = annotation.with_size(side("image/width"), side("image/height"));
    let corner = |key: &str| example.floats(&format!("image/object/bbox/{key}"));
    let [x0, y0, x1, y1] = ["xmin", "ymin", "xmax", "ymax"].map(corner);
    if [y0.len(), x1.len(), y1.len()].iter().any(|n| *n != x0.len()) {
        return Err("corners of different numbers".into());
    }
    let (texts, ids) = (example.texts("image/object/class/text"), example.ints("image/object/class/label"));
    let flag = |key: &str, i: usize| example.ints(key).get(i).is_some_and(|n| *n != 0);
    for i in 0..x0.len() {
        let by_id = || ids.get(i).map(|id| names.get(id).cloned().unwrap_or_else(|| format!("class id {id}")));
        let class = texts.get(i).cloned().filter(|t| !t.is_empty()).or_else(by_id).ok_or("a box without a class")?;
        annotation.objects.push(RawObject {
            difficult: flag("image/object/difficult", i),
            crowd: flag("image/object/is_crowd", i) || flag("image/object/group_of", i),
            ..RawObject::new(class, [x0[i], y0[i], x1[i], y1[i]].map(f64::from), place.clone())
        });
    }
    Ok(annotation)
}

/// Class names by id from the label map: `item { id: 1 name: 'cat' }`.
fn label_map(folder: &Folder, labels: &mut Labels) -> Result<BTreeMap<i64, String>, DataError> {
    let Some(entry) = folder.with_extension("pbtxt").next() else { return Ok(BTreeMap::new()) };
    let text = labels.text(entry, FileFate::List)?;
    let mut names = BTreeMap::new();
    for item in text.replace("item {", "item{").split("item{").skip(1) {
        let id = value_of(item, "id").and_then(|v| v.parse().ok());
        if let (Some(id), Some(name)) = (id, value_of(item, "display_name").or(value_of(item, "name"))) {
            names.insert(id, name.to_string());
        }
    }
    Ok(names)
}

/// The value behind `key:` in an item, without its quotes.
fn value_of<'a>(item: &'a str, key: &str) -> Option<&'a str> {
    item.match_indices(key).find_map(|(at, _)| {
        let before = item[..at].chars().next_back();
        let rest = item[at + key.len()..].trim_start().strip_prefix(':')?.trim_start();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        match rest.chars().next()? {
            quote @ ('"' | '\'') => rest[1..].split(quote).next(),
            _ => rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ';')).next(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_label_map_are_read_in_one_line_or_many() {
        let item = " id: 2 name: 'small item' display_name: \"Item\" }";
        assert_eq!((value_of(item, "id"), value_of(item, "name")), (Some("2"), Some("small item")));
        assert_eq!(value_of("\n  name: \"a, b\"\n  id: 1\n}", "name"), Some("a, b"));
        assert_eq!(value_of("display_name: 'x'", "name"), None);
    }
}
