//! Everything that can be wrong with data in: folders, label files, images and packs.
//!
//! Each message says file, place, what was found and what was expected; a `help:` line of its own says what to do.
//! A defect inside an otherwise usable set is not an error but a finding.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::place::FilePlace;

#[derive(Debug, Error)]
pub enum DataError {
    /// The operating system refused; `action` completes "cannot ...".
    #[error("{}: cannot {action}: {error}\nhelp: {}", file.display(), io_help(error))]
    Io { file: PathBuf, action: &'static str, error: io::Error },

    /// The path does not lead to labelled photos, or to none of the kind asked for.
    #[error("{}: {found}, expected {expected}\nhelp: {help}", file.display())]
    Source { file: PathBuf, found: String, expected: String, help: String },

    /// A label file that the whole data set hangs on (one JSON, one CSV, one data.yaml) cannot be understood.
    #[error("{place}: {found}, expected {expected}\nhelp: {help}")]
    Label { place: FilePlace, found: String, expected: String, help: String },

    /// An image that cannot become pixels.
    #[error("{}: {found}\nhelp: {help}", file.display())]
    Image { file: PathBuf, found: String, help: String },

    /// A record that could not be read while training or evaluating; `position` counts from 0 in its split.
    #[error("record {position}: {error}")]
    Record { position: usize, error: Box<DataError> },

    /// No split of that name.
    #[error("{}: no split {found:?}, expected one of {expected}\nhelp: name one of these splits", file.display())]
    Split { file: PathBuf, found: String, expected: String },

    /// The file is something else.
    #[error("{}: {found}, expected a pack\nhelp: make one with `fieldtune pack DATA -o FILE`", file.display())]
    NotAPack { file: PathBuf, found: String },

    /// Written by another version of the format.
    #[error("{}: a pack of format {found}, expected format {expected}\nhelp: pack the data set again with this program", file.display())]
    PackVersion { file: PathBuf, found: u32, expected: u32 },

    /// The end is missing: writing or copying stopped half way. The part before it may be sound.
    #[error("{}: the pack is cut off: {found}, expected {expected}\nhelp: pack the data set again, or copy the pack again", file.display())]
    PackCut { file: PathBuf, found: String, expected: String },

    /// The end is there but the content is not what was written.
    #[error("{}: the pack is damaged: {place}: {found}, expected {expected}\nhelp: pack the data set again; if it happens again, check the storage", file.display())]
    PackDamaged { file: PathBuf, place: String, found: String, expected: String },
}

impl DataError {
    /// An [`DataError::Io`] on `file`, for `map_err`; `action` completes "cannot ...".
    pub fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_path_buf();
        move |error| DataError::Io { file, action, error }
    }
}

fn io_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "check the permissions",
        io::ErrorKind::StorageFull => "free some space, or write to another disk",
        _ => "check the storage and try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_file_place_found_expected_and_help() {
        let error = DataError::Label {
            place: FilePlace::line("labels/0007.txt", 3),
            found: "class 12".into(),
            expected: "0..=4".into(),
            help: "list all classes".into(),
        };
        assert_eq!(error.to_string(), "labels/0007.txt:3: class 12, expected 0..=4\nhelp: list all classes");
    }
}
