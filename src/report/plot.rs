//! Line plots as a picture: panels side by side, each with its legend.
//!
//! Lines are drawn at twice the size and averaged down, which smooths them; text is set afterwards.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

use super::axis::{padded, range, robust, rounded, short, ticks};
use super::canvas::{Canvas, blank, halved};
use super::lettering::{Direction, Lettering, Type};
use super::palette::blend;
use crate::data::RgbImage;

/// Pixels of a panel.
const WIDTH: i32 = 480;
const HEIGHT: i32 = 348;
/// The plot's place in its panel.
const LEFT: i32 = 58;
const TOP: i32 = 34;
const RIGHT: i32 = 464;
const BOTTOM: i32 = 262;
/// Lines with an entry of the legend, which stands below the plot.
const LEGEND: usize = 6;

const INK: Rgb888 = Rgb888::new(40, 44, 52);
const GRID: Rgb888 = Rgb888::new(228, 230, 234);
const MARK: Rgb888 = Rgb888::new(138, 28, 74);
/// Colours that differ for all kinds of sight.
const COLORS: [Rgb888; 6] = [
    Rgb888::new(11, 92, 173),
    Rgb888::new(213, 94, 0),
    Rgb888::new(0, 140, 106),
    Rgb888::new(190, 70, 150),
    Rgb888::new(150, 125, 0),
    Rgb888::new(110, 118, 128),
];

/// One plot.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    pub title: String,
    pub x_name: &'static str,
    /// Name and points of each line; points that are not finite leave a gap.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
    /// Places of vertical lines.
    pub marks: Vec<f64>,
    /// Fixed ranges; where there is none, the axis fits the lines.
    pub x_range: Option<[f64; 2]>,
    pub y_range: Option<[f64; 2]>,
}

/// A picture of `panels`, row by row in `columns`; one without points says so.
///
/// # Panics
/// If `columns` is zero.
pub fn draw_panels(panels: &[Panel], columns: usize) -> RgbImage {
    let columns = columns.min(panels.len().max(1));
    let rows = panels.len().div_ceil(columns).max(1);
    let mut picture = blank(columns * WIDTH as usize, rows * HEIGHT as usize, Rgb888::WHITE);
    for (i, panel) in panels.iter().enumerate() {
        let small = draw_panel(panel);
        let (left, top) = (i % columns * WIDTH as usize, i / columns * HEIGHT as usize);
        Canvas { image: &mut picture }.paste(&small, left, top);
    }
    picture
}

struct Axes {
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn at(&self, (x, y): (f64, f64)) -> Point {
        let along = |from: i32, to: i32, [low, high]: [f64; 2], value: f64| {
            let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
            (f64::from(from) + f64::from(to - from) * share).round() as i32
        };
        Point::new(along(2 * LEFT, 2 * RIGHT, self.x, x), along(2 * BOTTOM, 2 * TOP, self.y, y))
    }
}

fn draw_panel(panel: &Panel) -> RgbImage {
    let points = || panel.lines.iter().flat_map(|l| &l.1).filter(|p| p.0.is_finite() && p.1.is_finite());
    let mut large = blank(2 * WIDTH as usize, 2 * HEIGHT as usize, Rgb888::WHITE);
    if points().next().is_none() {
        let mut picture = halved(&large);
        let mut canvas = Canvas { image: &mut picture };
        write(&mut canvas, &panel.title, Type::MEDIUM, Point::new(LEFT, 12));
        write(&mut canvas, "nothing to draw", Type::SMALL, Point::new(LEFT, 40));
        return picture;
    }
    let x = panel.x_range.unwrap_or_else(|| padded(range(points().map(|p| p.0))));
    let y = panel.y_range.unwrap_or_else(|| rounded(robust(points().map(|p| p.1).collect())));
    let axes = Axes { x, y };
    let mut canvas = Canvas { image: &mut large };
    for tick in ticks(y, 5) {
        canvas.line(axes.at((x[0], tick)), axes.at((x[1], tick)), GRID, 2);
    }
    for &mark in panel.marks.iter().filter(|m| **m >= x[0] && **m <= x[1]) {
        canvas.line(axes.at((mark, y[0])), axes.at((mark, y[1])), MARK, 2);
    }
    for (i, (_, points)) in panel.lines.iter().enumerate() {
        for pair in points.windows(2).filter(|p| p.iter().all(|p| p.0.is_finite() && p.1.is_finite())) {
            canvas.line(axes.at(pair[0]), axes.at(pair[1]), color(i, panel.lines.len()), 4);
        }
        if let [one] = &points[..] {
            canvas.fill(
                Rectangle::new(axes.at(*one) - Point::new(4, 4), Size::new_equal(8)),
                color(i, panel.lines.len()),
            );
        }
    }
    canvas.line(axes.at((x[0], y[0])), axes.at((x[1], y[0])), INK, 3);
    canvas.line(axes.at((x[0], y[0])), axes.at((x[0], y[1])), INK, 3);
    let mut picture = halved(&large);
    let mut canvas = Canvas { image: &mut picture };
    words(&mut canvas, panel, &axes);
    picture
}

