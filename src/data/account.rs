//! The account of a data set: every file that was seen ends in exactly one bin, and the bins add up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::paths::is_image_extension;

/// The fate of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileFate {
    /// A photo with objects.
    Used,
    /// A photo that shows no object, by its labels.
    Background,
    /// A photo that no label speaks of.
    WithoutLabels,
    /// A photo that does not decode.
    Unreadable,
    /// A photo that none of the given splits names.
    InNoSplit,
    /// A photo of a format that is not decoded.
    FormatNotRead,
    /// A mask, a depth map or a preview of a photo.
    NoPhoto,
    /// Labels of photos that are there.
    Labels,
    /// Labels of photos that are not there, or that have labels already.
    Orphan,
    /// Labels that cannot be understood.
    Malformed,
    /// Labels of another format or of a union of the others, passed over.
    PassedOver,
    /// Class names, lists of photos, settings of a data set.
    List,
    /// Nothing that belongs to a data set.
    Other,
}

/// The files of a data set and what became of them, by name.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    /// Sorted by name.
    files: Vec<(String, FileFate)>,
    /// Photos inside record files, which are no files of their own.
    inside: BTreeMap<String, FileFate>,
}

impl Fates {
    /// Photos without labels and other files, until something is known.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let unknown = |name: &str| match (super::paths::is_image(name), is_image_extension(name)) {
            (true, _) => FileFate::WithoutLabels,
            (_, true) => FileFate::FormatNotRead,
            _ => FileFate::Other,
        };
        let mut files: Vec<(String, FileFate)> = names.map(|n| (n.to_string(), unknown(n))).collect();
        files.sort();
        Self { files, inside: BTreeMap::new() }
    }

    /// Changes the fate of a file, or of a photo inside one, by its name.
    pub fn set(&mut self, name: &str, fate: FileFate) {
        match self.files.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) => self.files[at].1 = fate,
            Err(_) => drop(self.inside.get_mut(name).map(|f| *f = fate)),
        }
    }

    /// A photo inside a record file.
    pub fn add_inside(&mut self, name: &str, fate: FileFate) {
        self.inside.insert(name.to_string(), fate);
    }

    pub fn get(&self, name: &str) -> Option<FileFate> {
        let found = self.files.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok();
        found.map(|at| self.files[at].1).or_else(|| self.inside.get(name).copied())
    }

    /// Files and what became of them, by name.
    pub fn files(&self) -> &[(String, FileFate)] {
        &self.files
    }

    /// The fates of all photos: files, and those inside record files.
    pub fn photos(&self) -> impl Iterator<Item = FileFate> {
        let files = self.files.iter().map(|(_, f)| *f).filter(|f| FileFate::PHOTOS.contains(f));
        files.chain(self.inside.values().copied())
    }

    /// Of two sets together, each name behind the set's own.
    pub fn merged(sets: Vec<(String, Fates)>) -> Self {
        let mut all = Self::default();
        for (prefix, fates) in sets {
            all.files.extend(fates.files.into_iter().map(|(n, f)| (format!("{prefix}/{n}"), f)));
            all.inside.extend(fates.inside.into_iter().map(|(n, f)| (format!("{prefix}/{n}"), f)));
        }
        all.files.sort();
        all
    }
}

/// Labels by photo, as they were read: one for each photo that a label file speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCount {
    pub used: usize,
    /// Of photos that are not there, or that have labels already.
    pub orphaned: usize,
    /// Not understood at all.
    pub malformed: usize,
}

/// Boxes as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoxCount {
    /// As written.
    pub used: usize,
    /// Used after a correction: corners put in order, clipped, turned, or read in another form.
    pub repaired: usize,
    /// Unusable, doubled, of no class, or on photos that are left out.
    pub dropped: usize,
}

/// The bins of a whole set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Photos by their fate; those inside record files count as well.
    pub photos: BTreeMap<FileFate, usize>,
    pub labels: LabelCount,
    pub boxes: BoxCount,
    /// All files that were seen by their fate.
    pub files: BTreeMap<FileFate, usize>,
    /// The origin of the split.
    pub split: String,
}

