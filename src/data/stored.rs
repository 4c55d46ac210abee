//! The place of a file's bytes: on disk, inside a record file, or in a downloaded archive.
//!
//! An archive is never unpacked to the card: one member is inflated in memory at a time.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use flate2::read::DeflateDecoder;

/// The place of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredBytes {
    /// A file of its own.
    Disk(PathBuf),
    /// Part of a file: a photo inside a record file.
    Span { file: Arc<Path>, start: u64, len: u64 },
    /// A member of a zip archive.
    Zipped { archive: Arc<Path>, member: ZipMember },
}

/// One member of a zip archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZipMember {
    /// The offset of its packed bytes in the archive.
    pub start: u64,
    pub packed_len: u64,
    pub len: u64,
    pub crc: u32,
    /// Deflated, else stored as it is.
    pub deflated: bool,
}

impl StoredBytes {
    /// All bytes.
    ///
    /// # Errors
    /// If they cannot be read, are more than `limit`, or (in an archive) are not what was packed.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let len = self.len()?;
        if len > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes, more than {limit}")));
        }
        let mut bytes = Vec::new();
        match self {
            StoredBytes::Disk(path) => {
                File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
            }
            StoredBytes::Span { file, start, len } => {
                let mut file = File::open(file)?;
                file.seek(SeekFrom::Start(*start))?;
                file.take(*len).read_to_end(&mut bytes)?;
            }
            StoredBytes::Zipped { archive, member } => {
                let mut file = File::open(archive)?;
                file.seek(SeekFrom::Start(member.start))?;
                let packed = file.take(member.packed_len);
                // One byte more than promised shows a member that is longer than it says.
                match member.deflated {
                    true => DeflateDecoder::new(packed).take(len.saturating_add(1)).read_to_end(&mut bytes)?,
                    false => packed.take(len.saturating_add(1)).read_to_end(&mut bytes)?,
                };
                if bytes.len() as u64 != len || crc32fast::hash(&bytes) != member.crc {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the archive's checksum does not match"));
                }
            }
        }
        Ok(bytes)
    }

    /// Number of bytes.
    ///
    /// # Errors
    /// If the file is gone, or is no regular file: reading a pipe would wait for ever.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            StoredBytes::Disk(path) => {
                let metadata = fs::metadata(path)?;
                match metadata.is_file() {
                    true => Ok(metadata.len()),
                    false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
                }
            }
            StoredBytes::Span { len, .. } => Ok(*len),
            StoredBytes::Zipped { member, .. } => Ok(member.len),
        }
    }

    /// True if there are no bytes.
    ///
    /// # Errors
    /// As [`StoredBytes::len`].
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The mark of a state of the file: the time of its last change in nanoseconds, or the
    /// checksum and place that an archive gives.
    pub fn stamp(&self) -> u128 {
        let changed = |path: &Path| {
            let time = fs::metadata(path).ok().and_then(|m| m.modified().ok());
            time.and_then(|m| m.duration_since(UNIX_EPOCH).ok()).map_or(0, |m| m.as_nanos())
        };
        match self {
            StoredBytes::Disk(path) => changed(path),
            StoredBytes::Span { file, start, .. } => changed(file).wrapping_add(u128::from(*start)),
            StoredBytes::Zipped { member, .. } => u128::from(member.crc) << 64 | u128::from(member.start),
        }
    }

    /// The file on disk, for messages.
    pub fn on_disk(&self) -> &Path {
        match self {
            StoredBytes::Disk(path) => path,
            StoredBytes::Span { file, .. } => file,
            StoredBytes::Zipped { archive, .. } => archive,
        }
    }
}
