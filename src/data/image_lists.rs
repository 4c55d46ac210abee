//! Text files that list the photos of a split: `ImageSets/Main/train.txt`, `val.txt` at the root, `trainval.txt`
//! beside the annotations.

use super::account::FileFate;
use super::annotation::FilePlace;
use super::error::DataError;
use super::finding::{FindingAction, FindingKind};
use super::folder::{FileEntry, Folder};
use super::labels::Labels;
use super::paths::{file_name, parent, stem};
use super::roles::{split_in_file_name, split_name};

/// Share of the lines of a list that must lead to photos.
const RESOLVED: f64 = 0.5;

/// The photo that one line means: `name`, `name 1`, `folder/name`, `name.jpg`; names may hold spaces and dots.
pub fn find<'a>(folder: &'a Folder, line: &str, list: &str) -> Option<&'a FileEntry> {
    let line = line.trim();
    let first = line.split_whitespace().next().unwrap_or(line);
    let found = [line, first].into_iter().find_map(|name| folder.matcher().find(name, list, None).id());
    found.map(|id| &folder.entries()[id])
}

/// Reads one list into the split of that name.
///
/// # Errors
/// If the file cannot be read.
pub fn read(folder: &Folder, list: &FileEntry, split: &str, labels: &mut Labels) -> Result<(), DataError> {
    let text = labels.text(list, FileFate::List)?;
    for (line, name) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        match find(folder, name, &list.name) {
            Some(image) => labels.add_to_split(split, &image.name),
            None => {
                let detail = format!("{:?} has no labelled image", name.trim());
                let place = FilePlace::line(&list.name, line + 1);
                labels.findings.note(FindingKind::ListedImageMissing, place, FindingAction::Dropped, detail);
            }
        }
    }
    Ok(())
}

/// Reads all lists of the set into its splits, named as the lists are.
///
/// # Errors
/// If a file that was just listed cannot be read.
pub fn read_all(folder: &Folder, labels: &mut Labels) -> Result<(), DataError> {
    let lists: Vec<&FileEntry> = folder.with_extension("txt").filter(|e| is_list(folder, e)).collect();
    let in_sets = lists.iter().any(|e| is_image_set(&e.name));
    for list in lists.into_iter().filter(|e| !in_sets || is_image_set(&e.name)) {
        let name = stem(&list.name);
        // `train_list.txt` in `ImageSets` speaks of train; `minival.txt` is a split of its own.
        let role = split_name(name).or_else(|| split_in_file_name(&list.name));
        let name = role.unwrap_or(name);
        read(folder, list, name, labels)?;
        let source = parent(&list.name);
        labels.split_source = if source.is_empty() { "lists at the root".into() } else { format!("lists in {source}") };
    }
    Ok(())
}

/// In `ImageSets/Main` or `ImageSets`, but none of VOC's lists by class (`cat_train.txt`, lines `2008_000002 -1`).
fn is_image_set(name: &str) -> bool {
    let folders = parent(name);
    let in_sets = folders.split('/').any(|f| f.eq_ignore_ascii_case("imagesets"));
    let last = file_name(folders);
    let by_class = ["_train", "_val", "_trainval", "_test"].iter().any(|s| stem(name).ends_with(s));
    in_sets && (last.eq_ignore_ascii_case("main") || last.eq_ignore_ascii_case("imagesets")) && !by_class
}

/// Elsewhere, a file must be named by a split and its lines must lead to photos.
fn is_list(folder: &Folder, entry: &FileEntry) -> bool {
    if is_image_set(&entry.name) {
        return true;
    }
    if split_name(stem(&entry.name)).is_none() || folder.image(&format!("{}.jpg", stem(&entry.name))).is_some() {
        return false;
    }
    let Ok(text) = entry.text("read the list") else { return false };
    let lines: Vec<&str> = text.text.lines().filter(|l| !l.trim().is_empty()).take(50).collect();
    let found = lines.iter().filter(|l| find(folder, l, &entry.name).is_some()).count();
    !lines.is_empty() && found as f64 >= RESOLVED * lines.len() as f64
}
