//! The precision-recall plot: one line for each class, and their mean.
//!
//! Lines are drawn at twice the size and averaged down, which smooths them; text is set afterwards.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

use super::canvas::{Canvas, blank, halved};
use super::lettering::{Direction, Lettering, Type};
use super::palette::{blend, class_color, rgb};
use crate::data::RgbImage;

const WIDTH: usize = 900;
const HEIGHT: usize = 600;
/// The plot's corners in pixels of the finished picture; the legend stands right of it.
const LEFT: i32 = 70;
const TOP: i32 = 46;
const RIGHT: i32 = 630;
const BOTTOM: i32 = 540;
const LEGEND_LINES: usize = 24;

const INK: Rgb888 = Rgb888::new(40, 44, 52);
const GRID: Rgb888 = Rgb888::new(228, 230, 234);

/// The curve of one class.
#[derive(Clone, Debug, PartialEq)]
pub struct PrCurve {
    pub name: String,
    /// (recall, precision) by rising recall, both in `[0, 1]`; empty for a class without objects.
    pub points: Vec<(f64, f64)>,
    /// Its area, for the legend.
    pub ap: Option<f64>,
}

/// A plot of `curves` (in class order, which chooses their colours) under `title`.
///
/// The mean is taken point by point over the curves that have as many points as the longest.
pub fn draw_pr_curves(title: &str, curves: &[PrCurve]) -> RgbImage {
    let mut large = blank(2 * WIDTH, 2 * HEIGHT, Rgb888::WHITE);
    let mut canvas = Canvas { image: &mut large };
    let twice = |p: Point| p * 2;
    for tick in 0..=10 {
        let share = f64::from(tick) / 10.0;
        canvas.line(twice(at(share, 0.0)), twice(at(share, 1.0)), GRID, 2);
        canvas.line(twice(at(0.0, share)), twice(at(1.0, share)), GRID, 2);
    }
    // Many lines are a tangle: with them the mean matters, and the classes fade behind it.
    let (width, fade) = if curves.len() > LEGEND_LINES { (2, 0.5) } else { (4, 0.0) };
    for (class, curve) in curves.iter().enumerate() {
        trace(&mut canvas, &curve.points, blend(line_color(class), Rgb888::WHITE, fade), width);
    }
    let mean = mean_curve(curves);
    if curves.len() > 1 {
        trace(&mut canvas, &mean, INK, 7);
    }
    canvas.line(twice(at(0.0, 0.0)), twice(at(0.0, 1.0)), INK, 3);
    canvas.line(twice(at(0.0, 0.0)), twice(at(1.0, 0.0)), INK, 3);

    let mut picture = halved(&large);
    let mut canvas = Canvas { image: &mut picture };
    axes(&mut canvas, title);
    legend(&mut canvas, curves);
    picture
}

/// The place of (recall, precision).
fn at(recall: f64, precision: f64) -> Point {
    let along =
        |from: i32, to: i32, share: f64| (f64::from(from) + f64::from(to - from) * share.clamp(0.0, 1.0)).round();
    Point::new(along(LEFT, RIGHT, recall) as i32, along(BOTTOM, TOP, precision) as i32)
}

/// Class colours are made for photos; on white they need some depth.
fn line_color(class: usize) -> Rgb888 {
    blend(rgb(class_color(class)), Rgb888::BLACK, 0.15)
}

fn trace(canvas: &mut Canvas, points: &[(f64, f64)], color: Rgb888, width: u32) {
    for pair in points.windows(2) {
        canvas.line(at(pair[0].0, pair[0].1) * 2, at(pair[1].0, pair[1].1) * 2, color, width);
    }
}

fn mean_curve(curves: &[PrCurve]) -> Vec<(f64, f64)> {
    let length = curves.iter().map(|c| c.points.len()).max().unwrap_or(0);
    let full: Vec<&PrCurve> = curves.iter().filter(|c| c.points.len() == length).collect();
    let mean = |i: usize| {
        let sums = full.iter().fold((0.0, 0.0), |s, c| (s.0 + c.points[i].0, s.1 + c.points[i].1));
        (sums.0 / full.len() as f64, sums.1 / full.len() as f64)
    };
    (0..length).map(mean).collect()
}

