//! From a window to pixels: which rectangle of the photo goes where in the input image.

use crate::boxes::{CornerBox, InputSize};
use crate::data::RgbImage;
use crate::data::resize::Rect;

/// The visible part of a photo, in its own pixels and in those of the input image. Neither is ever empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    pub(super) source: Rect,
    pub(super) target: Rect,
}

impl Placement {
    /// The place where `window` (fractions of `image`, overlapping it) shows `image` when drawn `size` large.
    pub(super) fn new(window: &CornerBox, image: &RgbImage, size: InputSize) -> Self {
        let seen = window.clipped();
        let (x, width) = span(seen.x0, seen.x1, image.width, f64::floor);
        let (y, height) = span(seen.y0, seen.y1, image.height, f64::floor);
        let source = Rect { x, y, width, height };
        let (w, h) = (window.width(), window.height());
        let (x, width) = span((seen.x0 - window.x0) / w, (seen.x1 - window.x0) / w, size.width, f64::round);
        let (y, height) = span((seen.y0 - window.y0) / h, (seen.y1 - window.y0) / h, size.height, f64::round);
        Self { source, target: Rect { x, y, width, height } }
    }
}

/// Start and length in pixels of the fraction `from..to` of `pixels`: at least one, and inside.
fn span(from: f64, to: f64, pixels: usize, round_start: fn(f64) -> f64) -> (usize, usize) {
    let start = (round_start(from * pixels as f64) as usize).min(pixels - 1);
    let end = ((to * pixels as f64).round() as usize).clamp(start + 1, pixels);
    (start, end - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize) -> RgbImage {
        RgbImage { width, height, pixels: vec![0; width * height * 3] }
    }

    #[test]
    fn the_whole_photo_fills_the_input() {
        let got = Placement::new(&CornerBox::new(0.0, 0.0, 1.0, 1.0), &image(512, 384), InputSize::square(300));
        assert_eq!(got.source, Rect { x: 0, y: 0, width: 512, height: 384 });
        assert_eq!(got.target, Rect { x: 0, y: 0, width: 300, height: 300 });
    }

    #[test]
    fn a_zoomed_out_photo_takes_its_share_and_a_crop_its_part() {
        let got = Placement::new(&CornerBox::new(-0.5, -1.0, 1.5, 1.0), &image(100, 50), InputSize::square(200));
        assert_eq!(got.source, Rect { x: 0, y: 0, width: 100, height: 50 });
        assert_eq!(got.target, Rect { x: 50, y: 100, width: 100, height: 100 });
        let got = Placement::new(&CornerBox::new(0.25, 0.5, 0.75, 1.0), &image(100, 50), InputSize::new(120, 200));
        assert_eq!(got.source, Rect { x: 25, y: 25, width: 50, height: 25 });
        assert_eq!(got.target, Rect { x: 0, y: 0, width: 200, height: 120 });
    }

    #[test]
    fn even_a_sliver_keeps_a_pixel() {
        let got = Placement::new(&CornerBox::new(0.9999, 0.0, 3.0, 1.0), &image(3, 1), InputSize::square(10));
        assert!(got.source.area() >= 1 && got.target.area() >= 1);
        assert!(got.source.x + got.source.width <= 3 && got.target.x + got.target.width <= 10);
    }
}
