//! Precision, recall and AP of each class as a table of text, for the end of a run.

use crate::eval::{ClassMetrics, Threshold};
use crate::train::Evaluation;
use textwrap::core::display_width;

/// Classes with a line; those with most objects.
const CLASSES: usize = 20;

/// Columns of a class's name.
const NAME: usize = 26;

/// The lines of the table: a heading, all classes together, and each class. Precision and recall are those at the score
/// of best F1, from which on `predict` shows a detection.
pub fn class_table(evaluation: &Evaluation) -> Vec<String> {
    let (metrics, thresholds) = (&evaluation.metrics, evaluation.thresholds());
    let heading = format!(
        "{:NAME$} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6}",
        "class", "objects", "score", "precision", "recall", "AP", "AP50"
    );
    let mut lines = vec![heading];
    let mut classes: Vec<usize> = (0..metrics.classes.len()).collect();
    if classes.len() != 1 {
        let objects = metrics.classes.iter().map(|c| c.objects).sum();
        let all =
            ClassMetrics { name: "all".into(), objects, ap: metrics.ap, ap50: metrics.ap50, ..Default::default() };
        lines.push(row(&all, thresholds.overall));
    }
    if classes.len() > CLASSES {
        classes.sort_by_key(|&class| std::cmp::Reverse(metrics.classes[class].objects));
    }
    let shown = classes.iter().take(CLASSES);
    lines.extend(shown.map(|&c| row(&metrics.classes[c], thresholds.classes.get(c).copied().flatten())));
    if classes.len() > CLASSES {
        lines.push(format!("{} classes with fewer objects stand in report.html", classes.len() - CLASSES));
    }
    lines
}

fn row(class: &ClassMetrics, threshold: Option<Threshold>) -> String {
    let figure = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
    format!(
        "{} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6}",
        padded(&class.name),
        class.objects,
        figure(threshold.map(|t| t.score)),
        figure(threshold.map(|t| t.precision)),
        figure(threshold.map(|t| t.recall)),
        figure(class.ap),
        figure(class.ap50)
    )
}

/// The name in exactly [`NAME`] columns; a letter of Chinese takes two.
fn padded(name: &str) -> String {
    let mut text = name.to_string();
    if display_width(name) > NAME {
        text.clear();
        for c in name.chars() {
            let mut longer = text.clone();
            longer.push(c);
            if display_width(&longer) > NAME - 1 {
                break;
            }
            text = longer;
        }
        text.push('…');
    }
    let width = display_width(&text);
    text + &" ".repeat(NAME.saturating_sub(width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{CocoBox, CocoMetrics, ImageDetections, ImageTruth, ScoredBox, TruthBox};

    #[test]
    fn every_line_fits_and_says_what_was_found() {
        let bbox = CocoBox { x: 0.0, y: 0.0, w: 10.0, h: 10.0 };
        let object = |class| TruthBox { class, bbox, area: 100.0, crowd: false, difficult: false };
        let truth = vec![ImageTruth { objects: vec![object(0)] }, ImageTruth { objects: vec![object(1)] }];
        let found = ScoredBox { class: 0, bbox, score: 0.75 };
        let detections = vec![ImageDetections { detections: vec![found] }, ImageDetections::default()];
        let class = |name: &str, ap: f64| ClassMetrics {
            name: name.into(),
            objects: 1,
            ap: Some(ap),
            ap50: Some(ap),
            ..Default::default()
        };
        let classes = vec![class("浣熊", 1.0), class("a name that is far too long for a table", 0.0)];
        let metrics = CocoMetrics { ap: Some(0.5), ap50: Some(0.5), classes, ..Default::default() };
        let lines = class_table(&Evaluation { metrics, truth, detections });
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|l| display_width(l) == display_width(&lines[0])), "{lines:#?}");
        assert!(display_width(&lines[0]) <= 80);
        let numbers = |line: &str| line.split_whitespace().rev().take(6).map(str::to_string).collect::<Vec<_>>();
        assert_eq!(numbers(&lines[1]), ["0.500", "0.500", "0.500", "1.000", "0.375", "2"]);
        assert_eq!(numbers(&lines[2]), ["1.000", "1.000", "1.000", "1.000", "0.375", "1"]);
        assert_eq!(numbers(&lines[3]), ["0.000", "0.000", "-", "-", "-", "1"]);
        assert!(lines[3].contains("too lo…"), "{}", lines[3]);
    }
}
