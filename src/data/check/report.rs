//! The outcome of a check: for programs as JSON, for people as text.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::finding::{Finding, Kind, Severity};
use super::balance::ClassCount;

/// Findings of one kind shown in the text; the JSON has all.
const SHOWN_PER_KIND: usize = 20;

/// All that a check found, worst first.
#[derive(Clone, Debug)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// In class order.
    pub classes: Vec<ClassCount>,
    /// Images with labels.
    pub images: usize,
    /// Split names with the number of their images.
    pub splits: Vec<(String, usize)>,
}

impl Report {
    /// The worst severity found, if anything was.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }

    /// Exit code of `fieldtune check`: 1 if there is an error, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.worst() == Some(Severity::Error))
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.findings.iter().filter(|f| f.kind == kind).count()
    }

    /// `{"findings": [{"kind", "severity", "file", "detail", "action"}], "classes": {name: {"boxes", "usable", "images",
    /// "splits": {name: boxes}}}}`.
    pub fn to_json(&self) -> Value {
        let class = |c: &ClassCount| {
            let splits: Map<String, Value> = c.splits.iter().map(|(s, n)| (s.clone(), json!(n))).collect();
            let count = json!({"boxes": c.boxes, "usable": c.usable, "images": c.images, "splits": splits});
            (c.name.clone(), count)
        };
        json!({
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "classes": self.classes.iter().map(class).collect::<Map<String, Value>>(),
        })
    }

    /// Findings line by line, the class balance as a table, and a closing line.
    pub fn render_table(&self) -> String {
        let mut text = String::new();
        let mut shown = 0;
        for (i, finding) in self.findings.iter().enumerate() {
            let same_kind = i > 0 && self.findings[i - 1].kind == finding.kind;
            shown = if same_kind { shown + 1 } else { 0 };
            if shown < SHOWN_PER_KIND {
                let place = finding.place.to_string();
                let place = if place.is_empty() { "data set".into() } else { place };
                let (severity, kind, action) = (finding.severity.name(), finding.kind.name(), finding.action.name());
                push(&mut text, format_args!("{severity:<7} {kind}: {place}: {} -> {action}\n", finding.detail));
            }
            let last_of_kind = self.findings.get(i + 1).is_none_or(|next| next.kind != finding.kind);
            if last_of_kind && shown >= SHOWN_PER_KIND {
                let more = shown + 1 - SHOWN_PER_KIND;
                push(&mut text, format_args!("        {}: {more} more, see --json\n", finding.kind.name()));
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        self.push_classes(&mut text);
        let count = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        let (errors, warnings, infos) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
        let images = self.images;
        push(&mut text, format_args!("\n{images} images: {errors} errors, {warnings} warnings, {infos} infos\n"));
        text
    }

    fn push_classes(&self, text: &mut String) {
        let longest = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max("class".len());
        push(text, format_args!("{:<longest$} {:>8} {:>8} {:>8}", "class", "boxes", "usable", "images"));
        for (split, images) in &self.splits {
            push(text, format_args!("  {:>10}", format!("{split} ({images})")));
        }
        text.push('\n');
        for c in &self.classes {
            push(text, format_args!("{:<longest$} {:>8} {:>8} {:>8}", c.name, c.boxes, c.usable, c.images));
            for (split, images) in &self.splits {
                let width = format!("{split} ({images})").chars().count().max(10);
                push(text, format_args!("  {:>width$}", c.splits.get(split).copied().unwrap_or(0)));
            }
            text.push('\n');
        }
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::super::annotation::Place;
    use super::super::super::finding::Action;
    use super::*;

    fn report() -> Report {
        let finding = |line| Finding::new(Kind::ZeroAreaBox, Place::line("a.xml", line), Action::Dropped, "no area");
        Report {
            findings: (1..=25).map(finding).collect(),
            classes: vec![ClassCount {
                name: "cat".into(),
                boxes: 30,
                usable: 5,
                images: 4,
                splits: [("train".to_string(), 5)].into(),
            }],
            images: 7,
            splits: vec![("train".into(), 7)],
        }
    }

    #[test]
    fn the_json_has_every_finding_with_five_keys() {
        let value = report().to_json();
        assert_eq!(value["findings"].as_array().map(Vec::len), Some(25));
        let first = json!({
            "kind": "zero-area-box", "severity": "warning", "file": "a.xml", "detail": "line 1: no area", "action": "dropped",
        });
        assert_eq!(value["findings"][0], first);
        assert_eq!(value["classes"]["cat"], json!({"boxes": 30, "usable": 5, "images": 4, "splits": {"train": 5}}));
    }

    #[test]
    fn the_text_is_short_where_one_kind_is_frequent() {
        let text = report().render_table();
        assert!(text.starts_with("warning zero-area-box: a.xml:1: no area -> dropped\n"), "{text}");
        assert!(text.contains("\n        zero-area-box: 5 more, see --json\n"), "{text}");
        assert!(text.contains("class    boxes   usable   images   train (7)\n"), "{text}");
        assert!(text.ends_with("\n7 images: 0 errors, 25 warnings, 0 infos\n"), "{text}");
        assert_eq!(report().exit_code(), 0);
    }
}
