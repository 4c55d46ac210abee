//! Prometheus metrics of a run, in the text format that both Prometheus and node_exporter's textfile collector read
//! (the latter takes no OpenMetrics, which crates for metrics write).

use super::run_status::{RunState, RunStatus};
use crate::board::{Sensors, process_memory};
use std::fmt::Write;
use std::path::Path;

/// The content type of the text.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kinds of Prometheus.
#[derive(Clone, Copy)]
enum MetricKind {
    Gauge,
    Counter,
}

/// Figures of a run and of the board that it runs on; those that are not known are left out.
pub fn metrics(status: &RunStatus, root: &Path) -> String {
    let mut text = String::new();
    let run = label(&status.run);
    let version = label(env!("CARGO_PKG_VERSION"));
    let info = format!("{{run=\"{run}\",version=\"{version}\"}}");
    add(&mut text, "run_info", MetricKind::Gauge, "The run that the other figures are of.", [(info.as_str(), 1.0)]);
    let states: Vec<(String, f64)> = RunState::ALL
        .iter()
        .map(|s| (format!("{{state=\"{}\"}}", s.name()), f64::from(u8::from(*s == status.state))))
        .collect();
    let states = states.iter().map(|(labels, value)| (labels.as_str(), *value));
    add(&mut text, "run_state", MetricKind::Gauge, "1 for the state that the run is in.", states);
    let count = |n: u64| Some(n as f64).filter(|_| status.steps > 0);
    let sensors = Sensors::find(root).read();
    let temperature = sensors.hottest.as_ref().map(|(_, celsius)| *celsius);
    let bit = |on: bool| f64::from(u8::from(on));
    let throttled = sensors.throttling.map(|t| bit(t.is_hot()));
    let undervoltage = sensors.throttling.map(|t| bit(t.undervoltage));
    let memory = process_memory(root).map(|bytes| bytes as f64);
    use MetricKind::{Counter, Gauge};
    for (name, kind, help, value) in [
        ("steps_total", Counter, "Optimizer steps done.", count(status.step)),
        ("steps_planned", Gauge, "Optimizer steps of the whole run.", count(status.steps)),
        ("epoch", Gauge, "Epoch under way, counted from 1.", count(status.epoch)),
        ("epochs_planned", Gauge, "Epochs of the whole run.", Some(status.epochs as f64).filter(|n| *n > 0.0)),
        ("class_loss", Gauge, "Class loss of the last step.", status.class_loss),
        ("box_loss", Gauge, "Box loss of the last step.", status.box_loss),
        ("learning_rate", Gauge, "Base learning rate of the last step.", status.learning_rate),
        ("images_per_second", Gauge, "Images trained on per second.", status.images_per_second),
        ("average_precision_ratio", Gauge, "Validation AP (COCO) of the last epoch.", status.ap),
        ("best_average_precision_ratio", Gauge, "Best validation AP (COCO) so far.", status.best_ap),
        ("saved_steps", Gauge, "Steps done by the last checkpoint.", status.saved_step.map(|n| n as f64)),
        ("temperature_celsius", Gauge, "Hottest sensor of the processor.", temperature),
        ("heat_throttled", Gauge, "1 while the firmware slows the processor down for its heat.", throttled),
        ("undervoltage", Gauge, "1 while the power supply is too weak.", undervoltage),
        ("resident_memory_bytes", Gauge, "Memory of this process.", memory),
        ("last_change_timestamp_seconds", Gauge, "Time of the last news.", Some(status.changed as f64)),
    ] {
        let value = value.filter(|v| v.is_finite());
        add(&mut text, name, kind, help, value.map(|v| ("", v)));
    }
    text
}

/// Adds a family, if it has a value.
fn add<'a>(
    text: &mut String,
    name: &str,
    kind: MetricKind,
    help: &str,
    values: impl IntoIterator<Item = (&'a str, f64)>,
) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    let kind = match kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Counter => "counter",
    };
    let _ = writeln!(text, "# HELP fieldtune_{name} {help}\n# TYPE fieldtune_{name} {kind}");
    for (labels, value) in values {
        let _ = writeln!(text, "fieldtune_{name}{labels} {value}");
    }
}

/// A label's value: backslash, quote and line end are escaped; other control characters have no place in it.
fn label(value: &str) -> String {
    let mut all = String::new();
    for c in value.chars() {
        match c {
            '\\' => all.push_str("\\\\"),
            '"' => all.push_str("\\\""),
            '\n' => all.push_str("\\n"),
            c if c.is_control() => all.push('\u{fffd}'),
            c => all.push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_text_of_the_format_stay_inside_their_label() {
        let run = "a\"} 1\nfieldtune_evil{x=\"\\\x1b[2J".to_string();
        let text = metrics(&RunStatus { run, ..RunStatus::default() }, Path::new("/nowhere"));
        let line = text.lines().find(|l| l.starts_with("fieldtune_run_info")).expect("it is there");
        assert!(line.contains(r#"run="a\"} 1\nfieldtune_evil{x=\"\\"#) && line.ends_with("} 1"), "{line}");
        assert!(!text.lines().any(|l| l.starts_with("fieldtune_evil")) && !text.contains('\x1b'));
    }

    #[test]
    fn what_is_not_known_is_left_out_and_one_state_is_on() {
        let status = RunStatus { state: RunState::Paused, best_ap: Some(0.5), ..RunStatus::default() };
        let text = metrics(&status, Path::new("/nowhere"));
        assert!(text.contains("\nfieldtune_best_average_precision_ratio 0.5\n"), "{text}");
        assert!(!text.contains("class_loss") && !text.contains("NaN"), "{text}");
        let on: Vec<&str> =
            text.lines().filter(|l| l.starts_with("fieldtune_run_state") && l.ends_with(" 1")).collect();
        assert_eq!(on, ["fieldtune_run_state{state=\"paused\"} 1"]);
    }
}
