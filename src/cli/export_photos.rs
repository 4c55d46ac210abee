//! Photos for an export: some of the training split to find 8-bit scales on, those of the validation split to judge on.

use crate::boxes::InputSize;
use crate::data::{Pack, Photo, Record, plain};
use crate::session::{DataSource, LoadedDetector, open_source, training_split, validation_split};
use crate::train::Records;
use anyhow::{Context, Result, bail};
use std::path::Path;
use tempfile::TempDir;

/// The photos of one export; packed data sets live as long as this.
pub struct ExportPhotos {
    /// Pixel values `[H, W, 3]` at the file's size.
    pub calibration: Vec<Vec<u8>>,
    /// Labelled photos that were held back in training.
    pub validation: Option<Records>,
    _cache: TempDir,
}

impl ExportPhotos {
    /// `judged` names the data set to judge on, `calibrate` the one to show at most `count` photos of, which is judged on
    /// where nothing else is named and it has labels of the network's classes.
    ///
    /// # Errors
    /// If a data set cannot be read, or the one to judge on has other classes than the network or holds nothing back.
    pub fn read(
        loaded: &LoadedDetector,
        size: InputSize,
        judged: Option<&Path>,
        calibrate: Option<(&Path, usize)>,
    ) -> Result<Self> {
        let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (mut calibration, mut validation) = (Vec::new(), None);
        if let Some((data, count)) = calibrate {
            let pack;
            (calibration, pack) = shown_photos(data, cache.path(), loaded, size, count)?;
            if let Some(pack) = pack.filter(|_| judged.is_none()) {
                validation = held_back(&pack, loaded)?;
                if pack.classes() != loaded.class_names {
                    log::warn!("{}: other classes than the network's: the file is not judged on it", data.display());
                    validation = None;
                }
            }
        }
        if let Some(data) = judged {
            let pack = opened(data, cache.path(), loaded)?;
            if pack.classes() != loaded.class_names {
                let (found, expected) = (pack.classes().join(", "), loaded.class_names.join(", "));
                bail!(
                    "{}: found the classes {found}, expected {expected}\nhelp: judge the file on data of the classes that \
                     the network was trained on, or export it without --data",
                    data.display()
                );
            }
            validation = held_back(&pack, loaded)?;
            if validation.is_none() {
                bail!("{}: found no photos that were held back, expected a validation split", data.display());
            }
        }
        Ok(Self { calibration, validation, _cache: cache })
    }
}

fn held_back(pack: &Pack, loaded: &LoadedDetector) -> Result<Option<Records>> {
    let split = validation_split(pack, loaded.trained_on.as_ref())?;
    Ok(split.map(|split| Records::of_split(&split)))
}

/// The same photos are held back as in training, where the file says which.
fn opened(data: &Path, cache: &Path, loaded: &LoadedDetector) -> Result<Pack> {
    let (share, seed) = loaded.trained_on.as_ref().map_or((0.2, 0), |t| (t.val_share, t.seed));
    let DataSource { pack } = open_source(data, cache, share, seed)?;
    Ok(pack)
}

/// The training split of a data set, spread evenly, and the data set; or the photos of a folder without labels.
fn shown_photos(
    data: &Path,
    cache: &Path,
    loaded: &LoadedDetector,
    size: InputSize,
    count: usize,
) -> Result<(Vec<Vec<u8>>, Option<Pack>)> {
    let count = count.max(1);
    let picked = |all: usize| (0..count.min(all)).map(move |i| i * all / count.min(all));
    let pack = match opened(data, cache, loaded) {
        Ok(pack) => pack,
        Err(error) if !data.is_dir() => return Err(error),
        Err(error) => {
            let Ok(photos) = crate::predict::photos(&[data.to_path_buf()]) else { return Err(error) };
            log::info!("{}: {} photos without labels", data.display(), photos.len());
            let pixels = picked(photos.len()).map(|i| Ok(shown(&unlabelled(&photos[i])?, size)));
            return Ok((pixels.collect::<Result<_>>()?, None));
        }
    };
    let training = training_split(&pack, loaded.trained_on.as_ref())?;
    let pixels = picked(training.len()).map(|i| Ok(shown(&training.record(i)?, size)));
    Ok((pixels.collect::<Result<_>>()?, Some(pack)))
}

fn unlabelled(path: &Path) -> Result<Record> {
    let photo = Photo::read(path)?;
    let size = [photo.image.width as u32, photo.image.height as u32];
    Ok(Record { source: path.display().to_string(), source_size: size, image: photo.image, objects: Vec::new() })
}

fn shown(record: &Record, size: InputSize) -> Vec<u8> {
    plain(record, size).image.pixels
}
