//! The labels of a data set at one look: boxes by class, their sizes, their places, and some photos.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

use super::canvas::{Canvas, blank};
use super::lettering::{Direction, Lettering, Type};
use super::palette::{blend, class_color};
use crate::boxes::{CornerBox, InputSize};
use crate::data::RgbImage;

const INK: Rgb888 = Rgb888::new(40, 44, 52);
const FRAME: Rgb888 = Rgb888::new(200, 204, 210);
const EMPTY: Rgb888 = Rgb888::new(246, 247, 249);
const DEEP: Rgb888 = Rgb888::new(20, 90, 180);
/// Side of a panel, and the space around it, in pixels.
const PANEL: i32 = 300;
const MARGIN: i32 = 24;
const TOP: i32 = 44;
/// Cells along each side of the map of places.
const CELLS: usize = 30;
/// Classes with a bar of their own.
const BARS: usize = 18;

/// The content of the picture.
pub struct LabelsSeen<'a> {
    pub class_names: &'a [String],
    /// Class and box, in fractions of the image, of every object.
    pub objects: &'a [(usize, CornerBox)],
    /// The network's input, which sizes are given for.
    pub input_size: InputSize,
}

/// Three panels side by side above a mosaic of photos.
pub fn draw_labels(seen: &LabelsSeen, photos: &RgbImage) -> RgbImage {
    let panels = (3 * PANEL + 4 * MARGIN) as usize;
    let top = (TOP + PANEL + 40) as usize;
    let mut picture = blank(panels.max(photos.width + 2 * MARGIN as usize), top + photos.height + 12, Rgb888::WHITE);
    let mut canvas = Canvas { image: &mut picture };
    let corner = |i: i32| Point::new(MARGIN + i * (PANEL + MARGIN), TOP);
    bars(&mut canvas, corner(0), seen);
    sizes(&mut canvas, corner(1), seen);
    places(&mut canvas, corner(2), seen);
    let left = (canvas.image.width - photos.width) / 2;
    canvas.paste(photos, left, top);
    picture
}

fn heading(canvas: &mut Canvas, corner: Point, text: &str) {
    let text = Lettering::within(text, Type::MEDIUM, PANEL as u32);
    text.write(canvas, Point::new(corner.x, corner.y - 24), INK, Direction::Right);
}

/// A bar for each class, longest first.
fn bars(canvas: &mut Canvas, corner: Point, seen: &LabelsSeen) {
    let mut counts: Vec<(usize, usize)> = (0..seen.class_names.len()).map(|class| (0, class)).collect();
    for (class, _) in seen.objects {
        counts[*class].0 += 1;
    }
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    heading(canvas, corner, &format!("{} boxes of {} classes", seen.objects.len(), seen.class_names.len()));
    let most = counts.first().map_or(1, |c| c.0.max(1));
    let height = (PANEL / counts.len().clamp(1, BARS) as i32).min(40);
    for (row, (count, class)) in counts.into_iter().take(BARS).enumerate() {
        let [r, g, b] = class_color(class);
        let at = Point::new(corner.x, corner.y + row as i32 * height);
        let length = (f64::from(PANEL) * count as f64 / most as f64).round() as u32;
        let bar = Size::new(length.max(1), height as u32 - 2);
        canvas.fill(Rectangle::new(at, bar), blend(Rgb888::WHITE, Rgb888::new(r, g, b), 0.6));
        let text = format!("{} {count}", seen.class_names[class]);
        let text = Lettering::within(&text, Type::SMALL, PANEL as u32 - 8);
        let middle = (height - 2 - text.size().height as i32) / 2;
        text.write(canvas, at + Point::new(4, middle.max(0)), INK, Direction::Right);
    }
}

