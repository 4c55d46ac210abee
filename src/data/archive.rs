//! A data set in a `.zip`, as Roboflow and CVAT hand it out: listed without unpacking.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::error::DataError;
use super::paths::join;
use super::stored::{StoredBytes, ZipMember};

/// The members that are files, by their names with `/` between folders.
///
/// # Errors
/// If the file is no zip archive, has a password, or packs in a way that no export of a labelling tool uses.
pub fn list(path: &Path) -> Result<Vec<(String, StoredBytes)>, DataError> {
    let fault = |found: String, help: &str| DataError::Source {
        file: path.into(),
        found,
        expected: "a zip archive as downloaded".into(),
        help: help.into(),
    };
    let file = File::open(path).map_err(DataError::io(path, "open the archive"))?;
    let again = "download it once more, or unpack it and name the folder";
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| fault(e.to_string(), again))?;
    let archive: Arc<Path> = path.into();
    let mut files = Vec::with_capacity(zip.len().min(1 << 20));
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).map_err(|e| fault(e.to_string(), again))?;
        if member.is_dir() {
            continue;
        }
        if member.encrypted() {
            return Err(fault("an archive with a password".into(), "unpack it and name the folder"));
        }
        let name = String::from_utf8_lossy(member.name_raw()).replace('\\', "/");
        let deflated = match member.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(fault(format!("{name} is packed with {other:?}"), "unpack it and name the folder")),
        };
        let start = member.data_start().ok_or_else(|| fault(format!("{name} has no place in the file"), again))?;
        let member = ZipMember {
            start,
            packed_len: member.compressed_size(),
            len: member.size(),
            crc: member.crc32(),
            deflated,
        };
        // Dots in the names lead nowhere: they are resolved inside the archive.
        files.push((join("", &name), StoredBytes::Zipped { archive: archive.clone(), member }));
    }
    Ok(files)
}
