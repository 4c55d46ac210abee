//! The files under a data set's root, and how names in label files find their images.
//!
//! Labels rarely name their image exactly: paths from another computer, other folders, no extension, other case.
//! A name finds the image that shares most of its path, seen from the label file, and never one of another split.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DataError;

/// Deep enough for every layout in use, shallow enough to end on a loop of links.
const MAX_DEPTH: usize = 8;
/// More than this is somebody's home folder, not a data set.
const MAX_FILES: usize = 2_000_000;

const IMAGE_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// One file: where it is, and its name relative to the root with `/` between folders.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub name: String,
    pub path: PathBuf,
}

/// A listed folder. Hidden files and folders do not count.
#[derive(Debug)]
pub struct Folder {
    pub root: PathBuf,
    /// Sorted by name.
    entries: Vec<Entry>,
    /// Image entries by lower-case file name without folders and extension.
    by_stem: HashMap<String, Vec<usize>>,
}

impl Folder {
    /// Lists everything under `root`.
    ///
    /// # Errors
    /// If `root` is missing, is no folder, or cannot be read.
    pub fn list(root: &Path) -> Result<Self, DataError> {
        let mut entries = Vec::new();
        walk(root, "", 0, &mut entries)?;
        if entries.len() > MAX_FILES {
            return Err(DataError::Source {
                file: root.into(),
                found: format!("more than {MAX_FILES} files"),
                expected: "the folder of one data set".into(),
                help: "name the data set's own folder".into(),
            });
        }
        entries.sort();
        let mut by_stem: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, entry) in entries.iter().enumerate().filter(|(_, e)| is_image(&e.name)) {
            by_stem.entry(stem(&entry.name).to_lowercase()).or_default().push(i);
        }
        Ok(Self { root: root.into(), entries, by_stem })
    }

    /// Files with this extension, in any case, sorted by name.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| extension_of(&e.name).eq_ignore_ascii_case(extension))
    }

    /// All images, sorted by name.
    pub fn images(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| is_image(&e.name))
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|e| e.name.as_str().cmp(name));
        found.ok().map(|i| &self.entries[i])
    }

    /// Whether any file lies in folder `name` or deeper.
    pub fn has_folder(&self, name: &str) -> bool {
        let prefix = format!("{name}/");
        let at = self.entries.partition_point(|e| e.name.as_str() < prefix.as_str());
        self.entries.get(at).is_some_and(|e| e.name.starts_with(&prefix))
    }

    /// The image that a label file at `near` means by `wanted`: a path, a file name, or a name without extension.
    pub fn find_image(&self, wanted: &str, near: &str) -> Option<&Entry> {
        self.find_image_of(wanted, near, split_of(near))
    }

    /// As [`Folder::find_image`], for a label file that is known to speak of one split.
    pub fn find_image_of(&self, wanted: &str, near: &str, split: Option<&str>) -> Option<&Entry> {
        let wanted = wanted.trim().replace('\\', "/");
        let wanted = wanted.trim_start_matches("./").trim_start_matches('/');
        let beside = join(parent(near), wanted);
        if let Some(entry) = self.entry(&beside).filter(|e| is_image(&e.name)) {
            return Some(entry);
        }
        let name = file_name(wanted);
        let by_name = self.candidates(stem(wanted)).filter(|e| file_name(&e.name).eq_ignore_ascii_case(name));
        let best = closest(by_name, wanted, near, split);
        if best.is_some() {
            return best;
        }
        // `photo.final` is a stem with a dot in it, `photo.jpg` may have become `photo.png`.
        closest(self.candidates(name).chain(self.candidates(stem(wanted))), wanted, near, split)
    }

    fn candidates(&self, stem: &str) -> impl Iterator<Item = &Entry> {
        self.by_stem.get(&stem.to_lowercase()).into_iter().flatten().map(|&i| &self.entries[i])
    }
}

fn walk(folder: &Path, prefix: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<(), DataError> {
    let listing = fs::read_dir(folder).map_err(DataError::io(folder, "list the folder"))?;
    for item in listing {
        let item = item.map_err(DataError::io(folder, "list the folder"))?;
        let file_name = item.file_name();
        let file_name = file_name.to_string_lossy();
        if file_name.starts_with('.') || entries.len() > MAX_FILES {
            continue;
        }
        let path = item.path();
        let name = join(prefix, &file_name);
        // A dangling link is a missing file, and its labels will say so.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            entries.push(Entry { name, path });
        } else if metadata.is_dir() && depth < MAX_DEPTH {
            walk(&path, &name, depth + 1, entries)?;
        }
    }
    Ok(())
}

