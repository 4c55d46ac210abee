//! The files of a data set: everything under one folder, or in one archive.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive;
use super::error::DataError;
use super::matcher::PhotoMatcher;
use super::paths::{extension_of, is_image, join};
use super::stored::StoredBytes;

pub use super::entry::FileEntry;

/// Deep enough for every layout in use, shallow enough to end.
const MAX_DEPTH: usize = 12;
/// More than this is somebody's home folder, not a data set.
const MAX_FILES: usize = 2_000_000;

/// A listed folder. Hidden files and folders do not count.
#[derive(Debug)]
pub struct Folder {
    pub root: PathBuf,
    /// Sorted by name.
    entries: Vec<FileEntry>,
    matcher: PhotoMatcher,
    /// Links to folders that were listed already, or that lead out of the set in a circle.
    pub repeated_links: Vec<String>,
}

impl Folder {
    /// Lists everything under `root`, a folder or a `.zip`.
    ///
    /// # Errors
    /// If `root` is missing, is neither, or cannot be read.
    pub fn list(root: &Path) -> Result<Self, DataError> {
        let mut walk = Walk::default();
        if root.is_file() {
            walk.files = archive::list(root)?;
            walk.files.retain(|(name, _)| !name.split('/').any(is_hidden));
        } else {
            walk.folder(root, "", 0)?;
            walk.follow_links()?;
        }
        if walk.files.len() > MAX_FILES {
            return Err(DataError::Source {
                file: root.into(),
                found: format!("more than {MAX_FILES} files"),
                expected: "the folder of one data set".into(),
                help: "name the data set's own folder".into(),
            });
        }
        walk.files.sort();
        let entry = |(id, (name, stored))| FileEntry { name, id, stored };
        let entries: Vec<FileEntry> = walk.files.into_iter().enumerate().map(entry).collect();
        let matcher = PhotoMatcher::of(entries.iter().filter(|e| is_image(&e.name)).map(|e| (e.id, e.name.as_str())));
        Ok(Self { root: root.into(), entries, matcher, repeated_links: walk.repeated_links })
    }

    /// All files, sorted by name.
    pub fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    /// Files with this extension, in any case, sorted by name.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a FileEntry> {
        self.entries.iter().filter(move |e| extension_of(&e.name).eq_ignore_ascii_case(extension))
    }

    /// All photos that can be decoded, sorted by name.
    pub fn images(&self) -> impl Iterator<Item = &FileEntry> {
        self.entries.iter().filter(|e| is_image(&e.name))
    }

    pub fn entry(&self, name: &str) -> Option<&FileEntry> {
        let found = self.entries.binary_search_by(|e| e.name.as_str().cmp(name));
        found.ok().map(|i| &self.entries[i])
    }

    /// The photo of exactly this name.
    pub fn image(&self, name: &str) -> Option<&FileEntry> {
        self.entry(name).filter(|e| is_image(&e.name))
    }

    /// Files in folder `name` or deeper; all for the root.
    pub fn under(&self, name: &str) -> &[FileEntry] {
        if name.is_empty() {
            return &self.entries;
        }
        let prefix = format!("{name}/");
        let from = self.entries.partition_point(|e| e.name.as_str() < prefix.as_str());
        let len = self.entries[from..].partition_point(|e| e.name.starts_with(&prefix));
        &self.entries[from..from + len]
    }

    /// True if any file lies in folder `name` or deeper.
    pub fn has_folder(&self, name: &str) -> bool {
        !self.under(name).is_empty()
    }

    /// How label files' names find photos.
    pub fn matcher(&self) -> &PhotoMatcher {
        &self.matcher
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

#[derive(Default)]
struct Walk {
    files: Vec<(String, StoredBytes)>,
    /// Folders by their true path, so that a link to a folder above or beside does not multiply its photos.
    seen: HashSet<PathBuf>,
    /// Links to folders, with the depth they stand at. They come last, so that a folder is listed under its own name.
    links: Vec<(PathBuf, String, usize)>,
    repeated_links: Vec<String>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), DataError> {
        if let Ok(true_path) = folder.canonicalize()
            && !self.seen.insert(true_path)
        {
            return Ok(());
        }
        for item in fs::read_dir(folder).map_err(DataError::io(folder, "list the folder"))? {
            let item = item.map_err(DataError::io(folder, "list the folder"))?;
            let file_name = item.file_name();
            let file_name = file_name.to_string_lossy();
            if is_hidden(&file_name) || self.files.len() > MAX_FILES {
                continue;
            }
            let path = item.path();
            let name = join(prefix, &file_name);
            // A dangling link is a missing file, and its labels will say so. Pipes and devices are no files.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_file() {
                self.files.push((name, StoredBytes::Disk(path)));
            } else if metadata.is_dir() && depth < MAX_DEPTH {
                match item.file_type().is_ok_and(|t| t.is_symlink()) {
                    true => self.links.push((path, name, depth + 1)),
                    false => self.folder(&path, &name, depth + 1)?,
                }
            }
        }
        Ok(())
    }

    fn follow_links(&mut self) -> Result<(), DataError> {
        while !self.links.is_empty() {
            let mut links = std::mem::take(&mut self.links);
            links.sort();
            for (path, name, depth) in links {
                let repeated = path.canonicalize().is_ok_and(|p| self.seen.contains(&p) || self.is_above(&p));
                match repeated {
                    true => self.repeated_links.push(name),
                    false => self.folder(&path, &name, depth)?,
                }
            }
        }
        Ok(())
    }

    /// True if a folder holds one that was listed: following a link to it would list the set once more.
    fn is_above(&self, folder: &Path) -> bool {
        self.seen.iter().any(|seen| seen.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_once_and_sorted() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["b/2.jpg", "a/1.JPG", "a-b/3.jpg", ".hidden/4.jpg", "a/notes.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            fs::write(path, "x").expect("writes");
        }
        #[cfg(unix)]
        for (to, link) in [(".", "loop"), ("../a", "b/twice"), ("nowhere", "dangling")] {
            std::os::unix::fs::symlink(to, dir.path().join(link)).expect("links");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let names: Vec<&str> = folder.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a-b/3.jpg", "a/1.JPG", "a/notes.txt", "b/2.jpg"]);
        assert_eq!(folder.under("a").len(), 2);
        assert!(folder.has_folder("b") && !folder.has_folder("loop"));
        assert_eq!(folder.images().count(), 3);
    }
}
