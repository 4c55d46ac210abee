//! The survey of a whole set whose photos were opened one by one: class counts, the account, the findings.
//!
//! Checking and packing both feed a survey, so that both say the same of a set.

use std::collections::{HashMap, HashSet};

use crate::boxes::InputSize;

use super::super::account::{Account, BoxCount, Fates, FileFate};
use super::super::annotation::{Annotation, FilePlace};
use super::super::clean::Cleaned;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::findings::Findings;
use super::super::source::DataSet;
use super::super::split::{Roles, SplitList, SplitOptions};
use super::super::twins::groups;
use super::balance::{self, ClassCount};
use super::report::Report;
use super::sides::Sides;
use super::twins;

/// Share of dropped boxes from which the labels as a whole are suspect.
const MAX_DROPPED_SHARE: f64 = 0.05;
/// Share of boxes that reach out of their image from which the images are not those that were labelled.
const MAX_OUTSIDE_SHARE: f64 = 0.25;
/// A handful of slips in a small set is no pattern.
const MIN_DROPPED: usize = 5;

/// The state of a survey; photos are added in the order of the set's annotations.
pub struct Survey<'a> {
    dataset: &'a DataSet,
    splits: Vec<SplitList>,
    split_words: String,
    index: HashMap<&'a str, usize>,
    classes: Vec<ClassCount>,
    boxes: BoxCount,
    fates: Fates,
    findings: Findings,
    sides: Sides,
    added: usize,
}

impl<'a> Survey<'a> {
    pub fn new(dataset: &'a DataSet, options: &SplitOptions) -> Self {
        let splits = dataset.splits(options);
        Self {
            dataset,
            split_words: dataset.split_words(options),
            index: dataset.classes.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect(),
            classes: balance::empty(dataset, &splits),
            splits,
            boxes: BoxCount { dropped: dataset.lost_boxes, ..BoxCount::default() },
            fates: dataset.fates.clone(),
            findings: dataset.findings.clone(),
            sides: Sides::default(),
            added: 0,
        }
    }

    /// The next photo; `readable` is whether it decodes.
    pub fn add(&mut self, annotation: &Annotation, readable: bool, cleaned: &mut Cleaned) {
        for object in &annotation.objects {
            if let Some(class) = self.index.get(object.class.as_str()) {
                self.classes[*class].boxes += 1;
            }
        }
        let of: Vec<&SplitList> = self.splits.iter().filter(|s| s.members.binary_search(&self.added).is_ok()).collect();
        let used = if readable && !of.is_empty() { cleaned.objects.len() } else { 0 };
        let repaired = cleaned.repaired.min(used);
        self.boxes.used += used - repaired;
        self.boxes.repaired += repaired;
        self.boxes.dropped += annotation.objects.len() - used;
        match (readable, of.is_empty()) {
            (false, _) => self.fates.set(&annotation.source, FileFate::Unreadable),
            (_, true) => self.fates.set(&annotation.source, FileFate::InNoSplit),
            (_, false) => balance::add(&mut self.classes, &cleaned.objects, &of),
        }
        if readable {
            self.sides.add(&cleaned.objects);
        }
        self.findings.append(std::mem::take(&mut cleaned.findings));
        self.added += 1;
    }

    /// The findings about the set as a whole. `input_size` is that of the network, where it is known.
    pub fn finish(mut self, input_size: Option<InputSize>) -> Report {
        let annotations: Vec<&Annotation> = self.dataset.annotations.iter().collect();
        let groups = groups(&annotations);
        self.findings.extend(twins::findings(&annotations, &self.splits, &groups));
        of_splits(self.dataset, &self.splits, &mut self.findings);
        self.findings.extend(validation_is_training(&self.splits, &groups));
        self.findings.extend(balance::findings(&self.classes, &self.splits));
        self.findings.extend(self.of_dropped());
        self.findings.extend(self.of_outside());
        self.findings.sort();
        let mut account =
            Account { labels: self.dataset.labels, boxes: self.boxes, split: self.split_words, ..Account::default() };
        for fate in self.fates.photos() {
            *account.photos.entry(fate).or_default() += 1;
        }
        for (_, fate) in self.fates.files() {
            *account.files.entry(*fate).or_default() += 1;
        }
        Report {
            findings: self.findings,
            classes: self.classes,
            images: self.dataset.annotations.len(),
            splits: self.splits.iter().map(|s| (s.name.clone(), s.members.len())).collect(),
            account,
            fates: self.fates,
            sides: self.sides,
            input_size,
        }
    }

