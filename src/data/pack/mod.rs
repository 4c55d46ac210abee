//! The pack: one file with all pixels and labels of a data set, ready to train on.
//!
//! Written once as a stream in bounded memory, sealed by a footer, mapped read-only afterwards.

mod bytes;
mod format;
mod reader;
mod writer;

use std::path::Path;

use super::error::DataError;
use super::source::DataSet;

pub use reader::{Pack, Split};
pub use writer::{PackReport, write_pack};

/// What decides the content of a pack besides the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackOptions {
    /// No side of a packed image is longer, in pixels.
    pub max_side: usize,
    /// Share of the images held back for validation where no split is given.
    pub val_share: f64,
    /// Seed of that choice.
    pub seed: u64,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self { max_side: 512, val_share: 0.2, seed: 0 }
    }
}

/// Whether the file is a sound pack of this source (same files, sizes, times) made with these options.
pub fn is_current(path: &Path, dataset: &DataSet, options: &PackOptions) -> bool {
    Pack::open(path).is_ok_and(|pack| pack.is_of(&dataset.fingerprint(), options))
}

/// The pack at `pack_path` if it is current, else a new one written there, with the report of its making.
///
/// # Errors
/// If the data cannot be read or the pack cannot be written.
pub fn pack_or_reuse(
    data_path: &Path,
    pack_path: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Pack, Option<PackReport>), DataError> {
    let dataset = DataSet::open(data_path)?;
    if let Ok(pack) = Pack::open(pack_path)
        && pack.is_of(&dataset.fingerprint(), options)
    {
        return Ok((pack, None));
    }
    let report = write_pack(&dataset, pack_path, options, progress)?;
    Ok((Pack::open(pack_path)?, Some(report)))
}
