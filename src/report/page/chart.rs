//! Line charts as SVG. Lines differ in colour and in their dashes, marks have numbers, and every chart has a title and
//! words for those who do not see it.

use std::io::{self, Write};

use super::markup::MarkupText;
use crate::report::axis::{padded, range, robust, rounded, short, ticks};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 36.0;

/// Rows that the numbers of marks may stand in.
const MARK_ROWS: usize = 2;
/// Width of a mark's number.
const MARK_WIDTH: f64 = 15.0;

/// One line; points that are not finite leave a gap.
#[derive(Clone, Debug, Default)]
pub struct ChartLine {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A numbered vertical line.
#[derive(Clone, Debug)]
pub struct ChartMark {
    pub x: f64,
    /// The text at its head.
    pub number: String,
    pub words: String,
    /// The element that tells more; `None` for none.
    pub target: Option<String>,
}

/// A chart; axes fit the lines.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Plain words, no markup.
    pub title: String,
    pub x_name: &'static str,
    pub lines: Vec<ChartLine>,
    pub marks: Vec<ChartMark>,
    /// The range of y where it is fixed.
    pub y_range: Option<[f64; 2]>,
    /// As `y_range`.
    pub x_range: Option<[f64; 2]>,
}

/// From values to the places on the picture.
struct ChartScale {
    x: [f64; 2],
    y: [f64; 2],
}

impl ChartScale {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = ((value - self.y[0]) / (self.y[1] - self.y[0])).clamp(-0.02, 1.02);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart {
    /// Writes a `figure` with the picture and the legend; nothing where there is no point.
    ///
    /// # Errors
    /// If the writer refuses.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let points = || self.lines.iter().flat_map(|l| &l.points).filter(|p| p.0.is_finite() && p.1.is_finite());
        if points().next().is_none() {
            return Ok(());
        }
        let x = self.x_range.unwrap_or_else(|| padded(range(points().map(|p| p.0))));
        let y = self.y_range.unwrap_or_else(|| rounded(robust(points().map(|p| p.1).collect())));
        let scale = ChartScale { x, y };
        writeln!(out, "<figure class=\"chart\"><figcaption>{}</figcaption>", MarkupText(&self.title))?;
        writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            MarkupText(&self.words())
        )?;
        self.axes(out, &scale)?;
        self.marks(out, &scale)?;
        for (i, line) in self.lines.iter().enumerate() {
            trace(out, &line.points, &scale, i)?;
        }
        writeln!(out, "</svg><ul class=\"legend\">")?;
        for (i, line) in self.lines.iter().enumerate() {
            let sample =
                format!("<svg viewBox=\"0 0 28 8\" class=\"sample\"><path class=\"l{}\" d=\"M1 4H27\"/></svg>", i % 6);
            writeln!(out, "<li>{sample}{}</li>", MarkupText(&line.name))?;
        }
        writeln!(out, "</ul></figure>")
    }

    /// The chart in words: where each line begins and ends.
    fn words(&self) -> String {
        let of_line = |line: &ChartLine| {
            let [first, .., last] = &line.points[..] else { return line.name.clone() };
            let at = |p: &(f64, f64)| format!("{} at {}", short(p.1), short(p.0));
            format!("{} from {} to {}", line.name, at(first), at(last))
        };
        format!("{}: {}", self.title, self.lines.iter().map(of_line).collect::<Vec<_>>().join("; "))
    }

    fn axes(&self, out: &mut dyn Write, scale: &ChartScale) -> io::Result<()> {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        write!(out, "<g class=\"axes\">")?;
        for value in ticks(scale.y, 5) {
            let y = scale.y(value);
            write!(out, "<path d=\"M{LEFT} {y:.1}H{right}\"/>")?;
            write!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, y + 4.0, short(value))?;
        }
        // Steps and epochs are counted; a score is not.
        let counted = scale.x[1] - scale.x[0] >= 1.0 && self.x_name != "score";
        for value in ticks(scale.x, 6).into_iter().filter(|v| !counted || v.fract() == 0.0) {
            let x = scale.x(value);
            write!(out, "<path class=\"tick\" d=\"M{x:.1} {bottom}v4\"/>")?;
            let anchor = if x > right - 16.0 { "end" } else { "middle" };
            let place = format!("x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\"", bottom + 16.0);
            write!(out, "<text {place}>{}</text>", short(value))?;
        }
        let middle = (LEFT + right) / 2.0;
        write!(out, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>", HEIGHT - 4.0, self.x_name)
    }

    fn marks(&self, out: &mut dyn Write, scale: &ChartScale) -> io::Result<()> {
        let mut ends = [f64::NEG_INFINITY; MARK_ROWS];
        for mark in self.marks.iter().filter(|m| m.x >= scale.x[0] && m.x <= scale.x[1]) {
            let x = scale.x(mark.x);
            let (open, close) = match &mark.target {
                Some(target) => (format!("<a href=\"#{}\">", MarkupText(target)), "</a>"),
                None => (String::new(), ""),
            };
            write!(out, "{open}<g class=\"mark\"><title>{}</title>", MarkupText(&mark.words))?;
            write!(out, "<path d=\"M{x:.1} {TOP}V{}\"/>", HEIGHT - BOTTOM)?;
            let half = (3.5 * mark.number.chars().count() as f64).max(MARK_WIDTH / 2.0 - 2.0);
            let middle = x.clamp(LEFT + half - 4.0, WIDTH - half - 2.0);
            // A number that finds no room is left to the tooltip and the list.
            if let Some(row) = ends.iter().position(|end| middle - half >= *end) {
                ends[row] = middle + half;
                let y = TOP - 6.0 - 13.0 * row as f64;
                write!(
                    out,
                    "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
                    MarkupText(&mark.number)
                )?;
            }
            write!(out, "</g>{close}")?;
        }
        Ok(())
    }
}

