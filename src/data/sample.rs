//! The records between the pack and the network: images with their objects.

use crate::boxes::{CornerBox, InputSize};

/// One labelled object of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Index into the data set's class names, **without** background: 0 is the first real class.
    pub class: usize,
    /// Fractions of the image.
    pub bbox: CornerBox,
    /// PASCAL VOC's flag: neither a hit nor a miss in VOC AP.
    pub difficult: bool,
    /// COCO's `iscrowd`: not trained on, ignored in COCO AP.
    pub crowd: bool,
    /// COCO's `area` as a fraction of the image's area, where the labels give one that is not the box's own.
    pub area: Option<f64>,
}

/// An 8-bit RGB image, row-major `[height, width, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RgbImage {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// One photo with its labels, as the pack holds it: at its own shape, no side longer than the pack's bound.
#[derive(Clone, Debug)]
pub struct Record {
    /// The image file the record came from, relative to the data set's root.
    pub source: String,
    /// Width and height of that file in pixels, EXIF orientation applied.
    pub source_size: [u32; 2],
    pub image: RgbImage,
    pub objects: Vec<Object>,
}

/// One image as the network will see it, at the input size, with its objects.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Position of the record in its split.
    pub index: usize,
    pub image: RgbImage,
    pub objects: Vec<Object>,
}

/// Samples to train on together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, H, W, 3]`, RGB. Bytes: batches that wait take a quarter of what the network's input takes.
    pub images: Vec<u8>,
    pub size: InputSize,
    /// The objects of each image; what a batch is trained on, crowds removed.
    pub objects: Vec<Vec<Object>>,
    /// Position of each image's record in its split.
    pub indices: Vec<usize>,
}
