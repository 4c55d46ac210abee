//! Byte-identical images, within a split and across.

use super::super::annotation::{Annotation, FilePlace};
use super::super::finding::{Finding, FindingAction, FindingKind};
use super::super::roles::split_name;
use super::super::split::SplitList;

/// Copies that are named; a thousand copies of a black picture need no list.
const NAMED: usize = 5;

/// Findings of the groups of byte-identical images.
pub fn findings(annotations: &[&Annotation], splits: &[SplitList], groups: &[Vec<usize>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in groups.iter().filter(|g| g.len() > 1) {
        let sources: Vec<&str> = group.iter().map(|&i| annotations[i].source.as_str()).collect();
        let names = match sources.len() {
            n if n > NAMED + 1 => format!("{} and {} more", sources[1..=NAMED].join(", "), n - 1 - NAMED),
            _ => sources[1..].join(", "),
        };
        let mut all: Vec<&str> = group.iter().flat_map(|&i| splits_of(splits, i)).collect();
        all.sort_unstable();
        all.dedup();
        let (kind, detail) = match leak(&all) {
            Some((a, b)) => {
                (FindingKind::DuplicateImageAcrossSplits, format!("byte-identical to {names}, one in {a}, one in {b}"))
            }
            None => (FindingKind::DuplicateImage, format!("byte-identical to {names}")),
        };
        findings.push(Finding::new(kind, FilePlace::file(sources[0]), FindingAction::Kept, detail));
    }
    findings
}

/// Names of the splits that hold image `i`.
pub fn splits_of(splits: &[SplitList], i: usize) -> Vec<&str> {
    splits.iter().filter(|s| s.members.binary_search(&i).is_ok()).map(|s| s.name.as_str()).collect()
}

/// Two of these splits that must not share an image: one to learn from, one to judge by. Trainval holds val by design.
pub fn leak<'a>(names: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let with = |role: &str| names.iter().copied().find(|n| split_name(n) == Some(role));
    let pairs = [("train", "val"), ("train", "test"), ("trainval", "test")];
    pairs.into_iter().find_map(|(learn, judge)| Some((with(learn)?, with(judge)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_by_design_is_no_leak() {
        assert_eq!(leak(&["trainval", "val"]), None);
        assert_eq!(leak(&["default", "train"]), None);
        assert_eq!(leak(&["train", "trainval", "valid"]), Some(("train", "valid")));
        assert_eq!(leak(&["test", "trainval"]), Some(("trainval", "test")));
    }
}
