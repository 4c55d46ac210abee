//! Class names that travel inside a model file: TFLite's metadata are an archive behind the flatbuffer.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// More than any label map has.
const MOST_BYTES: u64 = 1 << 20;

/// The lines of the one text file in the archive behind the model, if there is one.
pub fn labels(bytes: &[u8]) -> Option<Vec<String>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let mut text = names.iter().filter(|name| name.to_lowercase().ends_with(".txt"));
    let (name, None) = (text.next()?, text.next()) else { return None };
    let mut content = String::new();
    archive.by_name(name).ok()?.take(MOST_BYTES).read_to_string(&mut content).ok()?;
    let lines: Vec<String> = content.lines().map(|line| line.trim().to_owned()).collect();
    let last = lines.iter().rposition(|line| !line.is_empty())?;
    Some(lines[..=last].to_vec())
}
