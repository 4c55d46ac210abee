//! The file that a run starts from, and which of its classes the data set has.

use crate::interchange::Imported;
use crate::train::WantedClasses;
use crate::weights::{Store, WeightsError, class_names, default_weights, match_names, resolve};
use std::path::{Path, PathBuf};

/// The file that `given` stands for, by path or by the name of kept weights; without one the kept default.
///
/// # Errors
/// If no weights of that name are kept, or none are given and none are kept.
pub fn starting_weights(given: Option<&Path>) -> Result<PathBuf, WeightsError> {
    let store = Store::of_user();
    match given {
        Some(given) => resolve(given, store.as_ref()),
        None => {
            let (path, record) = default_weights(store.as_ref())?;
            log::info!("no --weights given: starting from {}, the default of the kept weights", record.name);
            Ok(path)
        }
    }
}

/// The classes of a data set, and where the weights imported from `path` have them.
///
/// `names` is what was given for the names of the file's classes.
///
/// # Errors
/// If names of the file's classes cannot be read or do not fit it.
pub fn wanted_classes(
    path: &Path,
    imported: &Imported,
    names: Option<&str>,
    wanted: &[String],
) -> Result<WantedClasses, WeightsError> {
    let Some(known) = class_names(path, imported, names)? else {
        return Ok(WantedClasses::all_new(wanted.to_vec()));
    };
    log::debug!("{}: class names from {}", path.display(), known.source);
    Ok(WantedClasses::new(wanted.to_vec(), match_names(wanted, &known.names)))
}
