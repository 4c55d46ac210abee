//! An [`RgbImage`] that embedded-graphics can draw on. Pixels outside are clipped.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::Pixel;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle, StyledDrawable};

use crate::data::RgbImage;

pub(super) struct Canvas<'a> {
    pub image: &'a mut RgbImage,
}

/// An image of one colour.
pub(super) fn blank(width: usize, height: usize, color: Rgb888) -> RgbImage {
    RgbImage { width, height, pixels: [color.r(), color.g(), color.b()].repeat(width * height) }
}

impl Canvas<'_> {
    pub fn set(&mut self, x: i32, y: i32, color: Rgb888) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.image.width || y >= self.image.height {
            return;
        }
        let start = (y * self.image.width + x) * 3;
        if let Some(pixel) = self.image.pixels.get_mut(start..start + 3) {
            pixel.copy_from_slice(&[color.r(), color.g(), color.b()]);
        }
    }

    pub fn fill(&mut self, area: Rectangle, color: Rgb888) {
        let Ok(()) = area.draw_styled(&PrimitiveStyle::with_fill(color), self);
    }

    pub fn line(&mut self, from: Point, to: Point, color: Rgb888, width: u32) {
        let Ok(()) = Line::new(from, to).draw_styled(&PrimitiveStyle::with_stroke(color, width), self);
    }

    /// Copies `image` with its top left corner at `(left, top)`.
    pub fn paste(&mut self, image: &RgbImage, left: usize, top: usize) {
        let columns = image.width.min(self.image.width.saturating_sub(left));
        let rows = image.height.min(self.image.height.saturating_sub(top));
        for y in 0..rows {
            let from = y * image.width * 3;
            let to = ((top + y) * self.image.width + left) * 3;
            self.image.pixels[to..to + columns * 3].copy_from_slice(&image.pixels[from..from + columns * 3]);
        }
    }
}

/// The image at half its size, each pixel the mean of four: how lines drawn twice as large become smooth.
pub(super) fn halved(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width / 2, image.height / 2);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let at = |dx, dy| u16::from(image.pixels[((2 * y + dy) * image.width + 2 * x + dx) * 3 + c]);
                pixels.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    RgbImage { width, height, pixels }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Size::new(side(self.image.width), side(self.image.height))
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            self.set(point.x, point.y, color);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = Rectangle::new(Point::zero(), self.size()).intersection(area);
        for point in embedded_graphics::primitives::PointsIter::points(&area) {
            self.set(point.x, point.y, color);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_is_clipped() {
        let mut image = blank(4, 3, Rgb888::BLACK);
        let mut canvas = Canvas { image: &mut image };
        canvas.fill(Rectangle::new(Point::new(-5, -5), Size::new(7, 7)), Rgb888::WHITE);
        canvas.line(Point::new(-9, 99), Point::new(99, 99), Rgb888::RED, 3);
        canvas.paste(&blank(9, 9, Rgb888::BLUE), 3, 2);
        canvas.paste(&blank(9, 9, Rgb888::BLUE), 30, 20);
        let bright: Vec<usize> = (0..12).filter(|&i| image.pixels[i * 3] == 255).collect();
        assert_eq!(bright, [0, 1, 4, 5]);
        assert_eq!(image.pixels[33..], [0, 0, 255]);
    }
}
