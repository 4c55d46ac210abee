//! Boxes with labels on a photo.
//!
//! Line width and letters grow with the picture. Every box has a dark rim and every label a solid ground, so they read
//! on any background. Labels stand above their box, or inside or below it where there is no room, and are moved or cut
//! to lie inside the image.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::{PrimitiveStyleBuilder, Rectangle, StrokeAlignment, StyledDrawable};

use super::canvas::Canvas;
use super::lettering::{Direction, Lettering, Type};
use super::palette::{class_color, rgb, text_on};
use crate::boxes::CornerBox;
use crate::data::RgbImage;

/// Pixels of ground around a label's letters.
const PADDING: u32 = 2;

/// One box to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker {
    /// Fractions of the image.
    pub bbox: CornerBox,
    /// Red, green, blue.
    pub color: [u8; 3],
    pub label: String,
}

impl Marker {
    /// A labelled object: `name`, in the colour of its class.
    pub fn object(bbox: CornerBox, class: usize, name: &str) -> Self {
        Self { bbox, color: class_color(class), label: name.to_string() }
    }

    /// A detection: `name 0.87`.
    pub fn detection(bbox: CornerBox, class: usize, name: &str, score: f64) -> Self {
        Self { bbox, color: class_color(class), label: format!("{name} {score:.2}") }
    }
}

/// Draws `markers` on `image`, the first on top: detections in falling score show the surest one whole.
///
/// Boxes are clipped to the image; one that lies outside it, or is not finite, is left out.
pub fn draw_markers(image: &mut RgbImage, markers: &[Marker]) {
    let short = image.width.min(image.height);
    let extent = Size::new(image.width as u32, image.height as u32);
    let stroke = (short as f64 / 200.0).round().clamp(2.0, 12.0) as u32;
    let style = Type::for_picture(short);
    let mut canvas = Canvas { image };
    let visible: Vec<(&Marker, Rectangle)> =
        markers.iter().filter_map(|m| Some((m, pixels(&m.bbox, extent)?))).collect();

    for (marker, frame) in visible.iter().rev() {
        let rim = PrimitiveStyleBuilder::new().stroke_color(Rgb888::BLACK).stroke_width(1);
        let Ok(()) = frame.draw_styled(&rim.stroke_alignment(StrokeAlignment::Outside).build(), &mut canvas);
        let line = PrimitiveStyleBuilder::new().stroke_color(rgb(marker.color)).stroke_width(stroke);
        let Ok(()) = frame.draw_styled(&line.stroke_alignment(StrokeAlignment::Inside).build(), &mut canvas);
    }

    // Places are given to the surest first, though it is drawn last.
    let mut labels: Vec<(Rectangle, Lettering, Rgb888)> = Vec::new();
    for (marker, frame) in visible.iter().filter(|(marker, _)| !marker.label.is_empty()) {
        let text = Lettering::within(&marker.label, style, extent.width.saturating_sub(2 * PADDING));
        let size = text.size() + Size::new_equal(2 * PADDING);
        let used: Vec<Rectangle> = labels.iter().map(|(ground, ..)| *ground).collect();
        labels.push((label_place(frame, size, extent, &used), text, rgb(marker.color)));
    }
    for (ground, text, color) in labels.iter().rev() {
        canvas.fill(*ground, *color);
        text.write(&mut canvas, ground.top_left + Point::new_equal(PADDING as i32), text_on(*color), Direction::Right);
    }
}

/// The pixels that a box covers, at least one each way; `None` if it has none inside the image.
fn pixels(b: &CornerBox, extent: Size) -> Option<Rectangle> {
    let c = b.clipped();
    let inside = c.width() >= 0.0 && c.height() >= 0.0 && b.x1 > 0.0 && b.y1 > 0.0 && b.x0 < 1.0 && b.y0 < 1.0;
    if !inside || extent.width == 0 || extent.height == 0 {
        return None;
    }
    let at = |fraction: f64, side: u32| (fraction * f64::from(side)).round() as i32;
    let (left, top) =
        (at(c.x0, extent.width).min(extent.width as i32 - 1), at(c.y0, extent.height).min(extent.height as i32 - 1));
    let (right, bottom) = (at(c.x1, extent.width).max(left + 1), at(c.y1, extent.height).max(top + 1));
    Some(Rectangle::new(Point::new(left, top), Size::new((right - left) as u32, (bottom - top) as u32)))
}