/// Width and height of each box on the network's input, as points.
fn sizes(canvas: &mut Canvas, corner: Point, seen: &LabelsSeen) {
    heading(canvas, corner, &format!("width and height at {} px", seen.input_size));
    frame(canvas, corner);
    // The axes are square roots, so that small boxes, which matter most, have room.
    let place = |fraction: f64| (fraction.clamp(0.0, 1.0).sqrt() * f64::from(PANEL)) as i32;
    for part in [8.0, 32.0, 96.0] {
        let (across, up) = (place(part / seen.input_size.width as f64), place(part / seen.input_size.height as f64));
        if across.max(up) < PANEL {
            let (x, y) = (corner.x + across, corner.y + PANEL - up);
            canvas.line(Point::new(x, corner.y), Point::new(x, corner.y + PANEL), FRAME, 1);
            canvas.line(Point::new(corner.x, y), Point::new(corner.x + PANEL, y), FRAME, 1);
            let text = Lettering::new(&format!("{part}"), Type::SMALL);
            text.write(canvas, Point::new(x + 2, corner.y + PANEL + 3), INK, Direction::Right);
        }
    }
    for (class, bbox) in seen.objects {
        let [r, g, b] = class_color(*class);
        let at = Point::new(corner.x + place(bbox.width()), corner.y + PANEL - place(bbox.height()));
        canvas.fill(Rectangle::new(at - Point::new(1, 1), Size::new_equal(3)), Rgb888::new(r, g, b));
    }
}

/// How many boxes have their centre in each part of the image.
fn places(canvas: &mut Canvas, corner: Point, seen: &LabelsSeen) {
    heading(canvas, corner, "where centres of boxes lie");
    let mut counts = vec![0usize; CELLS * CELLS];
    for (_, b) in seen.objects {
        let cell = |a: f64, b: f64| (((a + b) / 2.0 * CELLS as f64) as usize).min(CELLS - 1);
        counts[cell(b.y0, b.y1) * CELLS + cell(b.x0, b.x1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let side = PANEL / CELLS as i32;
    for (i, count) in counts.into_iter().enumerate() {
        let at = corner + Point::new((i % CELLS) as i32 * side, (i / CELLS) as i32 * side);
        let color = blend(EMPTY, DEEP, (count as f64 / most as f64).sqrt());
        canvas.fill(Rectangle::new(at, Size::new_equal(side as u32)), color);
    }
    frame(canvas, corner);
}

fn frame(canvas: &mut Canvas, corner: Point) {
    let end = corner + Point::new(PANEL, PANEL);
    for (a, b) in [
        (corner, Point::new(end.x, corner.y)),
        (Point::new(end.x, corner.y), end),
        (end, Point::new(corner.x, end.y)),
        (Point::new(corner.x, end.y), corner),
    ] {
        canvas.line(a, b, FRAME, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panels_show_where_boxes_are_and_how_many() {
        let names: Vec<String> = (0..40).map(|i| format!("class {i}")).collect();
        let objects: Vec<(usize, CornerBox)> = (0..40).map(|i| (i, CornerBox::new(0.0, 0.0, 0.02, 0.02))).collect();
        let seen = LabelsSeen { class_names: &names, objects: &objects, input_size: InputSize::square(300) };
        let picture = draw_labels(&seen, &blank(50, 20, Rgb888::BLACK));
        let pixel = |x: i32, y: i32| {
            let at = 3 * (y as usize * picture.width + x as usize);
            [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]]
        };
        // All centres lie in the first cell of the map; its colour is the deepest, and the next cell is empty.
        let map = MARGIN + 2 * (PANEL + MARGIN);
        assert_eq!(pixel(map + 5, TOP + 5), [DEEP.r(), DEEP.g(), DEEP.b()]);
        assert_eq!(pixel(map + 25, TOP + 25), [EMPTY.r(), EMPTY.g(), EMPTY.b()]);
        let nothing = LabelsSeen { class_names: &[], objects: &[], input_size: InputSize::square(300) };
        assert!(draw_labels(&nothing, &blank(1, 1, Rgb888::BLACK)).width > 900);
    }
}
