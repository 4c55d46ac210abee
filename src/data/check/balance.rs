//! How many objects of each class there are, in all and per split.

use std::collections::BTreeMap;

use super::super::annotation::Place;
use super::super::finding::{Action, Finding, Kind, Severity};
use super::super::source::DataSet;
use super::super::split::{Roles, SplitList};
use super::Checked;

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

pub(super) fn count(dataset: &DataSet, checked: &[Checked], splits: &[SplitList]) -> Vec<ClassCount> {
    let empty: BTreeMap<String, usize> = splits.iter().map(|s| (s.name.clone(), 0)).collect();
    let class = |name: &String| ClassCount { name: name.clone(), splits: empty.clone(), ..ClassCount::default() };
    let mut classes: Vec<ClassCount> = dataset.classes.iter().map(class).collect();
    for (i, (annotation, checked)) in dataset.annotations.iter().zip(checked).enumerate() {
        for object in &annotation.objects {
            if let Some(class) = dataset.classes.iter().position(|c| *c == object.class) {
                classes[class].boxes += 1;
            }
        }
        let mut seen = vec![false; classes.len()];
        for object in checked.objects.iter().filter(|_| checked.usable) {
            let class = &mut classes[object.class];
            class.usable += 1;
            class.images += usize::from(!std::mem::replace(&mut seen[object.class], true));
            for split in splits.iter().filter(|s| s.members.binary_search(&i).is_ok()) {
                *class.splits.entry(split.name.clone()).or_default() += 1;
            }
        }
    }
    classes
}

pub(super) fn findings(dataset: &DataSet, classes: &[ClassCount], splits: &[SplitList]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let whole_set = || Place::file("");
    if classes.iter().all(|c| c.usable == 0) {
        findings.push(Finding::new(Kind::NoObjects, whole_set(), Action::Kept, "not one usable box in the whole set"));
        return findings;
    }
    let roles = Roles::of(splits.iter().map(|s| s.name.as_str()));
    for class in classes {
        for (split, count) in &class.splits {
            if *count == 0 {
                let trained = roles.as_ref().is_some_and(|r| r.train == *split);
                let severity = if trained { Severity::Error } else { Severity::Warning };
                let detail = format!("class {:?} has no usable box in split {split:?}", class.name);
                let finding = Finding::new(Kind::ClassWithoutExamples, whole_set(), Action::Kept, detail);
                findings.push(finding.with_severity(severity));
            }
        }
        if (1..RARE).contains(&class.usable) {
            let detail = format!("class {:?} has {} boxes in the whole set", class.name, class.usable);
            findings.push(Finding::new(Kind::RareClass, whole_set(), Action::Kept, detail));
        }
    }
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    for (i, a) in dataset.classes.iter().enumerate() {
        for b in dataset.classes[..i].iter().filter(|b| plain(b) == plain(a)) {
            let detail = format!("classes {b:?} and {a:?} look like one");
            findings.push(Finding::new(Kind::SimilarClassNames, whole_set(), Action::Kept, detail));
        }
    }
    findings
}
