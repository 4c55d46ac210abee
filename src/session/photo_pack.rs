//! The pack that a run's photos are read from: used again while it is current, and small where the card is.

use crate::board::free_bytes;
use crate::config::PackWish;
use crate::data::{DataError, DataSet, Pack, PackAs, PackFor, PackOptions, PackReport, pack_set_or_reuse};
use std::path::Path;

/// The options of a pack of photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackChoice {
    pub wish: PackWish,
    /// Share of the images held back for validation where no split is given.
    pub val_share: f64,
    /// Seed of that choice.
    pub seed: u64,
}

impl Default for PackChoice {
    fn default() -> Self {
        Self { wish: PackWish::Auto, val_share: 0.2, seed: 0 }
    }
}

impl PackChoice {
    /// Options of a pack of this kind.
    fn options(&self, photos: PackAs, made_for: PackFor) -> PackOptions {
        PackOptions { val_share: self.val_share, seed: self.seed, photos, made_for, ..PackOptions::default() }
    }

    /// The kind of photos for a new pack of `photos` photos in the folder of `path`.
    pub fn kind(&self, path: &Path, photos: usize, max_side: usize) -> PackAs {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match self.wish {
            PackWish::Pixels => PackAs::Pixels,
            PackWish::Jpeg => PackAs::Jpeg,
            PackWish::Auto => kind_for(photos, max_side, free_bytes(folder)),
        }
    }
}

/// Pixels where they take at most half of the free space: a run needs room for its checkpoints, too.
fn kind_for(photos: usize, max_side: usize, free: Option<u64>) -> PackAs {
    // Most photos are 4:3.
    let pixels = (photos as u64).saturating_mul(3 * (max_side as u64).pow(2) * 3 / 4);
    if free.is_some_and(|free| pixels > free / 2) { PackAs::Jpeg } else { PackAs::Pixels }
}

/// The pack at `path` if it is current, in either kind where the wish leaves it open; else a new one, with the report
/// of its making. `progress` gets images done and in all.
///
/// # Errors
/// If the data cannot be read or the pack cannot be written.
pub fn pack_photos(
    dataset: &DataSet,
    path: &Path,
    choice: &PackChoice,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Pack, Option<PackReport>), DataError> {
    let options = |kind| choice.options(kind, PackFor::Runs);
    if choice.wish == PackWish::Auto
        && let Ok(pack) = Pack::open(path)
    {
        let fingerprint = dataset.fingerprint();
        if [PackAs::Pixels, PackAs::Jpeg].iter().any(|kind| pack.is_of(&fingerprint, &options(*kind))) {
            return Ok((pack, None));
        }
    }
    let kind = choice.kind(path, dataset.annotations.len(), PackOptions::default().max_side);
    if kind == PackAs::Jpeg && choice.wish == PackWish::Auto {
        log::info!(
            "{}: photos are packed as JPEG, as pixels would take more than half of the free space",
            path.display()
        );
    }
    pack_set_or_reuse(dataset, path, &options(kind), progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_packed_where_they_take_at_most_half_of_the_room() {
        // A photo of 512 x 384 is 590 kB.
        let photo = 3 * 512 * 384;
        assert_eq!(kind_for(1000, 512, Some(2000 * photo)), PackAs::Pixels);
        assert_eq!(kind_for(1000, 512, Some(2000 * photo - 2)), PackAs::Jpeg);
        assert_eq!(kind_for(1000, 512, None), PackAs::Pixels, "a system that does not tell");
    }
}
