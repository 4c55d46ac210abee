//! The tensors of a safetensors file, read one at a time: a small board has no room for the file beside the state.

use safetensors::tensor::{Dtype, Metadata};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Bytes in front of the header: its length.
const LENGTH_LEN: u64 = 8;

/// More than any header has; the length in a damaged file may be anything.
const MAX_HEADER_LEN: u64 = 32 << 20;

/// An open safetensors file whose header was read.
#[derive(Debug)]
pub(super) struct SavedTensors {
    file: File,
    /// Key and value of the file's own remarks.
    pub metadata: HashMap<String, String>,
    /// Bytes of the file by name, and what they are.
    tensors: HashMap<String, (Range<u64>, Dtype)>,
}

impl SavedTensors {
    /// # Errors
    /// If the disk refuses; [`ErrorKind::InvalidData`] if the file is no safetensors file or is not whole.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let damaged = |found: String| Error::new(ErrorKind::InvalidData, found);
        if !std::fs::metadata(path)?.is_file() {
            return Err(damaged("no regular file".into()));
        }
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        if len < LENGTH_LEN {
            return Err(damaged(format!("{len} bytes")));
        }
        let mut length = [0; LENGTH_LEN as usize];
        file.read_exact(&mut length)?;
        let header_len = u64::from_le_bytes(length);
        if header_len > MAX_HEADER_LEN.min(len - LENGTH_LEN) {
            return Err(damaged(format!("a header of {header_len} bytes in a file of {len}")));
        }
        let mut header = vec![0; header_len as usize];
        file.read_exact(&mut header)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|e| damaged(e.to_string()))?;
        let begin = LENGTH_LEN + header_len;
        let whole = begin.checked_add(header.data_len() as u64);
        if whole != Some(len) {
            return Err(damaged(format!("{len} bytes of {}", begin as u128 + header.data_len() as u128)));
        }
        let place = |(begin_at, end_at): (usize, usize)| begin + begin_at as u64..begin + end_at as u64;
        let tensors =
            header.tensors().into_iter().map(|(name, info)| (name, (place(info.data_offsets), info.dtype))).collect();
        Ok(Self { file, metadata: header.metadata().clone().unwrap_or_default(), tensors })
    }

    /// A tensor's length in bytes, or `None` where there is no such tensor.
    pub(super) fn len(&self, name: &str) -> Option<u64> {
        self.tensors.get(name).map(|(place, _)| place.end - place.start)
    }

    /// CRC-32 over the bytes of all tensors in the order of their names, and the first tensor that `is_sound` is not true
    /// of.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn crc32(&self, is_sound: impl Fn(&str, Dtype, &[u8]) -> bool) -> Result<(u32, Option<String>)> {
        let mut names: Vec<&String> = self.tensors.keys().collect();
        names.sort();
        let (mut crc, mut buffer) = (crc32fast::Hasher::new(), Vec::new());
        let mut unsound = None;
        for name in names {
            let (place, dtype) = &self.tensors[name];
            self.read(place, &mut buffer)?;
            crc.update(&buffer);
            if unsound.is_none() && !is_sound(name, *dtype, &buffer) {
                unsound = Some(name.clone());
            }
        }
        Ok((crc.finalize(), unsound))
    }

    /// A tensor's bytes, or `None` where there is no such tensor.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((place, _)) = self.tensors.get(name) else { return Ok(None) };
        let mut buffer = Vec::new();
        self.read(place, &mut buffer)?;
        Ok(Some(buffer))
    }

    fn read(&self, place: &Range<u64>, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize((place.end - place.start) as usize, 0);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place.start))?;
        file.read_exact(buffer)
    }
}
