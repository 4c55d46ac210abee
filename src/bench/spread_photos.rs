//! Some photos of a split, spread over it: neighbours in a folder are often neighbours in time.

use crate::data::{Record, Split};
use anyhow::Result;

/// At most so many photos.
///
/// # Errors
/// If a record cannot be read.
pub fn spread_photos(split: &Split, most: usize) -> Result<Vec<Record>> {
    let count = most.min(split.len());
    (0..count).map(|i| Ok(split.record(i * split.len() / count)?)).collect()
}
