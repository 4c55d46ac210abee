//! Labels as they are written, before anything is judged or repaired.
//!
//! Readers keep what the file says: class names, corners in the file's own units and order, sizes as declared.
//! `clean` turns an annotation into [`super::Object`]s once the image's true size is known.

use std::fmt;
use std::path::PathBuf;

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Relative to the data set's root, `/` between folders.
    pub file: String,
    pub spot: Spot,
}

/// The part of a [`Place`] inside the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    WholeFile,
    /// Counted from 1.
    Line(usize),
    /// An entry named by its own key, as in `annotation 17` of a COCO file.
    Entry(String),
}

/// How the four numbers of a box are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Pixels of the image at its declared size.
    Pixels,
    /// Fractions of the image.
    Fractions,
}

/// One labelled object as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RawObject {
    pub class: String,
    /// `[x0, y0, x1, y1]` in the annotation's [`Units`]; may be reversed, outside or not even finite.
    pub corners: [f64; 4],
    pub difficult: bool,
    pub crowd: bool,
    /// COCO's `area`, in square pixels of the declared size.
    pub area: Option<f64>,
    pub place: Place,
}

/// One image with its labels as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The image file, absolute or relative to the working folder.
    pub path: PathBuf,
    /// The image file relative to the data set's root, `/` between folders.
    pub source: String,
    /// Width and height according to the labels, not necessarily those of the image.
    pub declared_size: Option<[u32; 2]>,
    pub units: Units,
    pub objects: Vec<RawObject>,
    /// Where the labels of this image are; the image itself where it has none.
    pub place: Place,
}

impl Place {
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.spot {
            Spot::WholeFile => f.write_str(&self.file),
            Spot::Line(line) => write!(f, "{}:{line}", self.file),
            Spot::Entry(entry) => write!(f, "{}: {entry}", self.file),
        }
    }
}
