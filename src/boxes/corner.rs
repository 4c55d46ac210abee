//! Boxes in corner and in centre form, and their overlap.

use serde::{Deserialize, Serialize};

/// A box by its corners, in fractions of the image: `x0 <= x1`, `y0 <= y1` for a valid one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CornerBox {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
}

/// A box by its centre and size, in fractions of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CenterBox {
    pub cx: f64,
    pub cy: f64,
    pub w: f64,
    pub h: f64,
}

impl CornerBox {
    pub const fn new(x0: f64, y0: f64, x1: f64, y1: f64) -> Self {
        Self { x0, y0, x1, y1 }
    }

    pub fn width(&self) -> f64 {
        self.x1 - self.x0
    }

    pub fn height(&self) -> f64 {
        self.y1 - self.y0
    }

    /// Zero for a box whose corners coincide or are reversed.
    pub fn area(&self) -> f64 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    pub fn center(&self) -> CenterBox {
        CenterBox { cx: (self.x0 + self.x1) / 2.0, cy: (self.y0 + self.y1) / 2.0, w: self.width(), h: self.height() }
    }

    /// Area common to both boxes.
    pub fn intersection(&self, other: &Self) -> f64 {
        let w = self.x1.min(other.x1) - self.x0.max(other.x0);
        let h = self.y1.min(other.y1) - self.y0.max(other.y0);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union in `[0, 1]`; zero where the union is empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part of the box inside the image.
    pub fn clipped(&self) -> Self {
        Self {
            x0: self.x0.clamp(0.0, 1.0),
            y0: self.y0.clamp(0.0, 1.0),
            x1: self.x1.clamp(0.0, 1.0),
            y1: self.y1.clamp(0.0, 1.0),
        }
    }
}

impl CenterBox {
    pub fn corners(&self) -> CornerBox {
        CornerBox {
            x0: self.cx - self.w / 2.0,
            y0: self.cy - self.h / 2.0,
            x1: self.cx + self.w / 2.0,
            y1: self.cy + self.h / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corner_and_centre_forms_are_inverse() {
        let b = CornerBox::new(0.125, 0.25, 0.5, 0.875);
        assert_eq!(b.center().corners(), b);
    }

    #[test]
    fn iou_of_a_box_with_itself_is_one_and_of_empty_boxes_zero() {
        let b = CornerBox::new(0.1, 0.2, 0.5, 0.6);
        assert_eq!(b.iou(&b), 1.0);
        let point = CornerBox::new(0.1, 0.2, 0.1, 0.2);
        assert_eq!(point.iou(&point), 0.0);
    }
}
