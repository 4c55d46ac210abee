//! Labels and detections of one image in pixels, as the metrics compare them.

use super::Detection;
use crate::boxes::CornerBox;
use crate::data::Object;

/// A box as COCO writes it: its corner of least x and y, and its size, in pixels of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CocoBox {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl CocoBox {
    /// The box of fractions `b` on an image of `[width, height]` pixels.
    pub fn on_image(b: &CornerBox, [width, height]: [u32; 2]) -> Self {
        let (width, height) = (f64::from(width), f64::from(height));
        Self { x: b.x0 * width, y: b.y0 * height, w: b.width() * width, h: b.height() * height }
    }

    pub fn area(&self) -> f64 {
        self.w * self.h
    }

    /// Zero where the boxes only touch.
    pub fn intersection(&self, other: &Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w > 0.0 && h > 0.0 { w * h } else { 0.0 }
    }

    /// Intersection over union; zero where the boxes do not overlap.
    pub fn iou(&self, other: &Self) -> f64 {
        let intersection = self.intersection(other);
        if intersection > 0.0 { intersection / (self.area() + other.area() - intersection) } else { 0.0 }
    }
}

/// One labelled object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruthBox {
    /// 0 is the first real class.
    pub class: usize,
    pub bbox: CocoBox,
    /// In square pixels; COCO's area is that of the segmentation, which is smaller than the box.
    pub area: f64,
    /// A crowd: detections on it count neither for nor against (COCO metrics only).
    pub crowd: bool,
    /// Counts neither for nor against (VOC metrics only).
    pub difficult: bool,
}

/// All labelled objects of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageTruth {
    pub objects: Vec<TruthBox>,
}

/// One detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// 0 is the first real class.
    pub class: usize,
    pub bbox: CocoBox,
    pub score: f64,
}

/// All detections of one image, in any order. Among equal scores the earlier one ranks first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageDetections {
    pub detections: Vec<ScoredBox>,
}

impl ImageTruth {
    /// The labels of an image of `size` `[width, height]` pixels.
    pub fn on_image(objects: &[Object], size: [u32; 2]) -> Self {
        let image_area = f64::from(size[0]) * f64::from(size[1]);
        let objects = objects.iter().map(|object| {
            let bbox = CocoBox::on_image(&object.bbox, size);
            TruthBox {
                class: object.class,
                bbox,
                area: object.area.map_or(bbox.area(), |fraction| fraction * image_area),
                crowd: object.crowd,
                difficult: object.difficult,
            }
        });
        Self { objects: objects.collect() }
    }
}

impl ImageDetections {
    /// The detections on an image of `size` `[width, height]` pixels.
    pub fn on_image(detections: &[Detection], size: [u32; 2]) -> Self {
        let detections = detections.iter().map(|d| ScoredBox {
            class: d.class,
            bbox: CocoBox::on_image(&d.bbox, size),
            score: d.score,
        });
        Self { detections: detections.collect() }
    }
}