fn axes(canvas: &mut Canvas, title: &str) {
    let style = Type::SMALL;
    for tick in (0..=10).step_by(2) {
        let share = f64::from(tick) / 10.0;
        let text = Lettering::new(&format!("{share:.1}"), style);
        let size = text.size();
        let (below, beside) = (at(share, 0.0), at(0.0, share));
        text.write(canvas, below + Point::new(-(size.width as i32) / 2, 8), INK, Direction::Right);
        let left = Point::new(-(size.width as i32) - 8, -(size.height as i32) / 2);
        text.write(canvas, beside + left, INK, Direction::Right);
    }
    let middle = at(0.5, 0.5);
    let recall = Lettering::new("recall", Type::MEDIUM);
    recall.write(canvas, Point::new(middle.x - recall.size().width as i32 / 2, BOTTOM + 28), INK, Direction::Right);
    let precision = Lettering::new("precision", Type::MEDIUM);
    precision.write(canvas, Point::new(14, middle.y - precision.size().width as i32 / 2), INK, Direction::Up);
    let title = Lettering::within(title, Type::LARGE, WIDTH as u32 - LEFT as u32 - 20);
    title.write(canvas, Point::new(LEFT, 14), INK, Direction::Right);
}

fn legend(canvas: &mut Canvas, curves: &[PrCurve]) {
    let x = RIGHT + 24;
    let room = (WIDTH as i32 - x - 28) as u32;
    let pitch = 20;
    let mut y = TOP;
    let mut line = |color: Option<Rgb888>, name: &str, figure: Option<f64>| {
        if let Some(color) = color {
            canvas.fill(Rectangle::new(Point::new(x, y + 4), Size::new(16, 4)), color);
        }
        let figure = figure.map_or("   - ".to_string(), |f| format!("{f:.3}"));
        let figure = Lettering::new(&figure, Type::SMALL);
        let gap = figure.size().width + 6;
        let name = Lettering::within(name, Type::SMALL, room.saturating_sub(gap));
        name.write(canvas, Point::new(x + 24, y), INK, Direction::Right);
        figure.write(canvas, Point::new(x + 24 + (room - gap) as i32, y), INK, Direction::Right);
        y += pitch;
    };
    let known: Vec<f64> = curves.iter().filter_map(|c| c.ap).collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    if curves.len() != 1 {
        line(Some(INK), "mean", mean);
    }
    let shown = if curves.len() > LEGEND_LINES { LEGEND_LINES - 1 } else { curves.len() };
    for (class, curve) in curves.iter().take(shown).enumerate() {
        line(Some(line_color(class)), &curve.name, curve.ap);
    }
    if shown < curves.len() {
        let more = Lettering::new(&format!("and {} more", curves.len() - shown), Type::SMALL);
        more.write(canvas, Point::new(x + 24, y), INK, Direction::Right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[(f64, f64)]) -> PrCurve {
        PrCurve { name: name.into(), points: points.to_vec(), ap: Some(0.5) }
    }

    #[test]
    fn the_mean_leaves_empty_curves_out() {
        let curves = [curve("a", &[(0.0, 1.0), (1.0, 0.5)]), curve("b", &[]), curve("c", &[(0.0, 0.0), (1.0, 0.0)])];
        assert_eq!(mean_curve(&curves), [(0.0, 0.5), (1.0, 0.25)]);
        assert_eq!(mean_curve(&[]), []);
    }

    #[test]
    fn any_number_of_curves_has_a_picture() {
        for count in [0, 1, 3, 100] {
            let curves = vec![curve("a rather long name for a class of things", &[(0.0, 2.0), (f64::NAN, 0.0)]); count];
            let picture = draw_pr_curves("title", &curves);
            assert_eq!((picture.width, picture.height), (WIDTH, HEIGHT));
        }
    }
}
