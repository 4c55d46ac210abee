//! A data set of labelled photos, whatever its format: its labels, splits and files, before any photo is opened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{Fates, FileFate, LabelCount};
use super::annotation::{Annotation, FilePlace};
use super::box_judge;
use super::class_names;
use super::entry::FileEntry;
use super::error::DataError;
use super::finding::{FindingAction, FindingKind};
use super::findings::Findings;
use super::folder::Folder;
use super::formats::{self, Format, Opened};
use super::image::Photo;
use super::labels::Labels;
use super::masks;
use super::paths::{extension_of, unread_format};
use super::roles::split_of;
use super::split::{self, SplitList, SplitOptions};
use super::stored::StoredBytes;

/// The labels of a data set, free of their format; no image has been opened yet.
#[derive(Debug)]
pub struct DataSet {
    /// The folder that sources and places are relative to.
    pub root: PathBuf,
    /// Of several sets together, the first one's.
    pub format: Format,
    /// Without background; the position is the class index.
    pub classes: Vec<String>,
    /// Sorted by source.
    pub annotations: Vec<Annotation>,
    /// As given with the data, possibly none.
    pub splits: Vec<SplitList>,
    /// The origin of the given splits; empty where there are none.
    pub split_source: String,
    /// The findings of reading; `check` adds the rest.
    pub findings: Findings,
    /// Every file that was seen and what became of it.
    pub fates: Fates,
    pub labels: LabelCount,
    /// Boxes that could not be understood.
    pub lost_boxes: usize,
    /// Label and list files.
    pub(super) files: Vec<StoredBytes>,
}

impl DataSet {
    /// Reads the labels at `path`: a data set's folder, the folder above, a `.zip` of one, or a `.json`, `.csv` or
    /// `.yaml` file.
    ///
    /// # Errors
    /// If nothing there can be read as labelled photos. Defects inside a usable set are in [`DataSet::findings`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let metadata = fs::metadata(path).map_err(DataError::io(path, "open the data set"))?;
        let is_zip = extension_of(&path.to_string_lossy()).eq_ignore_ascii_case("zip");
        let opened = match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => formats::open_folder(Folder::list(path)?)?,
            (_, true) if is_zip => formats::open_folder(Folder::list(path)?)?,
            (_, true) => formats::open_file(path)?,
            _ => {
                return Err(DataError::Source {
                    file: path.into(),
                    found: "neither a folder nor a regular file".into(),
                    expected: "a folder of labelled photos".into(),
                    help: "name the folder that holds images and labels".into(),
                });
            }
        };
        let format = opened.format;
        let dataset = Self::assemble(opened);
        if dataset.annotations.is_empty() {
            let first = dataset.findings.iter().map(|f| format!("; first of them: {}: {}", f.place, f.detail)).next();
            return Err(DataError::Source {
                file: path.into(),
                found: format!("{} labels, but no image with usable ones{}", format.name(), first.unwrap_or_default()),
                expected: "at least one labelled image".into(),
                help: "check that the images lie where the labels say".into(),
            });
        }
        Ok(dataset)
    }

    fn assemble(Opened { folder, format, mut labels }: Opened) -> Self {
        labels.annotations.sort_by(|a, b| a.source.cmp(&b.source));
        judge_boxes(&mut labels, format);
        let mut fates = Fates::of(folder.entries().iter().map(|e| e.name.as_str()));
        settle_fates(&folder, &mut labels, &mut fates);
        let classes = class_names::settle(&mut labels);
        if labels.splits.is_empty() {
            splits_by_folders(&mut labels);
        }
        let index: HashMap<&str, usize> =
            labels.annotations.iter().enumerate().map(|(i, a)| (a.source.as_str(), i)).collect();
        let split = |(name, sources): (&String, &BTreeSet<String>)| {
            let mut members: Vec<usize> = sources.iter().filter_map(|s| index.get(s.as_str()).copied()).collect();
            members.sort_unstable();
            SplitList { name: name.clone(), members }
        };
        let splits: Vec<SplitList> = labels.splits.iter().map(split).filter(|s| !s.members.is_empty()).collect();
        Self {
            root: folder.root,
            format,
            classes,
            split_source: if splits.is_empty() { String::new() } else { labels.split_source },
            splits,
            annotations: labels.annotations,
            findings: labels.findings,
            fates,
            labels: labels.count,
            lost_boxes: labels.lost_boxes,
            files: labels.files,
        }
    }

    /// The split of this name (or a synonym) as given with the data.
    ///
    /// # Errors
    /// If there is none.
    pub fn split(&self, name: &str) -> Result<&SplitList, DataError> {
        let names = || self.splits.iter().map(|s| s.name.as_str());
        split::find(names(), name).map(|i| &self.splits[i]).ok_or_else(|| DataError::Split {
            file: self.root.clone(),
            found: name.into(),
            expected: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All splits that training can use: the given ones, and where they do not suffice a seeded one.
    pub fn splits(&self, options: &SplitOptions) -> Vec<SplitList> {
        split::complete(&self.annotations, &self.splits, options)
    }

    /// The origin of the splits that training uses, in words.
    pub fn split_words(&self, options: &SplitOptions) -> String {
        let sizes = |lists: &[SplitList]| {
            lists.iter().map(|s| format!("{} {}", s.name, s.members.len())).collect::<Vec<_>>().join(", ")
        };
        let used = self.splits(options);
        let held_back = format!("{:.0} % held back for val, seed {}", 100.0 * options.val_share, options.seed);
        match (self.splits.is_empty(), used == self.splits) {
            (true, _) => format!("{} ({held_back}; the data set gives none)", sizes(&used)),
            (_, true) => format!("{} (from {})", sizes(&used), self.split_source),
            _ => format!("{} (from {}; {held_back})", sizes(&used), self.split_source),
        }
    }

    /// A hash over name, size and modification time of every image, label and list file.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut add = |name: &str, stored: &StoredBytes| {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(stored.len().unwrap_or(0).to_le_bytes());
            hasher.update(stored.stamp().to_le_bytes());
        };
        for file in &self.files {
            let path = file.on_disk();
            add(&path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy(), file);
        }
        self.annotations.iter().for_each(|a| add(&a.source, &a.stored));
        hasher.finalize().into()
    }
}