    /// Many boxes that reach out: the photos were cut or scaled since they were labelled, or the sizes are not theirs.
    fn of_outside(&self) -> Option<Finding> {
        let key = (FindingKind::BoxOutsideImage, Severity::Warning, FindingAction::Repaired);
        let outside = self.findings.counts().get(&key).copied().unwrap_or(0);
        let labelled: usize = self.dataset.annotations.iter().map(|a| a.objects.len()).sum();
        (outside >= MIN_DROPPED && outside as f64 > MAX_OUTSIDE_SHARE * labelled as f64).then(|| {
            let detail = format!(
                "{outside} of {labelled} boxes reach out of their image: were the photos cut or scaled after they were labelled?"
            );
            Finding::new(FindingKind::ManyBadBoxes, FilePlace::file(""), FindingAction::Repaired, detail)
        })
    }

    fn of_dropped(&self) -> Option<Finding> {
        let lost = [
            FindingKind::MalformedLabel,
            FindingKind::UnknownClass,
            FindingKind::ZeroAreaBox,
            FindingKind::BoxOutsideImage,
        ];
        let counts = self.findings.counts().iter();
        let of = counts.filter(|((kind, _, action), _)| *action == FindingAction::Dropped && lost.contains(kind));
        let dropped: usize = of.map(|(_, n)| n).sum();
        let labelled: usize = self.dataset.annotations.iter().map(|a| a.objects.len()).sum();
        (dropped >= MIN_DROPPED && dropped as f64 > MAX_DROPPED_SHARE * labelled as f64).then(|| {
            let detail =
                format!("{dropped} labels are unusable beside {labelled} boxes; is this the format it seems to be?");
            Finding::new(FindingKind::ManyBadBoxes, FilePlace::file(""), FindingAction::Dropped, detail)
        })
    }
}

/// Images in no split, and images on both sides.
fn of_splits(dataset: &DataSet, splits: &[SplitList], findings: &mut Findings) {
    for (i, annotation) in dataset.annotations.iter().enumerate() {
        let of_image = twins::splits_of(splits, i);
        let place = FilePlace::file(&annotation.source);
        if of_image.is_empty() {
            let detail = "labelled, but in none of the given splits";
            findings.note(FindingKind::ImageInNoSplit, place, FindingAction::Dropped, detail);
        } else if let Some((a, b)) = twins::leak(&of_image) {
            findings.note(FindingKind::ImageInTwoSplits, place, FindingAction::Kept, format!("in {a} and in {b}"));
        }
    }
}

/// The finding that every photo to validate by is, itself or as a copy, also trained on.
fn validation_is_training(splits: &[SplitList], groups: &[Vec<usize>]) -> Option<Finding> {
    let roles = Roles::of(splits.iter().map(|s| s.name.as_str()))?;
    let of = |name: &str| splits.iter().find(|s| s.name == name).map(|s| s.members.as_slice()).unwrap_or_default();
    let val_name = roles.val?;
    let (train, val) = (of(&roles.train), of(&val_name));
    let leaking = groups.iter().filter(|g| g.len() > 1 && g.iter().any(|i| train.binary_search(i).is_ok()));
    let copies: HashSet<usize> = leaking.flatten().copied().collect();
    let copied = |i: &usize| copies.contains(i);
    let is_trained_on = |i: &usize| train.binary_search(i).is_ok() || copied(i);
    (!val.is_empty() && val.iter().all(is_trained_on)).then(|| {
        let detail = format!(
            "all {} photos of split {val_name:?} are also trained on (split {:?}): AP would say nothing of other photos",
            val.len(),
            roles.train
        );
        Finding::new(FindingKind::ValidationIsTraining, FilePlace::file(""), FindingAction::Kept, detail)
    })
}
