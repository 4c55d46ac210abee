//! Labels as they are written, before anything is judged or repaired.
//!
//! Readers keep what the file says: class names, corners in the file's own units and order, sizes as declared.
//! `clean` turns an annotation into [`super::Object`]s once the image's true size is known.

use super::box_form::BoxForm;
use super::entry::FileEntry;
use super::stored::StoredBytes;

pub use super::box_form::Units;
pub use super::place::{FilePlace, Spot};

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
    pub place: FilePlace,
}

/// One image with its labels as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The place of the image's bytes.
    pub stored: StoredBytes,
    /// The image file relative to the data set's root, `/` between folders.
    pub source: String,
    /// Width and height according to the labels, not necessarily those of the image.
    pub declared_size: Option<[u32; 2]>,
    pub units: Units,
    /// How the boxes are to be read, as judged over the whole set.
    pub form: BoxForm,
    pub objects: Vec<RawObject>,
    /// The file with the labels of this image; the image itself where it has none.
    pub place: FilePlace,
}

impl RawObject {
    /// An ordinary object: neither difficult nor a crowd, of no area but its box's.
    pub fn new(class: impl Into<String>, corners: [f64; 4], place: FilePlace) -> Self {
        Self { class: class.into(), corners, difficult: false, crowd: false, area: None, place }
    }
}

impl Annotation {
    /// An image without objects yet, whose labels stand at `place`.
    pub fn new(image: &FileEntry, units: Units, place: FilePlace) -> Self {
        let (stored, source) = (image.stored.clone(), image.name.clone());
        let (declared_size, form, objects) = (None, BoxForm::default(), Vec::new());
        Self { stored, source, declared_size, units, form, objects, place }
    }

    /// With the size in pixels that the labels give, where it is one that an image can have.
    pub fn with_size(mut self, width: Option<f64>, height: Option<f64>) -> Self {
        let side = |n: f64| (1.0..=65535.0).contains(&n).then_some(n as u32);
        self.declared_size = width.and_then(side).zip(height.and_then(side)).map(|(w, h)| [w, h]);
        self
    }
}
