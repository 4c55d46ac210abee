//! Files out of a tar archive, compressed by gzip or not, in the order in which they stand there.
//!
//! Entries are taken raw: the crate would read long names whole into memory, however long they say they are.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType, PaxExtensions};

use super::contents::{Bounded, Contents, MAX_INFLATED, MAX_NAME, Visit};
use super::error::WeightsError;

/// The most bytes of a header that describes the next entry.
const MAX_DESCRIPTION: u64 = 16 << 10;

/// Tar blocks and padding come on top of the contents.
const MAX_TAR: u64 = MAX_INFLATED + (32 << 20);

/// Hands every file of the archive to `visit`.
///
/// # Errors
/// If the archive is damaged, has links, devices or names that lead out of it, or inflates without end.
pub(super) fn walk(path: &Path, compressed: bool, visit: Visit) -> Result<(), WeightsError> {
    let file = BufReader::new(File::open(path).map_err(WeightsError::io(path, "read"))?);
    let mut bytes: Box<dyn Read> = if compressed {
        Box::new(Bounded { inner: MultiGzDecoder::new(file), left: MAX_TAR })
    } else {
        Box::new(Bounded { inner: file, left: MAX_TAR })
    };
    let mut contents = Contents::of(path);
    let mut archive = Archive::new(&mut bytes);
    let entries = archive.entries().map_err(|e| contents.damaged(&e))?.raw(true);
    let mut long_name: Option<Vec<u8>> = None;
    for entry in entries {
        let mut entry = entry.map_err(|e| contents.damaged(&e))?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match kind {
            EntryType::GNULongName => {
                let mut name = description(&mut entry, size, &shown, &contents)?;
                name.truncate(name.iter().position(|&b| b == 0).unwrap_or(name.len()));
                long_name = Some(name);
            }
            EntryType::XHeader => {
                let text = description(&mut entry, size, &shown, &contents)?;
                long_name = pax_name(&text).map_err(|found| contents.refuse(&shown, &found, "a plain file"))?;
            }
            // Of the archive as a whole: a comment, a date.
            EntryType::XGlobalHeader => {}
            EntryType::Regular | EntryType::Continuous => {
                let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let name = contents.enter(&name, size)?;
                visit(&name, size, &mut entry)?;
                // Contents that were not looked at have to be there, too.
                io::copy(&mut entry, &mut io::sink()).map_err(|e| contents.damaged(&e))?;
            }
            EntryType::Directory => {
                let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                contents.enter(&name, 0)?;
            }
            EntryType::Link | EntryType::Symlink => return Err(contents.refuse(&shown, "a link", "plain files")),
            _ => return Err(contents.refuse(&shown, "neither a file nor a folder", "plain files")),
        }
    }
    // The checksum stands at the end of the compressed stream.
    io::copy(&mut bytes, &mut io::sink()).map_err(|e| contents.damaged(&e))?;
    Ok(())
}

/// The content of an entry that describes the next one.
fn description(entry: &mut impl Read, size: u64, shown: &str, contents: &Contents) -> Result<Vec<u8>, WeightsError> {
    if size > MAX_DESCRIPTION {
        return Err(contents.refuse(shown, &format!("a header of {size} bytes"), "at most 16384"));
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes).map_err(|e| contents.damaged(&e))?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(contents.damaged(&io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The name that a PAX header gives the next entry.
///
/// # Errors
/// The finding, if the header says what only some programs heed: another size, a link, a sparse file.
fn pax_name(header: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut name = None;
    for record in PaxExtensions::new(header) {
        let record = record.map_err(|e| format!("a damaged header ({e})"))?;
        match record.key_bytes() {
            b"path" if record.value_bytes().len() <= MAX_NAME => name = Some(record.value_bytes().to_vec()),
            b"path" => return Err(format!("a name of {} bytes", record.value_bytes().len())),
            b"linkpath" => return Err("a link".into()),
            b"size" => return Err("a second size".into()),
            key if key.starts_with(b"GNU.sparse") => return Err("a sparse file".into()),
            _ => {}
        }
    }
    Ok(name)
}
