//! The number of objects of each class, in all and per split.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::annotation::FilePlace;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::paths::folded;
use super::super::sample::Object;
use super::super::source::DataSet;
use super::super::split::{Roles, SplitList};

/// Fewer objects of a class than this in a whole set are more likely a slip than a class.
const RARE: usize = 5;

/// The objects of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassCount {
    pub name: String,
    /// Boxes as labelled.
    pub boxes: usize,
    /// Boxes that remain after cleaning, in images that can be read.
    pub usable: usize,
    /// Images with a usable box.
    pub images: usize,
    /// Usable boxes per split.
    pub splits: BTreeMap<String, usize>,
}

/// Nothing counted yet.
pub(super) fn empty(dataset: &DataSet, splits: &[SplitList]) -> Vec<ClassCount> {
    let empty: BTreeMap<String, usize> = splits.iter().map(|s| (s.name.clone(), 0)).collect();
    let class = |name: &String| ClassCount { name: name.clone(), splits: empty.clone(), ..ClassCount::default() };
    dataset.classes.iter().map(class).collect()
}

/// Counts the usable objects of one photo that is in these splits.
pub(super) fn add(classes: &mut [ClassCount], objects: &[Object], splits: &[&SplitList]) {
    let mut seen = BTreeSet::new();
    for object in objects {
        let class = &mut classes[object.class];
        class.usable += 1;
        class.images += usize::from(seen.insert(object.class));
        for split in splits {
            *class.splits.entry(split.name.clone()).or_default() += 1;
        }
    }
}

pub(super) fn findings(classes: &[ClassCount], splits: &[SplitList]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let whole_set = || FilePlace::file("");
    if classes.iter().all(|c| c.usable == 0) {
        findings.push(Finding::new(
            FindingKind::NoObjects,
            whole_set(),
            FindingAction::Kept,
            "not one usable box in the whole set",
        ));
        return findings;
    }
    let roles = Roles::of(splits.iter().map(|s| s.name.as_str()));
    // Names that label nothing at all are said once, by the list of classes.
    for class in classes.iter().filter(|c| c.boxes > 0) {
        for (split, count) in &class.splits {
            if *count == 0 {
                let trained = roles.as_ref().is_some_and(|r| r.train == *split);
                let severity = if trained { Severity::Error } else { Severity::Warning };
                let detail = format!("class {:?} has no usable box in split {split:?}", class.name);
                let finding = Finding::new(FindingKind::ClassWithoutExamples, whole_set(), FindingAction::Kept, detail);
                findings.push(finding.with_severity(severity));
            }
        }
        if (1..RARE).contains(&class.usable) {
            let detail = format!("class {:?} has {} boxes in the whole set", class.name, class.usable);
            findings.push(Finding::new(FindingKind::RareClass, whole_set(), FindingAction::Kept, detail));
        }
    }
    // Composition of letters and marks without width are not to be seen either.
    let seen = |c: char| !matches!(c, ' ' | '-' | '_' | '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}');
    let plain = |name: &str| folded(name).chars().filter(|c| seen(*c)).collect::<String>();
    let mut first: HashMap<String, &str> = HashMap::new();
    for class in classes {
        if let Some(other) = first.get(&plain(&class.name)) {
            let detail = format!("classes {other:?} and {:?} look like one", class.name);
            findings.push(Finding::new(FindingKind::SimilarClassNames, whole_set(), FindingAction::Kept, detail));
        } else {
            first.insert(plain(&class.name), &class.name);
        }
    }
    findings
}
