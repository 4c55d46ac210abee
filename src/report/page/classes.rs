//! The sections by class and by score: AP of every class with its way there, precision, recall and F1 over the score.

use std::io::{self, Write};

use super::chart::{Chart, ChartLine, ChartMark};
use super::markup::{MarkupText, figure};
use super::nothing;
use super::run_report::{BestFigures, ClassFigures, RunReport};

/// Classes that have a line each in the chart; more are a tangle.
const MOST_LINES: usize = 6;
/// Classes in the table; a list of ten thousand would be the whole page.
const MOST_ROWS: usize = 200;

/// Writes the section of classes.
///
/// # Errors
/// If the writer refuses.
pub fn write(report: &RunReport, out: &mut dyn Write) -> io::Result<()> {
    if report.classes.is_empty() {
        return nothing(out, "There are no classes.");
    }
    let epochs = &report.curves.epochs;
    let way = |class: usize| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|e| Some((e.epoch as f64, (*e.class_ap.get(class)?)?))).collect()
    };
    if report.classes.len() <= MOST_LINES {
        let lines = report.classes.iter().enumerate();
        let lines = lines.map(|(i, c)| ChartLine { name: c.name.clone(), points: way(i) }).collect();
        let x_range = Some([1.0, epochs.last().map_or(2.0, |e| (e.epoch as f64).max(2.0))]);
        let chart = Chart {
            title: "AP by class".into(),
            x_name: "epoch",
            lines,
            y_range: Some([0.0, 1.0]),
            x_range,
            ..Chart::default()
        };
        writeln!(out, "<div class=\"charts\">")?;
        chart.write(out)?;
        writeln!(out, "</div>")?;
    }
    let mut order: Vec<usize> = (0..report.classes.len()).collect();
    // Worst first: that is where something can be done. Classes without a figure last.
    let ap = |c: &ClassFigures| c.ap.unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| ap(&report.classes[*a]).total_cmp(&ap(&report.classes[*b])).then(a.cmp(b)));
    writeln!(out, "<div class=\"scroll tall\" tabindex=\"0\"><table class=\"classes\"><thead><tr>")?;
    writeln!(out, "<th>class<th>AP<th class=\"wide\">0 to 1<th>over the epochs<th>AP50<th>best score")?;
    writeln!(out, "<th>objects, training<th>validation</tr></thead><tbody>")?;
    for &i in order.iter().take(MOST_ROWS) {
        let c = &report.classes[i];
        write!(out, "<tr><th scope=\"row\">{}</th><td>{}<td>", MarkupText(&c.name), figure(c.ap))?;
        let width = c.ap.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
        write!(out, "<span class=\"bar\"><span style=\"width:{width:.1}%\"></span></span><td>")?;
        spark(&way(i), epochs.len(), out)?;
        let threshold = c.threshold.map_or("–".into(), |t| format!("{t:.2}"));
        let validation = c.validation.map_or("–".into(), |n| n.to_string());
        writeln!(out, "<td>{}<td>{threshold}<td>{}<td>{validation}</tr>", figure(c.ap50), c.training)?;
    }
    writeln!(out, "</tbody></table></div>")?;
    if report.classes.len() > MOST_ROWS {
        let n = report.classes.len() - MOST_ROWS;
        writeln!(out, "<p>The {n} classes with the highest AP are left out.</p>")?;
    }
    Ok(())
}

/// A line without axes, 0 to 1 high.
fn spark(points: &[(f64, f64)], epochs: usize, out: &mut dyn Write) -> io::Result<()> {
    if points.len() < 2 {
        return write!(out, "–");
    }
    let place = |&(epoch, ap): &(f64, f64)| {
        let x = 1.0 + 88.0 * (epoch - 1.0) / (epochs.max(2) - 1) as f64;
        format!("{x:.1} {:.1}", 19.0 - 18.0 * ap.clamp(0.0, 1.0))
    };
    let path: Vec<String> = points.iter().map(place).collect();
    write!(
        out,
        "<svg class=\"spark\" viewBox=\"0 0 90 20\" aria-hidden=\"true\"><path d=\"M{}\"/></svg>",
        path.join("L")
    )
}

/// Writes the section of scores.
///
/// # Errors
/// If the writer refuses.
pub fn scores(judged: Option<&BestFigures>, out: &mut dyn Write) -> io::Result<()> {
    let Some(judged) = judged else { return nothing(out, "No epoch has been validated yet.") };
    let Some(best) = &judged.threshold else {
        return nothing(out, "No detection is right at any score, so there is no threshold to recommend.");
    };
    writeln!(
        out,
        "<p>Recommended threshold: <b>{:.2}</b>. Of the detections above it {:.0} % are right, and they find {:.0} % of the \
         objects (F1 {:.2}, all classes together, IoU 0.5).</p>",
        best.score,
        100.0 * best.precision,
        100.0 * best.recall,
        best.f1()
    )?;
    let line = |name: &str, value: &dyn Fn(&crate::eval::ScorePoint) -> Option<f64>| ChartLine {
        name: name.into(),
        points: judged.scores.iter().filter_map(|p| Some((p.score, value(p)?))).collect(),
    };
    let chart = Chart {
        title: "Precision, recall and F1 over the score".into(),
        x_name: "score",
        lines: vec![
            line("precision: share of detections that are right", &|p| p.precision),
            line("recall: share of objects that are found", &|p| p.recall),
            line("F1: both in one figure", &|p| p.f1()),
        ],
        marks: vec![ChartMark {
            x: best.score,
            number: format!("{:.2}", best.score),
            words: format!("recommended threshold {:.2}", best.score),
            target: None,
        }],
        y_range: Some([0.0, 1.0]),
        x_range: Some([0.0, 1.0]),
    };
    writeln!(out, "<div class=\"charts\">")?;
    chart.write(out)?;
    writeln!(out, "</div>")
}