/// The place of a label of `size`: the first place that covers no other label; above the box if all do.
fn label_place(frame: &Rectangle, size: Size, extent: Size, used: &[Rectangle]) -> Rectangle {
    let (width, height) = (size.width as i32, size.height as i32);
    let (left, top) = (frame.top_left.x, frame.top_left.y);
    let bottom = top + frame.size.height as i32;
    let right = left + frame.size.width as i32 - width;
    let inside = |x: i32, y: i32| {
        let x = x.min(extent.width as i32 - width).max(0);
        let y = y.min(extent.height as i32 - height).max(0);
        Rectangle::new(Point::new(x, y), size)
    };
    let mut places = Vec::new();
    if top >= height {
        places.extend([inside(left, top - height), inside(right, top - height)]);
    }
    places.push(inside(left, top));
    if bottom + height <= extent.height as i32 {
        places.extend([inside(left, bottom), inside(right, bottom)]);
    }
    places.push(inside(left, bottom - height));
    let free = places.iter().find(|place| used.iter().all(|other| other.intersection(place).is_zero_sized()));
    *free.unwrap_or(&places[0])
}

#[cfg(test)]
mod tests {
    use super::super::canvas::blank;
    use super::*;

    const GREY: Rgb888 = Rgb888::new(90, 90, 90);

    fn changed(image: &RgbImage) -> usize {
        image.pixels.chunks_exact(3).filter(|p| *p != [90, 90, 90]).count()
    }

    #[test]
    fn any_box_can_be_drawn() {
        for (width, height) in [(0, 0), (1, 1), (3, 200), (300, 300)] {
            let mut image = blank(width, height, GREY);
            let boxes = [
                CornerBox::new(-1.0, -1.0, 2.0, 2.0),
                CornerBox::new(0.99, 0.99, 1.0, 1.0),
                CornerBox::new(0.5, 0.5, 0.5, 0.5),
                CornerBox::new(0.6, 0.6, 0.2, 0.2),
                CornerBox::new(f64::NAN, 0.0, 1.0, f64::INFINITY),
                CornerBox::new(1e300, 0.0, 1e301, 1.0),
            ];
            let markers =
                boxes.map(|b| Marker::detection(b, 1234, "a name longer than the picture is wide, surely", 1.0));
            draw_markers(&mut image, &markers);
            assert_eq!(image.pixels.len(), width * height * 3);
        }
    }

    #[test]
    fn boxes_outside_the_image_leave_it_alone() {
        let mut image = blank(50, 50, GREY);
        for b in [CornerBox::new(1.1, 0.1, 1.4, 0.4), CornerBox::new(-0.5, 0.1, -0.1, 0.4)] {
            draw_markers(&mut image, &[Marker::object(b, 0, "cat")]);
        }
        assert_eq!(changed(&image), 0);
        draw_markers(&mut image, &[Marker::object(CornerBox::new(0.2, 0.4, 0.8, 0.8), 0, "cat")]);
        assert!(changed(&image) > 0);
    }

    #[test]
    fn labels_lie_inside_the_image_and_avoid_each_other() {
        let (extent, size) = (Size::new(300, 200), Size::new(60, 14));
        let picture = Rectangle::new(Point::zero(), extent);
        let mut used: Vec<Rectangle> = Vec::new();
        for corner in [(0, 0), (280, 190), (100, 100), (100, 100), (100, 100), (105, 98)] {
            let frame = Rectangle::new(Point::new(corner.0, corner.1), Size::new(80, 50)).intersection(&picture);
            let place = label_place(&frame, size, extent, &used);
            assert_eq!(place.intersection(&picture), place, "{corner:?}");
            assert!(used.iter().all(|other| other.intersection(&place).is_zero_sized()), "{corner:?}");
            used.push(place);
        }
    }
}
