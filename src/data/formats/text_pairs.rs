//! Pairs of photos and text files, for formats with one text file a photo.
//!
//! Exact names come first: `images` exchanged for `labels` in the path, the same folder, a folder `labels` below or
//! beside. The rest of both sides is then matched by the rules of [`super::super::matcher`]: other case, other
//! normalisation, the prefix of Label Studio. A text file that is left at last is an orphan.

use std::collections::{HashMap, HashSet};

use super::super::folder::{FileEntry, Folder};
use super::super::matcher::PhotoMatch;
use super::super::paths::{join, parent, stem};
use super::super::roles::split_of;
use super::class_list::is_list_name;

/// Words in folder names that stand for photos, and what labels are called instead.
const SWAPS: [(&str, &[&str]); 4] = [
    ("images", &["labels", "annotations", "label", "labelTxt"]),
    ("image", &["label", "labels"]),
    ("image_2", &["label_2"]),
    ("jpegimages", &["labels", "Annotations"]),
];

/// Text files of photos, and those of none.
#[derive(Debug, Default)]
pub struct TextPairs<'a> {
    /// By the photo's id.
    of_photo: HashMap<usize, &'a FileEntry>,
    /// Without photo, with what their name led to.
    pub orphans: Vec<(&'a FileEntry, PhotoMatch<'a>)>,
    /// With a photo that has a text file already, and that photo.
    pub repeated: Vec<(&'a FileEntry, &'a FileEntry)>,
}

impl<'a> TextPairs<'a> {
    /// Pairs all photos with the text files for which `is_label` holds. That is asked only of files whose name leads
    /// to no photo: what bears a photo's name is its label, even if it is empty.
    pub fn of(folder: &'a Folder, is_label: &dyn Fn(&FileEntry) -> bool) -> Self {
        let mut pairs = Self::default();
        let mut used = HashSet::new();
        for image in folder.images() {
            if let Some(text) = text_of(folder, &image.name).filter(|t| used.insert(t.id)) {
                pairs.of_photo.insert(image.id, text);
            }
        }
        for text in folder.with_extension("txt").filter(|t| !used.contains(&t.id)) {
            let in_labels = || parent(&text.name).split('/').any(|p| p.eq_ignore_ascii_case("labels"));
            match folder.matcher().find(stem(&text.name), &text.name, split_of(&text.name)) {
                PhotoMatch::One(id) if !pairs.of_photo.contains_key(&id) => drop(pairs.of_photo.insert(id, text)),
                PhotoMatch::One(id) if is_label(text) => pairs.repeated.push((text, &folder.entries()[id])),
                PhotoMatch::One(_) => {}
                other if !is_list_name(&text.name) && (is_label(text) || in_labels()) => {
                    pairs.orphans.push((text, other))
                }
                _ => {}
            }
        }
        pairs
    }

    pub fn get(&self, photo: &FileEntry) -> Option<&'a FileEntry> {
        self.of_photo.get(&photo.id).copied()
    }

    pub fn len(&self) -> usize {
        self.of_photo.len()
    }
}

/// The text file of a photo by its exact name.
fn text_of<'a>(folder: &'a Folder, image: &str) -> Option<&'a FileEntry> {
    let dir = parent(image);
    let parts: Vec<&str> = dir.split('/').collect();
    let mut dirs = Vec::new();
    for (word, others) in SWAPS {
        if let Some(at) = parts.iter().rposition(|p| p.eq_ignore_ascii_case(word)) {
            let swap = |other: &&str| {
                let mut parts = parts.clone();
                parts[at] = other;
                parts.join("/")
            };
            dirs.extend(others.iter().map(swap));
        }
    }
    dirs.extend([dir.to_string(), join(dir, "labels"), join("labels", dir)]);
    dirs.iter().find_map(|dir| folder.entry(&join(dir, &format!("{}.txt", stem(image)))))
}