impl FileFate {
    /// The fates of photos.
    pub const PHOTOS: [FileFate; 7] = [
        FileFate::Used,
        FileFate::Background,
        FileFate::WithoutLabels,
        FileFate::Unreadable,
        FileFate::InNoSplit,
        FileFate::FormatNotRead,
        FileFate::NoPhoto,
    ];

    /// Words for a list of counts.
    pub fn words(self) -> &'static str {
        match self {
            FileFate::Used => "with objects",
            FileFate::Background => "without objects",
            FileFate::WithoutLabels => "without labels",
            FileFate::Unreadable => "not readable",
            FileFate::InNoSplit => "in no split",
            FileFate::FormatNotRead => "in a format that is not read",
            FileFate::NoPhoto => "masks or previews",
            FileFate::Labels => "label files",
            FileFate::Orphan => "label files without photo",
            FileFate::Malformed => "label files not understood",
            FileFate::PassedOver => "label files passed over",
            FileFate::List => "lists and class names",
            FileFate::Other => "other files",
        }
    }
}

impl Account {
    fn of(&self, fate: FileFate) -> usize {
        self.photos.get(&fate).copied().unwrap_or(0)
    }

    /// Photos found: the sum of all their bins.
    pub fn photos_found(&self) -> usize {
        self.photos.values().sum()
    }

    pub fn photos_used(&self) -> usize {
        self.of(FileFate::Used) + self.of(FileFate::Background)
    }

    pub fn files_seen(&self) -> usize {
        self.files.values().sum()
    }

    /// The few lines that end `check` and begin `train`.
    pub fn lines(&self) -> Vec<String> {
        let some = |counts: &[(usize, &str)]| {
            let parts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}"));
            parts.collect::<Vec<_>>().join(", ")
        };
        let mut photos = format!("photos: {} found, {} used", self.photos_found(), self.photos_used());
        let used = some(&[FileFate::Used, FileFate::Background].map(|f| (self.of(f), f.words())));
        if self.of(FileFate::Background) > 0 {
            photos.push_str(&format!(" ({used})"));
        }
        let left: Vec<(usize, &str)> = FileFate::PHOTOS[2..].iter().map(|f| (self.of(*f), f.words())).collect();
        let left_out = self.photos_found() - self.photos_used();
        if left_out > 0 {
            photos.push_str(&format!(", {left_out} left out ({})", some(&left)));
        }
        let l = &self.labels;
        let labels = format!(
            "labels: {} found, {} used, {} orphaned, {} not understood",
            l.used + l.orphaned + l.malformed,
            l.used,
            l.orphaned,
            l.malformed
        );
        let b = &self.boxes;
        let boxes = format!(
            "boxes:  {} found, {} used as they are, {} repaired, {} dropped",
            b.used + b.repaired + b.dropped,
            b.used,
            b.repaired,
            b.dropped
        );
        let pictures: usize = FileFate::PHOTOS.iter().filter_map(|f| self.files.get(f)).sum();
        let others = self.files.iter().filter(|(f, _)| !FileFate::PHOTOS.contains(f)).map(|(f, n)| (*n, f.words()));
        let files: Vec<(usize, &str)> = std::iter::once((pictures, "photos")).chain(others).collect();
        let files = format!("files:  {} seen: {}", self.files_seen(), some(&files));
        vec![photos, labels, boxes, files, format!("split:  {}", self.split)]
    }

    pub fn to_json(&self) -> Value {
        let bins = |bins: &BTreeMap<FileFate, usize>| -> Value {
            bins.iter().map(|(f, n)| (f.words().to_string(), json!(n))).collect::<serde_json::Map<_, _>>().into()
        };
        json!({
            "photos": bins(&self.photos),
            "labels": {"used": self.labels.used, "orphaned": self.labels.orphaned, "malformed": self.labels.malformed},
            "boxes": {"used": self.boxes.used, "repaired": self.boxes.repaired, "dropped": self.boxes.dropped},
            "files": bins(&self.files),
            "split": self.split,
        })
    }
}