/// With many lines all but the first fade.
fn color(line: usize, lines: usize) -> Rgb888 {
    let color = COLORS[line % COLORS.len()];
    if lines > LEGEND && line > 0 { blend(color, Rgb888::WHITE, 0.55) } else { color }
}

fn write(canvas: &mut Canvas, text: &str, style: Type, at: Point) {
    let room = (WIDTH - at.x - 6).max(0) as u32;
    Lettering::within(text, style, room).write(canvas, at, INK, Direction::Right);
}

fn words(canvas: &mut Canvas, panel: &Panel, axes: &Axes) {
    write(canvas, &panel.title, Type::MEDIUM, Point::new(LEFT, 12));
    for tick in ticks(axes.y, 5) {
        let text = Lettering::new(&short(tick), Type::SMALL);
        let y = axes.at((axes.x[0], tick)).y / 2 - text.size().height as i32 / 2;
        text.write(canvas, Point::new(LEFT - 6 - text.size().width as i32, y), INK, Direction::Right);
    }
    for tick in ticks(axes.x, 6) {
        let text = Lettering::new(&short(tick), Type::SMALL);
        let x = axes.at((tick, axes.y[0])).x / 2 - text.size().width as i32 / 2;
        text.write(canvas, Point::new(x.min(WIDTH - text.size().width as i32 - 2), BOTTOM + 5), INK, Direction::Right);
    }
    write(canvas, panel.x_name, Type::SMALL, Point::new((LEFT + RIGHT) / 2, BOTTOM + 18));
    let column = (WIDTH - LEFT) / 2;
    for (i, (name, _)) in panel.lines.iter().take(LEGEND).enumerate() {
        let more = panel.lines.len() - LEGEND.min(panel.lines.len());
        let name = if i + 1 == LEGEND && more > 0 { format!("{name}, and {more} more") } else { name.clone() };
        let at = Point::new(LEFT + i as i32 % 2 * column, BOTTOM + 34 + i as i32 / 2 * 16);
        canvas.fill(Rectangle::new(at + Point::new(0, 3), Size::new(14, 4)), color(i, panel.lines.len()));
        let text = Lettering::within(&name, Type::SMALL, column as u32 - 26);
        text.write(canvas, at + Point::new(20, 0), INK, Direction::Right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_lies_where_its_points_are() {
        let line = ("a".to_string(), vec![(0.0, 0.5), (10.0, 0.5)]);
        let panel = Panel { title: "t".into(), lines: vec![line], y_range: Some([0.0, 1.0]), ..Panel::default() };
        let picture = draw_panels(&[panel.clone(), Panel::default(), panel], 2);
        assert_eq!((picture.width, picture.height), (2 * WIDTH as usize, 2 * HEIGHT as usize));
        let at = |x: i32, y: i32| {
            let i = 3 * (y as usize * picture.width + x as usize);
            Rgb888::new(picture.pixels[i], picture.pixels[i + 1], picture.pixels[i + 2])
        };
        let (middle, half) = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
        assert_eq!(at(middle, half), COLORS[0]);
        assert_eq!(at(middle, half + HEIGHT), COLORS[0], "the third panel is below the first");
        assert_eq!(at(middle, half - 20), Rgb888::WHITE);
    }

    #[test]
    fn nothing_and_nonsense_have_a_picture() {
        for points in
            [vec![], vec![(f64::NAN, 1.0)], vec![(1.0, 1.0)], vec![(0.0, f64::INFINITY), (1.0, 1e300), (2.0, -1e300)]]
        {
            let panel =
                Panel { lines: vec![("浣熊".into(), points); 9], marks: vec![f64::NAN, 1.0], ..Panel::default() };
            assert_eq!(draw_panels(&[panel], 3).width, WIDTH as usize);
        }
        assert!(draw_panels(&[], 3).width > 0);
    }
}
