//! What a reader returns: annotations, class names, splits, and the defects met on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::annotation::{Annotation, Place};
use super::finding::{Action, Finding, Kind};
use super::folder::Folder;

/// The labels of a data set as one format gives them.
#[derive(Debug, Default)]
pub struct Labels {
    pub annotations: Vec<Annotation>,
    /// In class order where the format has one; `None` means whatever names occur.
    pub classes: Option<Vec<String>>,
    /// Split name to the sources of its images.
    pub splits: BTreeMap<String, BTreeSet<String>>,
    pub findings: Vec<Finding>,
    /// Every label and list file that was read.
    pub files: Vec<PathBuf>,
}

impl Labels {
    /// Reports the images that no label file speaks of, for formats that have one even for an image without objects.
    pub fn report_unlabelled(&mut self, folder: &Folder, labelled: &BTreeSet<String>) {
        let missing = folder.images().filter(|e| !labelled.contains(&e.name));
        self.findings.extend(missing.map(|e| {
            let detail = "no labels for this image; what it shows is unknown, so it is not a background either";
            Finding::new(Kind::ImageWithoutLabels, Place::file(&e.name), Action::Dropped, detail)
        }));
    }

    pub fn add_to_split(&mut self, split: &str, source: &str) {
        self.splits.entry(split.to_string()).or_default().insert(source.to_string());
    }
}
