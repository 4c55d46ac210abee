//! Files out of a zip archive, in the order of its central directory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::contents::{Bounded, Contents, Visit};
use super::error::WeightsError;

/// The most entries of an archive that is opened: the crate reads its whole directory into memory.
const MAX_ENTRIES: u16 = 10_000;

/// Length of the end record without its comment, and where the number of entries stands in it.
const END: usize = 22;
const COUNT: usize = 10;

/// Hands every file of the archive to `visit`.
///
/// # Errors
/// If the archive is damaged or encrypted, has links, names that lead out of it or stand there twice, or contents that
/// overlap or inflate to more than they say.
pub(super) fn walk(path: &Path, visit: Visit) -> Result<(), WeightsError> {
    let mut contents = Contents::of(path);
    let file = File::open(path).map_err(WeightsError::io(path, "read"))?;
    let mut archive = open(file).map_err(|e| contents.damaged(&e))?;
    if archive.has_duplicate_names() {
        return Err(contents.refuse("central directory", "the same name twice", "each file once"));
    }
    if archive.has_overlapping_files().map_err(|e| contents.damaged(&e.into()))? {
        return Err(contents.refuse("central directory", "files that share their bytes", "files of their own"));
    }
    for i in 0..archive.len() {
        let entry = archive.by_index_data(i).map_err(|e| contents.damaged(&e.into()))?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.encrypted() {
            return Err(contents.refuse(&shown, "an encrypted file", "plain files"));
        }
        if entry.is_symlink() {
            return Err(contents.refuse(&shown, "a link", "plain files"));
        }
        let (size, is_file) = (entry.size(), entry.is_file());
        let name = contents.enter(entry.name_raw(), size)?;
        if !is_file {
            continue;
        }
        let file = archive.by_index(i).map_err(|e| contents.damaged(&e.into()))?;
        let mut file = Bounded { inner: file, left: size };
        visit(&name, size, &mut file)?;
    }
    Ok(())
}

/// True if a zip archive is a checkpoint of PyTorch: a model, not a package of models.
pub(super) fn is_checkpoint(path: &Path) -> bool {
    let archive = File::open(path).and_then(open);
    archive.is_ok_and(|a| a.file_names_raw().any(|name| name.ends_with(b"/data.pkl") || name == b"data.pkl"))
}

fn open(mut file: File) -> io::Result<ZipArchive<BufReader<File>>> {
    let entries = entries(&mut file)?;
    if entries > MAX_ENTRIES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an archive of more than {MAX_ENTRIES} entries"),
        ));
    }
    let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| match e {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })?;
    Ok(archive)
}

/// The number of entries by the end record, the last 22 bytes but for a comment of at most 65535.
fn entries(file: &mut File) -> io::Result<u16> {
    let len = file.seek(SeekFrom::End(0))?;
    let tail = len.min(END as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(len - tail))?;
    let mut bytes = Vec::new();
    Read::by_ref(file).take(tail).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let ends = bytes.windows(END).enumerate().rev().filter(|(_, end)| end.starts_with(b"PK\x05\x06"));
    let mut sound =
        ends.filter(|(at, end)| at + END + usize::from(u16::from_le_bytes([end[20], end[21]])) <= bytes.len());
    match sound.next() {
        Some((_, end)) => Ok(u16::from_le_bytes([end[COUNT], end[COUNT + 1]])),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "no end of a zip archive")),
    }
}
