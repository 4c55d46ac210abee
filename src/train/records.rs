//! The labelled photos of one split, wherever they live.

use crate::data::{DataError, Record};
use std::sync::Arc;

type Read = dyn Fn(usize) -> Result<Record, DataError> + Send + Sync;

/// A split's records by index; cheap to clone, read from any thread.
#[derive(Clone)]
pub struct Records {
    len: usize,
    read: Arc<Read>,
}

impl Records {
    pub fn new(len: usize, read: impl Fn(usize) -> Result<Record, DataError> + Send + Sync + 'static) -> Self {
        Self { len, read: Arc::new(read) }
    }

    /// Records that are in memory already.
    pub fn in_memory(records: Vec<Record>) -> Self {
        let records = Arc::new(records);
        Self::new(records.len(), move |i| Ok(records[i].clone()))
    }

    pub fn len(&self) -> usize {
        self.len
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
