//! A place in the files of a data set.

use std::fmt;

use super::text::shown;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilePlace {
    /// Relative to the data set's root, `/` between folders.
    pub file: String,
    pub spot: Spot,
}

/// The part of a [`FilePlace`] inside the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    WholeFile,
    /// Counted from 1.
    Line(usize),
    /// An entry named by its own key, as in `annotation 17` of a COCO file.
    Entry(String),
}

/// The subject of a finding of no single file.
const WHOLE_SET: &str = "the whole set";

impl FilePlace {
    /// All files of a set together.
    pub fn whole_set() -> Self {
        Self::entry("", WHOLE_SET)
    }

    pub fn is_whole_set(&self) -> bool {
        matches!(&self.spot, Spot::Entry(entry) if entry == WHOLE_SET)
    }

    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), spot: Spot::WholeFile }
    }

    pub fn line(file: impl Into<String>, line: usize) -> Self {
        Self { file: file.into(), spot: Spot::Line(line) }
    }

    pub fn entry(file: impl Into<String>, entry: impl Into<String>) -> Self {
        Self { file: file.into(), spot: Spot::Entry(entry.into()) }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::WholeFile => Ok(()),
            Spot::Line(line) => write!(f, "line {line}"),
            Spot::Entry(entry) => f.write_str(entry),
        }
    }
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.spot {
            Spot::WholeFile => f.write_str(&shown(&self.file)),
            Spot::Line(line) => write!(f, "{}:{line}", shown(&self.file)),
            Spot::Entry(entry) if self.file.is_empty() => f.write_str(&shown(entry)),
            Spot::Entry(entry) => write!(f, "{}: {}", shown(&self.file), shown(entry)),
        }
    }
}
