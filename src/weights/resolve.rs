//! From what a user writes after `--weights` to a file: a path, a run folder, the name of kept weights, or nothing at all.

use std::path::{Path, PathBuf};

use super::error::WeightsError;
use super::record::WeightsRecord;
use super::store::Store;

/// The best weights of a run, in its folder.
const OF_RUN: &str = "weights/best.onnx";

/// The file that `given` stands for: the file of that path, the best weights of the run in that folder, or where there
/// is neither, the kept weights of that name.
///
/// # Errors
/// If `given` is a run folder without best weights; or it could be a name, is no file, and no weights of that name are
/// kept.
pub fn resolve(given: &Path, store: Option<&Store>) -> Result<PathBuf, WeightsError> {
    if given.is_dir() {
        let best = given.join(OF_RUN);
        if !best.is_file() && given.join("config.toml").is_file() {
            return Err(WeightsError::Kept(format!(
                "{}: not there, the first epoch of this run is not over\nhelp: wait for it, or name another model",
                best.display()
            )));
        }
        return Ok(if best.is_file() { best } else { given.into() });
    }
    let name = given.to_str().filter(|name| given.components().count() == 1 && !name.ends_with(['/', '\\']));
    let (Some(name), Some(store), false) = (name, store, given.exists()) else { return Ok(given.into()) };
    match store.record(name) {
        Some(record) => Ok(store.path(&record)),
        // A file name is missed as a file; whoever reads it says so.
        None if given.extension().is_some() => Ok(given.into()),
        None => Err(store.no_such(name)),
    }
}

/// The default of the kept weights, for a run that names none.
///
/// # Errors
/// If there is none, with the commands that get one.
pub fn default_weights(store: Option<&Store>) -> Result<(PathBuf, WeightsRecord), WeightsError> {
    let Some(store) = store else { return Err(none_given("")) };
    if let Some(record) = store.default()? {
        return Ok((store.path(&record), record));
    }
    let names: Vec<String> = store.list()?.into_iter().map(|record| record.name).collect();
    if names.is_empty() {
        return Err(none_given(&format!(", and none are kept in {}", store.folder().display())));
    }
    Err(WeightsError::Kept(format!(
        "no pretrained weights given, and none of those kept ({}) is the default\n\
         help: `fieldtune weights default NAME` chooses one; --weights NAME names one for this run",
        names.join(", ")
    )))
}

fn none_given(kept: &str) -> WeightsError {
    WeightsError::Kept(format!(
        "no pretrained weights given{kept}\n\
         help: these two commands get and keep a detector to start from (Apache-2.0, once for all runs):\n    \
         {GET}\n    {ADD}\n\
         or name a file with --weights FILE; docs/weights.md tells what else works"
    ))
}

/// The two commands that get a detector to start from.
pub const GET: &str = "npm pack @mediapipe/objectron@0.4.1675468480";
pub const ADD: &str = "fieldtune weights add mediapipe-objectron-0.4.1675468480.tgz";
