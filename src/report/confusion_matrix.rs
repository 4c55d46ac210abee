//! The confusion matrix as a picture: rows are what is there, columns what was found.
//!
//! A cell's depth is its share of the row: blue on the diagonal, where that is right, orange elsewhere. Counts are
//! written where cells have room.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

use super::canvas::{Canvas, blank};
use super::lettering::{Direction, Lettering, Type};
use super::palette::{blend, text_on};
use crate::data::RgbImage;

const INK: Rgb888 = Rgb888::new(40, 44, 52);
const EMPTY: Rgb888 = Rgb888::new(246, 247, 249);
const RIGHT: Rgb888 = Rgb888::new(20, 90, 180);
const WRONG: Rgb888 = Rgb888::new(220, 95, 10);
/// Pixels that a class name may take.
const NAME_ROOM: u32 = 150;
const TOP: i32 = 50;

/// A picture of `counts` `[C + 1, C + 1]` row-major, a row for each true class of `names` `[C]` and the last for the
/// background: objects that were missed stand in the last column, detections of nothing in the last row.
///
/// # Panics
/// If there are not (C + 1)² counts.
pub fn draw_confusion_matrix(title: &str, names: &[String], counts: &[usize]) -> RgbImage {
    let side = names.len() + 1;
    assert_eq!(counts.len(), side * side, "counts of {} classes and the background", names.len());
    let latin = names.iter().all(|name| name.chars().all(|c| c <= '\u{ff}'));
    // Other scripts are set in a font of 16 pixels.
    let cell = (640 / side).clamp(if latin { 12 } else { 17 }, 96) as i32;
    let style = if cell >= 28 { Type::MEDIUM } else { Type::SMALL };
    let label = |i: usize, edge: &str| names.get(i).map_or(edge.to_string(), Clone::clone);
    let rows: Vec<Lettering> = (0..side).map(|i| Lettering::within(&label(i, "(nothing)"), style, NAME_ROOM)).collect();
    let columns: Vec<Lettering> =
        (0..side).map(|i| Lettering::within(&label(i, "(missed)"), style, NAME_ROOM)).collect();
    let longest = |names: &[Lettering]| names.iter().map(|n| n.size().width as i32).max().unwrap_or(0);
    let left = 40 + longest(&rows) + 8;
    let bottom = TOP + cell * side as i32;
    let heading = Lettering::new(title, Type::LARGE);
    let width = (left + cell * side as i32 + 24).max(heading.size().width as i32 + 40).max(300);
    let mut picture = blank(width as usize, (bottom + 8 + longest(&columns) + 40) as usize, Rgb888::WHITE);
    let mut canvas = Canvas { image: &mut picture };
    heading.write(&mut canvas, Point::new(20, 14), INK, Direction::Right);

    for row in 0..side {
        let total: usize = counts[row * side..(row + 1) * side].iter().sum();
        for column in 0..side {
            let count = counts[row * side + column];
            let share = if total > 0 { count as f64 / total as f64 } else { 0.0 };
            // The square root lets rare mix-ups show.
            let deep = if row == column { RIGHT } else { WRONG };
            let ground = if count > 0 { blend(EMPTY, deep, 0.08 + 0.92 * share.sqrt()) } else { EMPTY };
            let corner = Point::new(left + column as i32 * cell, TOP + row as i32 * cell);
            canvas.fill(Rectangle::new(corner, Size::new_equal(cell as u32 - 1)), ground);
            write_count(&mut canvas, count, corner, cell, text_on(ground));
        }
        let (name, middle) = (&rows[row], TOP + row as i32 * cell + cell / 2);
        let size = name.size();
        name.write(
            &mut canvas,
            Point::new(left - 8 - size.width as i32, middle - size.height as i32 / 2),
            INK,
            Direction::Right,
        );
        let (name, middle) = (&columns[row], left + row as i32 * cell + cell / 2);
        name.write(&mut canvas, Point::new(middle - name.size().height as i32 / 2, bottom + 8), INK, Direction::Up);
    }
    let found = Lettering::new("found", Type::MEDIUM);
    let x = left + (cell * side as i32 - found.size().width as i32) / 2;
    let y = bottom + 8 + longest(&columns) + 14;
    found.write(&mut canvas, Point::new(x, y), INK, Direction::Right);
    let truth = Lettering::new("labelled", Type::MEDIUM);
    truth.write(&mut canvas, Point::new(12, (TOP + bottom - truth.size().width as i32) / 2), INK, Direction::Up);
    picture
}

/// In the largest type that fits the cell; not at all if none does, or there is nothing to say.
fn write_count(canvas: &mut Canvas, count: usize, corner: Point, cell: i32, color: Rgb888) {
    if count == 0 {
        return;
    }
    for style in [Type::LARGE, Type::MEDIUM, Type::SMALL] {
        let text = Lettering::new(&count.to_string(), style);
        let (width, height) = (text.size().width as i32, text.size().height as i32);
        if width + 4 <= cell && 2 * height <= cell.max(20) {
            let offset = Point::new((cell - 1 - width) / 2, (cell - 1 - height) / 2);
            return text.write(canvas, corner + offset, color, Direction::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_classes_has_a_picture() {
        for classes in [0, 1, 3, 90] {
            let names = vec!["a rather long name of a class".to_string(); classes];
            let counts: Vec<usize> = (0..(classes + 1) * (classes + 1)).map(|i| i * i * i).collect();
            let picture = draw_confusion_matrix("Confusion", &names, &counts);
            assert!(picture.width >= 300 && picture.width < 1600);
            assert_eq!(picture.pixels.len(), picture.width * picture.height * 3);
        }
    }
}
