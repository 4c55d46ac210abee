//! Errors of a package, a file of class names, or the folder of kept weights.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::interchange::InterchangeError;

#[derive(Debug, Error)]
pub enum WeightsError {
    /// The operating system refused; `action` completes "cannot ...".
    #[error("{}: cannot {action}: {error}\nhelp: check the path, its permissions and the room on the disk", path.display())]
    Io { path: PathBuf, action: &'static str, error: io::Error },

    /// A package that is damaged, hostile, or holds no model or several.
    #[error("{place}: found {found}, expected {expected}\nhelp: {help}")]
    Package { place: String, found: String, expected: String, help: String },

    /// Class names that cannot be read or do not fit the model.
    #[error("{place}: found {found}, expected {expected}\nhelp: {help}")]
    Names { place: String, found: String, expected: String, help: String },

    /// The folder of kept weights does not have what is asked for, or a package has only models that cannot be read.
    #[error("{0}")]
    Kept(String),

    /// The model itself cannot be read, or is not a start.
    #[error(transparent)]
    Model(#[from] InterchangeError),
}

impl WeightsError {
    /// An input/output error on `path`, for `map_err`; `action` completes "cannot ...".
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| WeightsError::Io { path, action, error }
    }

    pub(super) fn package(
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (place, found, expected, help) = (place.into(), found.into(), expected.into(), help.into());
        WeightsError::Package { place, found, expected, help }
    }

    pub(super) fn names(
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (place, found, expected, help) = (place.into(), found.into(), expected.into(), help.into());
        WeightsError::Names { place, found, expected, help }
    }
}
