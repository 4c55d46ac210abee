//! The outcome of a check: for programs as JSON, for people as text.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::boxes::InputSize;

use super::super::account::{Account, Fates};
use super::super::finding::{Finding, FindingKind, Severity};
use super::super::findings::Findings;
use super::super::text::shown;
use super::balance::ClassCount;
use super::sentence::groups;
use super::sides::Sides;

/// Findings of one kind shown one by one; the JSON has all that were kept.
const SHOWN_PER_KIND: usize = 20;
/// Classes of the table; the JSON has all.
const SHOWN_CLASSES: usize = 200;
/// Characters of a class name in the table.
const LONGEST_NAME: usize = 60;

/// All that a check found, worst first.
#[derive(Clone, Debug)]
pub struct Report {
    pub findings: Findings,
    /// In class order.
    pub classes: Vec<ClassCount>,
    /// Images with labels.
    pub images: usize,
    /// Split names with the number of their images.
    pub splits: Vec<(String, usize)>,
    pub account: Account,
    /// Every file and what became of it.
    pub fates: Fates,
    pub sides: Sides,
    /// The network's input, where boxes were measured against it.
    pub input_size: Option<InputSize>,
}

impl Report {
    /// The worst severity found, if anything was.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.counts().keys().map(|(_, severity, _)| *severity).max()
    }

    /// Exit code of `fieldtune check`: 1 if there is an error, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.worst() == Some(Severity::Error))
    }

    pub fn count(&self, kind: FindingKind) -> usize {
        self.findings.count(kind)
    }

    /// One sentence for each kind of error, and whether it forbids training.
    pub fn errors(&self) -> Vec<(FindingKind, String, bool)> {
        let errors = groups(&self.findings).into_iter().filter(|g| g.severity == Severity::Error);
        errors
            .map(|g| (g.kind, g.sentence(&self.sides, self.input_size), g.kept.iter().any(|f| f.forbids_training())))
            .collect()
    }

    /// `{"findings": [{"kind", "severity", "file", "detail", "action"}], "counts": [{"kind", "severity", "action",
    /// "count"}], "classes": {name: {"boxes", "usable", "images", "splits": {name: boxes}}}, "account": {..}}`. Of very
    /// many findings, the first of each kind and file are listed; the counts are exact.
    pub fn to_json(&self) -> Value {
        let class = |c: &ClassCount| {
            let splits: Map<String, Value> = c.splits.iter().map(|(s, n)| (s.clone(), json!(n))).collect();
            let count = json!({"boxes": c.boxes, "usable": c.usable, "images": c.images, "splits": splits});
            (c.name.clone(), count)
        };
        let count = |((kind, severity, action), n): (&(FindingKind, Severity, _), &usize)| {
            let action: &super::super::finding::FindingAction = action;
            json!({"kind": kind.name(), "severity": severity.name(), "action": action.name(), "count": n})
        };
        json!({
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "counts": self.findings.counts().iter().map(count).collect::<Vec<_>>(),
            "classes": self.classes.iter().map(class).collect::<Map<String, Value>>(),
            "account": self.account.to_json(),
        })
    }

    /// One sentence for each kind of finding, the class balance as a table, the account, and a closing line.
    pub fn render(&self) -> String {
        let sentences = groups(&self.findings)
            .into_iter()
            .map(|g| g.sentence(&self.sides, self.input_size) + "\n")
            .collect::<String>();
        self.with_ending(sentences)
    }

    /// As [`Report::render`], with the findings one by one.
    pub fn render_table(&self) -> String {
        let mut text = String::new();
        for group in groups(&self.findings) {
            for finding in group.kept.iter().take(SHOWN_PER_KIND) {
                let place = finding.place.to_string();
                let place = if place.is_empty() { "data set".into() } else { place };
                let (severity, kind, action) = (finding.severity.name(), finding.kind.name(), finding.action.name());
                let detail = shown(&finding.detail);
                push(&mut text, format_args!("{severity:<7} {kind}: {place}: {detail} -> {action}\n"));
            }
            let more = group.count - group.kept.len().min(SHOWN_PER_KIND);
            if more > 0 {
                push(&mut text, format_args!("        {}: {more} more, see --json\n", group.kind.name()));
            }
        }
        self.with_ending(text)
    }

    fn with_ending(&self, mut text: String) -> String {
        if !text.is_empty() {
            text.push('\n');
        }
        self.push_classes(&mut text);
        text.push('\n');
        for line in self.account.lines() {
            push(&mut text, format_args!("{}\n", shown(&line)));
        }
        let count = |severity| self.findings.count_of(severity);
        let (errors, warnings, infos) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
        let images = self.images;
        push(&mut text, format_args!("{images} images: {errors} errors, {warnings} warnings, {infos} infos\n"));
        text
    }

    fn push_classes(&self, text: &mut String) {
        let longest = self.classes.iter().map(|c| shown(&c.name).chars().count()).max().unwrap_or(0);
        let longest = longest.clamp("class".len(), LONGEST_NAME);
        push(text, format_args!("{:<longest$} {:>8} {:>8} {:>8}", "class", "boxes", "usable", "images"));
        for (split, images) in &self.splits {
            push(text, format_args!("  {:>10}", format!("{split} ({images})")));
        }
        text.push('\n');
        for c in self.classes.iter().take(SHOWN_CLASSES) {
            let name: String = shown(&c.name).chars().take(LONGEST_NAME).collect();
            push(text, format_args!("{name:<longest$} {:>8} {:>8} {:>8}", c.boxes, c.usable, c.images));
            for (split, images) in &self.splits {
                let width = format!("{split} ({images})").chars().count().max(10);
                push(text, format_args!("  {:>width$}", c.splits.get(split).copied().unwrap_or(0)));
            }
            text.push('\n');
        }
        if self.classes.len() > SHOWN_CLASSES {
            push(text, format_args!("... {} more classes, see --json\n", self.classes.len() - SHOWN_CLASSES));
        }
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::super::annotation::FilePlace;
    use super::super::super::finding::FindingAction;
    use super::*;

    fn report() -> Report {
        let finding = |line| {
            Finding::new(FindingKind::ZeroAreaBox, FilePlace::line("a.xml", line), FindingAction::Dropped, "no area")
        };
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
            account: Account::default(),
            fates: Fates::default(),
            sides: Sides::default(),
            input_size: None,
        }
    }

    #[test]
    fn the_json_has_every_finding_with_five_keys() {
        let value = report().to_json();
        assert_eq!(value["findings"].as_array().map(Vec::len), Some(20));
        assert_eq!(value["counts"][0]["count"], 25);
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
        let sentence =
            "warning zero-area-box: 25 boxes are less than a pixel wide or high; e.g. a.xml:1: no area -> dropped\n";
        assert!(report().render().starts_with(sentence), "{}", report().render());
    }
}
