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

    /// The records at `indices`, in that order.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn chosen(&self, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&i| i < self.len), "{} records", self.len);
        let (all, mut crc) = (self.clone(), crc32fast::Hasher::new());
        crc.update(&self.crc32.to_le_bytes());
        indices.iter().for_each(|i| crc.update(&i.to_le_bytes()));
        Self { crc32: crc.finalize(), ..Self::new(indices.len(), move |i| all.get(indices[i])) }
    }

    /// The same records, each changed by `change` when it is read.
    pub fn mapped(&self, change: impl Fn(&mut Record) + Send + Sync + 'static) -> Self {
        let all = self.clone();
        let read = move |i| {
            let mut record = all.get(i)?;
            change(&mut record);
            Ok(record)
        };
        Self { crc32: self.crc32, ..Self::new(self.len, read) }
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
