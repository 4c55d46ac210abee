//! One file of a data set.

use std::path::PathBuf;

use super::error::DataError;
use super::stored::StoredBytes;
use super::text::{DecodedText, decode, shown};

/// The labels of all of COCO take a half.
const MAX_LABEL_BYTES: u64 = 1 << 30;

/// One file: its name relative to the root with `/` between folders, and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    pub name: String,
    /// Position in the folder's list.
    pub id: usize,
    pub stored: StoredBytes,
}

impl FileEntry {
    /// The content of a label or list file.
    ///
    /// # Errors
    /// If it cannot be read or is far larger than any label file; `action` completes "cannot ...".
    pub fn read(&self, action: &'static str) -> Result<Vec<u8>, DataError> {
        let fault = |error| DataError::Io { file: PathBuf::from(shown(&self.name)), action, error };
        self.stored.read(MAX_LABEL_BYTES).map_err(fault)
    }

    /// As [`FileEntry::read`], as text.
    ///
    /// # Errors
    /// As [`FileEntry::read`].
    pub fn text(&self, action: &'static str) -> Result<DecodedText, DataError> {
        Ok(decode(&self.read(action)?))
    }
}