/// One path, and a dot for a point that stands alone.
fn trace(out: &mut dyn Write, points: &[(f64, f64)], scale: &ChartScale, index: usize) -> io::Result<()> {
    write!(out, "<path class=\"l{}\" d=\"", index % 6)?;
    let (mut pen_up, mut dots) = (true, Vec::new());
    for (i, &(x, y)) in points.iter().enumerate() {
        if !(x.is_finite() && y.is_finite()) {
            pen_up = true;
            continue;
        }
        let command = if pen_up { 'M' } else { 'L' };
        write!(out, "{command}{:.1} {:.1}", scale.x(x), scale.y(y))?;
        if pen_up && points.get(i + 1).is_none_or(|next| !next.1.is_finite()) {
            dots.push((scale.x(x), scale.y(y)));
        }
        pen_up = false;
    }
    writeln!(out, "\"/>")?;
    for (x, y) in dots {
        writeln!(out, "<circle class=\"d{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>", index % 6)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_says_in_words_what_it_draws() {
        let line = ChartLine { name: "loss <1>".into(), points: vec![(0.0, 4.0), (5.0, f64::NAN), (10.0, 1.0)] };
        let mark = ChartMark { x: 5.0, number: "1".into(), words: "a \"cure\"".into(), target: Some("event-1".into()) };
        let chart = Chart { title: "losses".into(), lines: vec![line], marks: vec![mark], ..Chart::default() };
        let mut text = Vec::new();
        chart.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("aria-label=\"losses: loss &lt;1&gt; from 4 at 0 to 1 at 10\""), "{text}");
        assert!(text.contains("href=\"#event-1\"") && text.contains("a &quot;cure&quot;"), "{text}");
        // The point that is NaN leaves a gap: two moves.
        let path = text.split("class=\"l0\" d=\"").nth(1).unwrap();
        assert_eq!(path[..path.find('"').unwrap()].matches('M').count(), 2, "{path}");
        let mut nothing = Vec::new();
        Chart::default().write(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
}