/// Judges the form of the boxes over the whole set, and says what is not as the format demands.
fn judge_boxes(labels: &mut Labels, format: Format) {
    let size_of = |a: &Annotation| Photo::stored_size_of(&a.stored);
    let mut form = box_judge::judge(&labels.annotations, labels.written, &size_of);
    // These formats have a place for the size.
    form.sizes_given |= matches!(format, Format::Voc | Format::Coco | Format::Cvat);
    labels.annotations.iter_mut().for_each(|a| a.form = form);
    labels.findings.extend(box_judge::findings(&form));
}

/// Every file gets its bin, and what is left out in large numbers gets a finding of its own.
fn settle_fates(folder: &Folder, labels: &mut Labels, fates: &mut Fates) {
    for (name, fate) in &labels.fates {
        fates.set(name, *fate);
    }
    let in_splits: BTreeSet<&str> = labels.splits.values().flatten().map(String::as_str).collect();
    for annotation in &labels.annotations {
        let in_none = !in_splits.is_empty() && !in_splits.contains(annotation.source.as_str());
        let fate = match (in_none, annotation.objects.is_empty()) {
            (true, _) => FileFate::InNoSplit,
            (_, true) => FileFate::Background,
            (_, false) => FileFate::Used,
        };
        fates.set(&annotation.source, fate);
        if matches!(annotation.stored, StoredBytes::Span { .. }) {
            fates.add_inside(&annotation.source, fate);
        }
    }
    let is_labelled = |e: &FileEntry| !matches!(fates.get(&e.name), Some(FileFate::WithoutLabels | FileFate::NoPhoto));
    for (of, pictures) in masks::beside(folder, &is_labelled) {
        let detail = format!("{} pictures are masks or previews of labelled photos, and no photos", pictures.len());
        labels.findings.note(FindingKind::NoPhoto, FilePlace::file(of), FindingAction::Dropped, detail);
        pictures.iter().for_each(|name| fates.set(name, FileFate::NoPhoto));
    }
    let mut formats: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in folder.entries() {
        if let Some(format) = unread_format(&entry.name) {
            formats.entry(format).or_default().push(&entry.name);
        }
        let labels_of_others = matches!(extension_of(&entry.name), "csv" | "xml" | "record" | "tfrecord");
        if labels_of_others && fates.get(&entry.name) == Some(FileFate::Other) {
            fates.set(&entry.name, FileFate::PassedOver);
        }
    }
    for (format, names) in formats {
        let detail = format!(
            "{} photos in {format}, {:?} first, are not read; convert them to JPEG or PNG",
            names.len(),
            names[0]
        );
        labels.findings.note(FindingKind::ImageFormatNotRead, FilePlace::file(""), FindingAction::Dropped, detail);
    }
    for link in &folder.repeated_links {
        let detail = "a link to a folder of this set, or above it; not followed";
        labels.findings.note(FindingKind::RepeatedLink, FilePlace::file(link), FindingAction::Dropped, detail);
    }
}

/// Folders named after a split give it if nothing else does.
fn splits_by_folders(labels: &mut Labels) {
    let found: Vec<(&'static str, String)> =
        labels.annotations.iter().filter_map(|a| Some((split_of(&a.source)?, a.source.clone()))).collect();
    for (split, source) in &found {
        labels.add_to_split(split, source);
    }
    if !found.is_empty() {
        labels.split_source = "the names of folders".into();
    }
}
