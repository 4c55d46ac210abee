//! The section of curves over steps and epochs, with the watchdog's events on them.

use std::io::{self, Write};

use super::chart::{Chart, ChartLine, ChartMark};
use super::markup::{MarkupText, duration, figure};
use super::nothing;
use super::run_report::{ReportEpoch, RunCurves, WatchdogMark};
use crate::report::axis::short;

/// Events in the list; a run that goes wrong in every window has more to say than anybody reads.
const MOST_EVENTS: usize = 60;

/// Writes the section.
///
/// # Errors
/// If the writer refuses.
pub fn write(curves: &RunCurves, out: &mut dyn Write) -> io::Result<()> {
    if curves.steps.is_empty() && curves.epochs.is_empty() {
        return nothing(out, "No step is done yet.");
    }
    writeln!(out, "<div class=\"charts\">")?;
    for chart in charts(curves) {
        chart.write(out)?;
    }
    writeln!(out, "</div>")?;
    events(&curves.marks, out)?;
    table(&curves.epochs, out)
}

fn charts(curves: &RunCurves) -> Vec<Chart> {
    let marks = marks(&curves.marks);
    let line = |name: &str, points: Vec<(f64, f64)>| ChartLine { name: name.into(), points };
    let steps = |value: &dyn Fn(&super::StepFigures) -> f64| -> Vec<(f64, f64)> {
        curves.steps.iter().map(|s| (s.step as f64, value(s))).collect()
    };
    let epochs = |value: &dyn Fn(&ReportEpoch) -> Option<f64>| -> Vec<(f64, f64)> {
        curves.epochs.iter().filter_map(|e| Some((e.step as f64, value(e)?))).collect()
    };
    let by_epoch = |value: &dyn Fn(&ReportEpoch) -> Option<f64>| -> Vec<(f64, f64)> {
        curves.epochs.iter().filter_map(|e| Some((e.epoch as f64, value(e)?))).collect()
    };
    let last = curves.steps.iter().map(|s| s.step).chain(curves.epochs.iter().map(|e| e.step)).max().unwrap_or(0);
    let x_range = Some([0.0, last.max(1) as f64]);
    let whole = Some([0.0, curves.total_steps.max(last).max(1) as f64]);
    let over_steps = |title: &str, lines: Vec<ChartLine>, x_range: Option<[f64; 2]>| Chart {
        title: title.into(),
        x_name: "step",
        lines,
        marks: marks.clone(),
        x_range,
        ..Chart::default()
    };
    let boxes = |e: &ReportEpoch| Some(e.held_out?[1]);
    let classes = |e: &ReportEpoch| Some(e.held_out?[0]);
    let ap = Chart {
        title: "AP on the validation images".into(),
        x_name: "epoch",
        lines: vec![
            line("AP (IoU 0.5 to 0.95)", by_epoch(&|e| e.ap)),
            line("AP at IoU 0.5", by_epoch(&|e| e.ap50)),
            line("AP at IoU 0.75", by_epoch(&|e| e.ap75)),
        ],
        y_range: Some([0.0, 1.0]),
        x_range: Some([1.0, curves.epochs.last().map_or(2.0, |e| (e.epoch as f64).max(2.0))]),
        ..Chart::default()
    };
    let pace = Chart {
        title: "Training images per second".into(),
        x_name: "epoch",
        lines: vec![line("images per second", by_epoch(&|e| e.images_per_second))],
        ..Chart::default()
    };
    vec![
        ap,
        over_steps(
            "Class loss per matched anchor",
            vec![line("training", steps(&|s| s.class_loss)), line("validation", epochs(&classes))],
            x_range,
        ),
        over_steps(
            "Box loss per matched anchor",
            vec![line("training", steps(&|s| s.box_loss)), line("validation", epochs(&boxes))],
            x_range,
        ),
        over_steps("Learning rate", vec![line("base rate", steps(&|s| s.lr))], whole),
        pace,
    ]
}

/// Events of one step share a mark.
fn marks(marks: &[WatchdogMark]) -> Vec<ChartMark> {
    let mut shown: Vec<ChartMark> = Vec::new();
    for (i, mark) in marks.iter().take(MOST_EVENTS).enumerate() {
        let words = format!("{}. step {}: {}: {}", i + 1, mark.step, mark.kind.words(), mark.words);
        match shown.last_mut().filter(|last| last.x == mark.step as f64) {
            Some(last) => {
                let first = last.number.split('–').next().unwrap_or_default().to_string();
                last.number = format!("{first}–{}", i + 1);
                last.words = format!("{}\n{words}", last.words);
            }
            None => shown.push(ChartMark {
                x: mark.step as f64,
                number: (i + 1).to_string(),
                words,
                target: Some(format!("event-{}", i + 1)),
            }),
        }
    }
    shown
}

fn events(marks: &[WatchdogMark], out: &mut dyn Write) -> io::Result<()> {
    if marks.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h3>Events of the watchdog</h3><ol class=\"events\">")?;
    for (i, mark) in marks.iter().take(MOST_EVENTS).enumerate() {
        let (id, kind, step, words) = (i + 1, mark.kind.words(), mark.step, MarkupText(&mark.words));
        writeln!(out, "<li id=\"event-{id}\"><b>Step {step}, {kind}:</b> {words}</li>")?;
    }
    writeln!(out, "</ol>")?;
    if marks.len() > MOST_EVENTS {
        writeln!(out, "<p>{} more stand in journal.jsonl.</p>", marks.len() - MOST_EVENTS)?;
    }
    Ok(())
}

fn table(epochs: &[ReportEpoch], out: &mut dyn Write) -> io::Result<()> {
    if epochs.is_empty() {
        return Ok(());
    }
    writeln!(out, "<details><summary>All figures by epoch</summary><div class=\"scroll\" tabindex=\"0\"><table>")?;
    writeln!(
        out,
        "<thead><tr><th>epoch<th>step<th>AP<th>AP50<th>AP75<th>class loss<th>box loss<th>validation: class<th>box\
         <th>learning rate<th>images/s<th>time</tr></thead><tbody>"
    )?;
    for e in epochs {
        let cells = [
            e.epoch.to_string(),
            e.step.to_string(),
            figure(e.ap),
            figure(e.ap50),
            figure(e.ap75),
            figure(Some(e.class_loss)),
            figure(Some(e.box_loss)),
            figure(e.held_out.map(|h| h[0])),
            figure(e.held_out.map(|h| h[1])),
            short(e.lr),
            e.images_per_second.map_or("–".into(), |v| format!("{v:.1}")),
            e.seconds.map_or("–".into(), duration),
        ];
        writeln!(out, "<tr>{}</tr>", cells.map(|c| format!("<td>{c}")).concat())?;
    }
    writeln!(out, "</tbody></table></div></details>")
}
