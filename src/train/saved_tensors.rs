//! The tensors of a safetensors file, read one at a time: a small board has no room for the file beside the state.

use safetensors::tensor::Metadata;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Bytes in front of the header: its length.
const LENGTH_LEN: u64 = 8;

/// More than any header has; the length in a damaged file may be anything.
const MAX_HEADER_LEN: u64 = 100_000_000;

/// An open safetensors file whose header was read.
#[derive(Debug)]
pub(super) struct SavedTensors {
    file: File,
    /// Key and value of the file's own remarks.
    pub metadata: HashMap<String, String>,
    /// Bytes of the file by name.
    tensors: HashMap<String, Range<u64>>,
}

impl SavedTensors {
    /// # Errors
    /// If the disk refuses; [`ErrorKind::InvalidData`] if the file is no safetensors file or is not whole.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let damaged = |found: String| Error::new(ErrorKind::InvalidData, found);
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
        let whole = begin + header.data_len() as u64;
        if len != whole {
            return Err(damaged(format!("{len} bytes of {whole}")));
        }
        let place = |(begin_at, end_at): (usize, usize)| begin + begin_at as u64..begin + end_at as u64;
        let tensors = header.tensors().into_iter().map(|(name, info)| (name, place(info.data_offsets))).collect();
        Ok(Self { file, metadata: header.metadata().clone().unwrap_or_default(), tensors })
    }

    /// CRC-32 over the bytes of all tensors in the order of their names.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn crc32(&self) -> Result<u32> {
        let mut names: Vec<&String> = self.tensors.keys().collect();
        names.sort();
        let (mut crc, mut buffer) = (crc32fast::Hasher::new(), Vec::new());
        for name in names {
            self.read(&self.tensors[name], &mut buffer)?;
            crc.update(&buffer);
        }
        Ok(crc.finalize())
    }

    /// A tensor's bytes, or `None` where there is no such tensor.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(place) = self.tensors.get(name) else { return Ok(None) };
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
