//! The pack: one file with all pixels and labels of a data set, ready to train on.
//!
//! Written as a stream in bounded memory, gone on with after a stop, sealed by a footer, mapped read-only afterwards.

mod bytes;
mod format;
mod growing;
mod jpeg;
mod notes;
mod reader;
mod writer;

use std::path::Path;

use super::error::DataError;
use super::source::DataSet;

pub use growing::is_partial as is_partial_pack;
pub use notes::{Noted, PackNotes};
pub use reader::{Pack, Split};
pub use writer::{PackReport, write_pack};

/// The options of a pack, which decide its content besides the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackOptions {
    /// No side of a packed image is longer, in pixels.
    pub max_side: usize,
    /// Share of the images held back for validation where no split is given.
    pub val_share: f64,
    /// Seed of that choice.
    pub seed: u64,
    pub photos: PackAs,
    pub made_for: PackFor,
}

/// The form of the photos in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackAs {
    /// Three bytes a pixel: large, and nothing to decode in training.
    Pixels,
    /// JPEG files: a tenth of the room, decoded at every use.
    Jpeg,
}

impl PackAs {
    fn number(self) -> u32 {
        match self {
            Self::Pixels => 0,
            Self::Jpeg => 1,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        [Self::Pixels, Self::Jpeg].into_iter().find(|kind| kind.number() == number)
    }
}

/// The owner of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackFor {
    /// Asked for by a person, who keeps it.
    Owner,
    /// Made on the way to a run: can be made again at any time.
    Runs,
}

impl PackFor {
    fn number(self) -> u32 {
        match self {
            Self::Owner => 0,
            Self::Runs => 1,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        [Self::Owner, Self::Runs].into_iter().find(|purpose| purpose.number() == number)
    }
}

impl Default for PackOptions {
    fn default() -> Self {
        Self { max_side: 512, val_share: 0.2, seed: 0, photos: PackAs::Pixels, made_for: PackFor::Owner }
    }
}

/// True if the file is a sound pack of this source (same files, sizes, times) made with these options.
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
    pack_set_or_reuse(&DataSet::open(data_path)?, pack_path, options, progress)
}

/// As [`pack_or_reuse`], of a set that was opened.
///
/// # Errors
/// As [`pack_or_reuse`].
pub fn pack_set_or_reuse(
    dataset: &DataSet,
    pack_path: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Pack, Option<PackReport>), DataError> {
    if let Ok(pack) = Pack::open(pack_path)
        && pack.is_of(&dataset.fingerprint(), options)
    {
        return Ok((pack, None));
    }
    let report = write_pack(dataset, pack_path, options, progress)?;
    Ok((Pack::open(pack_path)?, Some(report)))
}
