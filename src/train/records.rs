//! The labelled photos of one split, from a pack or from memory.

use crate::data::{DataError, Record, Split};
use std::sync::Arc;

type Read = dyn Fn(usize) -> Result<Record, DataError> + Send + Sync;

/// A split's records by index; cheap to clone, read from any thread.
#[derive(Clone)]
pub struct Records {
    len: usize,
    crc32: u32,
    read: Arc<Read>,
}

impl Records {
    pub fn new(len: usize, read: impl Fn(usize) -> Result<Record, DataError> + Send + Sync + 'static) -> Self {
        Self { len, crc32: 0, read: Arc::new(read) }
    }

    /// The records of a pack's split.
    pub fn of_split(split: &Split) -> Self {
        let (split, crc32) = (split.clone(), split.crc32());
        Self { crc32, ..Self::new(split.len(), move |i| split.record(i)) }
    }

    /// Records that are in memory already.
    pub fn in_memory(records: Vec<Record>) -> Self {
        let records = Arc::new(records);
        Self::new(records.len(), move |i| Ok(records[i].clone()))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// CRC-32 over images and labels, 0 where nobody counted it.
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record at `index`.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn get(&self, index: usize) -> Result<Record, DataError> {
        (self.read)(index)
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Records").field("len", &self.len).finish_non_exhaustive()
    }
}
