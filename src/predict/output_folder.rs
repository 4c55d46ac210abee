//! The folder that results go to. Nothing that is there is written over: neither photos nor what an earlier call left.

use super::photo_list::LISTS;
use anyhow::{Context, Result, bail};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Endings of the pictures that are drawn.
const PICTURES: [&str; 2] = ["jpg", "png"];

/// A folder without the results of an earlier call.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// How many photos of a name there were: the results of theirs are `a`, `a-2`, `a-3`.
    seen: HashMap<String, u64>,
    used: HashSet<String>,
}

impl OutputFolder {
    /// Makes `wanted`, or the first of `wanted-2`, `wanted-3`, ... that no earlier call has used.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(wanted: &Path) -> Result<Self> {
        let numbered = (2u64..).map(|n| {
            let mut name = wanted.file_name().unwrap_or("predict".as_ref()).to_os_string();
            name.push(format!("-{n}"));
            wanted.with_file_name(name)
        });
        let is_free = |path: &PathBuf| !LISTS.iter().any(|list| is_there(&path.join(list)));
        let free = std::iter::once(wanted.to_path_buf()).chain(numbered).find(is_free);
        // A file of that name is an error, and no reason for another name.
        let path = free.filter(|_| !wanted.is_file()).unwrap_or_else(|| wanted.to_path_buf());
        std::fs::create_dir_all(&path).with_context(|| format!("{}: cannot make the folder", path.display()))?;
        Ok(Self { path, seen: HashMap::new(), used: HashSet::new() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for a photo's results that no other photo has, and no picture in the folder. Names that differ by case
    /// alone are one name: memory cards do not tell them apart.
    pub fn free_name(&mut self, stem: &OsStr) -> OsString {
        let key = |name: &OsStr| name.to_string_lossy().to_lowercase();
        let count = self.seen.entry(key(stem)).or_insert(0);
        loop {
            *count += 1;
            let mut name = stem.to_os_string();
            if *count > 1 {
                name.push(format!("-{count}"));
            }
            if !is_taken(&self.path, &name) && self.used.insert(key(&name)) {
                return name;
            }
        }
    }

    /// As [`OutputFolder::free_name`], of frames, which have names of their own: nothing is remembered of them, as a
    /// stream may have no end.
    pub fn free_frame_name(&self, stem: &OsStr) -> OsString {
        let numbered = (2u64..).map(|n| {
            let mut name = stem.to_os_string();
            name.push(format!("-{n}"));
            name
        });
        let mut names = std::iter::once(stem.to_os_string()).chain(numbered);
        names.find(|name| !is_taken(&self.path, name)).unwrap_or_else(|| stem.into())
    }

    /// Makes a folder in it, of this name or with a number after it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make_inside(&self, name: &str) -> Result<PathBuf> {
        let numbered = (2u64..).map(|n| format!("{name}-{n}"));
        for name in std::iter::once(name.to_string()).chain(numbered) {
            let path = self.path.join(name);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    return made.with_context(|| format!("{}: cannot make the folder", path.display())).map(|()| path);
                }
            }
        }
        bail!("{}: no name is free for {name}", self.path.display())
    }
}

/// True if the folder has a picture of this name.
fn is_taken(folder: &Path, name: &OsStr) -> bool {
    PICTURES.into_iter().any(|ending| is_there(&folder.join(with_ending(name, ending))))
}

/// `name.ending`, whatever points are in the name.
pub fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let mut name = name.to_os_string();
    name.push(".");
    name.push(ending);
    name
}

/// True if anything has this name, be it a link to nowhere.
fn is_there(path: &Path) -> bool {
    let absent = |error: std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    !path.symlink_metadata().is_err_and(absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_photos_share_a_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b.png"), "somebody's").unwrap();
        let mut folder = OutputFolder::make(dir.path()).unwrap();
        let names: Vec<OsString> =
            ["a", "a", "a-2", "A", "b", "a-2"].map(|stem| folder.free_name(stem.as_ref())).into();
        assert_eq!(names, ["a", "a-2", "a-2-2", "A-3", "b-2", "a-2-3"]);
        for name in ["yolo", "yolo-2"] {
            assert_eq!(folder.make_inside("yolo").unwrap(), dir.path().join(name));
        }
        std::fs::write(dir.path().join("detections.jsonl"), "").unwrap();
        assert_ne!(OutputFolder::make(dir.path()).unwrap().path(), dir.path());
    }
}
