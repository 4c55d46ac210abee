//! The result of a reader: annotations, class names, splits, and the defects met on the way.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{FileFate, LabelCount};
use super::annotation::{Annotation, FilePlace};
use super::box_form::WrittenBox;
use super::error::DataError;
use super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::findings::Findings;
use super::folder::{FileEntry, Folder};
use super::masks;
use super::matcher::PhotoMatch;
use super::paths::parent;
use super::stored::StoredBytes;
use super::text::{DecodedText, decode};

/// The labels of a data set as one format gives them.
#[derive(Debug, Default)]
pub struct Labels {
    pub annotations: Vec<Annotation>,
    /// In class order where the format has one; `None` means whatever names occur.
    pub classes: Option<Vec<String>>,
    /// Split name to the sources of its images.
    pub splits: BTreeMap<String, BTreeSet<String>>,
    /// The origin of the splits, for people; empty where there are none.
    pub split_source: String,
    pub findings: Findings,
    /// Every label and list file that was read.
    pub files: Vec<StoredBytes>,
    /// The fate of files other than photos, by name.
    pub fates: Vec<(String, FileFate)>,
    pub count: LabelCount,
    /// Boxes that could not be understood, and so are in no annotation.
    pub lost_boxes: usize,
    /// Photos whose labels are there and cannot be understood.
    pub spoken_of: BTreeSet<String>,
    /// How the format writes boxes.
    pub written: WrittenBox,
}

impl Labels {
    /// The text of a label or list file, which from now on counts as read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn text(&mut self, entry: &FileEntry, fate: FileFate) -> Result<String, DataError> {
        let action = if fate == FileFate::List { "read the list" } else { "read the labels" };
        let bytes = entry.read(action)?;
        self.files.push(entry.stored.clone());
        self.fates.push((entry.name.clone(), fate));
        let DecodedText { text, guess } = decode(&bytes);
        if let Some(guess) = guess {
            self.findings.note(FindingKind::TextEncoding, FilePlace::file(&entry.name), FindingAction::Kept, guess);
        }
        Ok(text)
    }

    /// A photo's labels, found where they ought to be.
    pub fn found(&mut self, annotation: Annotation) {
        self.count.used += 1;
        self.annotations.push(annotation);
    }

    /// One object that cannot be understood.
    pub fn lost(&mut self, place: FilePlace, fault: impl Into<String>) {
        self.lost_boxes += 1;
        self.findings.note(FindingKind::MalformedLabel, place, FindingAction::Dropped, fault);
    }

    /// The labels of one photo that cannot be understood.
    pub fn malformed(&mut self, place: FilePlace, fault: impl Into<String>) {
        self.count.malformed += 1;
        self.findings.note(FindingKind::MalformedLabel, place, FindingAction::Dropped, fault);
    }

    /// Labels of a photo that is not there; an error where a photo of that name is there, but not certainly the same.
    pub fn orphan(&mut self, place: FilePlace, wanted: &str, found: PhotoMatch) {
        self.count.orphaned += 1;
        let detail = format!("no image file {wanted:?}{}", found.reason());
        let finding = Finding::new(FindingKind::LabelWithoutImage, place, FindingAction::Dropped, detail);
        let doubtful = matches!(found, PhotoMatch::Elsewhere(_) | PhotoMatch::Several(..));
        self.findings.add(if doubtful { finding.with_severity(Severity::Error) } else { finding });
    }

    /// Labels of a photo that has labels already.
    pub fn repeated(&mut self, place: FilePlace, image: &str) {
        self.count.orphaned += 1;
        let detail = format!("{image:?} has labels already; these are left out");
        self.findings.note(FindingKind::MalformedLabel, place, FindingAction::Dropped, detail);
    }

    /// Reports the images that no label speaks of.
    pub fn report_unlabelled(&mut self, folder: &Folder) {
        let labelled: BTreeSet<&str> = self.annotations.iter().map(|a| a.source.as_str()).collect();
        let is_labelled = |e: &FileEntry| labelled.contains(e.name.as_str()) || self.spoken_of.contains(&e.name);
        let masks = masks::beside(folder, &is_labelled);
        let in_masks = |e: &FileEntry| masks.contains_key(parent(&e.name));
        let missing: Vec<&FileEntry> = folder.images().filter(|e| !is_labelled(e) && !in_masks(e)).collect();
        for image in missing {
            let detail = "no labels for this image; what it shows is unknown, so it is not a background either";
            self.findings.note(
                FindingKind::ImageWithoutLabels,
                FilePlace::file(&image.name),
                FindingAction::Dropped,
                detail,
            );
        }
    }

    pub fn add_to_split(&mut self, split: &str, source: &str) {
        self.splits.entry(split.to_string()).or_default().insert(source.to_string());
    }
}