/// The candidate that shares most with the wanted path's end and with the label file's folders.
fn closest<'a>(
    candidates: impl Iterator<Item = &'a Entry>,
    wanted: &str,
    near: &str,
    split: Option<&str>,
) -> Option<&'a Entry> {
    candidates
        .filter(|e| split.is_none() || split_of(&e.name).is_none_or(|s| Some(s) == split))
        .map(|e| {
            let exact = file_name(&e.name) == file_name(wanted);
            let shared_end = common(parent(wanted).rsplit('/'), parent(&e.name).rsplit('/'));
            let shared_start = common(parent(near).split('/'), parent(&e.name).split('/'));
            let shared_tail = common(parent(near).rsplit('/'), parent(&e.name).rsplit('/'));
            ((shared_end, shared_start, shared_tail, exact), e)
        })
        // The first of equals, so that the answer does not depend on anything but names.
        .fold(None, |best: Option<(_, &Entry)>, next| match best {
            Some(b) if b.0 >= next.0 => Some(b),
            _ => Some(next),
        })
        .map(|(_, e)| e)
}

fn common<'a>(a: impl Iterator<Item = &'a str>, b: impl Iterator<Item = &'a str>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b && !a.is_empty()).count()
}

/// The split a path belongs to by the name of one of its folders (`images/train/7.jpg`, `valid/7.jpg`, `val2017/7.jpg`).
pub fn split_of(name: &str) -> Option<&'static str> {
    parent(name).split('/').find_map(split_name)
}

/// The split a single word names, digits at its end aside.
pub fn split_name(word: &str) -> Option<&'static str> {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '_').to_ascii_lowercase();
    match word.as_str() {
        "train" | "training" => Some("train"),
        "val" | "valid" | "validation" | "dev" => Some("val"),
        "test" | "testing" => Some("test"),
        "trainval" => Some("trainval"),
        _ => None,
    }
}

/// The split a file's own name speaks of, as in `train_labels.csv` or `instances_val2017.json`.
pub fn split_in_file_name(name: &str) -> Option<&'static str> {
    stem(name).split(|c: char| !c.is_ascii_alphanumeric()).find_map(split_name)
}

pub fn is_image(name: &str) -> bool {
    IMAGE_EXTENSIONS.iter().any(|e| extension_of(name).eq_ignore_ascii_case(e))
}

pub fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The folders of a relative path, empty for a file at the root.
pub fn parent(name: &str) -> &str {
    name.rfind('/').map_or("", |i| &name[..i])
}

/// File name without folders and extension.
pub fn stem(name: &str) -> &str {
    let name = file_name(name);
    name.rfind('.').filter(|&i| i > 0).map_or(name, |i| &name[..i])
}

pub fn extension_of(name: &str) -> &str {
    let name = file_name(name);
    name.rfind('.').filter(|&i| i > 0).map_or("", |i| &name[i + 1..])
}

/// Joins relative paths and resolves `.` and `..` in them.
pub fn join(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            fs::write(path, b"x").expect("writes");
        }
        let listed = Folder::list(dir.path()).expect("lists");
        (dir, listed)
    }

    #[test]
    fn a_name_finds_its_image_across_layouts() {
        let (_dir, f) = folder(&[
            "JPEGImages/a b#1=.JPG",
            "images/train/7.jpg",
            "images/test/7.jpg",
            "images/x.y.png",
            "deep/one/9.jpg",
        ]);
        let find = |wanted: &str, near: &str| f.find_image(wanted, near).map(|e| e.name.as_str());
        assert_eq!(find("a b#1=.jpg", "Annotations/a b#1=.xml"), Some("JPEGImages/a b#1=.JPG"));
        assert_eq!(find("7", "annotations/test/7.xml"), Some("images/test/7.jpg"));
        assert_eq!(find("C:\\photos\\train\\7.jpg", "all.csv"), Some("images/train/7.jpg"));
        assert_eq!(find("x.y", "Annotations/x.y.xml"), Some("images/x.y.png"));
        assert_eq!(find("/home/me/9.jpeg", "a.json"), Some("deep/one/9.jpg"));
        assert_eq!(find("10.jpg", "a.json"), None);
    }

    #[test]
    fn an_image_of_another_split_is_not_taken() {
        let (_dir, f) = folder(&["test/1.jpg", "train/2.jpg"]);
        assert_eq!(f.find_image("1", "train/1.xml"), None);
    }

    #[test]
    fn words_name_splits() {
        assert_eq!(split_of("images/train2017/1.jpg"), Some("train"));
        assert_eq!(split_in_file_name("raccoon/data/test_labels.csv"), Some("test"));
        assert_eq!(split_in_file_name("raccoon_labels.csv"), None);
        assert_eq!(split_of("latest/1.jpg"), None);
    }

    #[test]
    fn join_resolves_dots() {
        assert_eq!(join("a/b", "../c/./d"), "a/c/d");
        assert_eq!(join("", "../images"), "images");
    }
}
