//! The photos that a caller names: files, folders with the folders in them, and patterns.

use anyhow::{Context, Result, bail};
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

/// Folders inside folders that are looked into.
const DEEPEST: usize = 16;

/// The files that an earlier call of `predict` leaves in its folder: pictures there are no photos.
pub const LISTS: [&str; 2] = ["detections.json", "detections.jsonl"];

/// The photos named, those in folders named, and those that a pattern (`photos/**/*.jpg`) matches; each folder's and
/// each pattern's in order of name. Folders below a named one that hold an earlier call's results are left out.
///
/// # Errors
/// If a folder cannot be read, a pattern is none, or there is no photo at all.
pub fn photos(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(photos_in(path)?);
        } else if let Some(pattern) = pattern_of(path) {
            all.extend(matches_of(pattern)?);
        } else {
            all.push(path.clone());
        }
    }
    if all.is_empty() {
        bail!("no photo found\nhelp: name .jpg, .png, .bmp or .webp files, or a folder that holds some");
    }
    Ok(all)
}

/// The photos in a folder and its folders, in order of name; there may be none.
///
/// # Errors
/// If a folder cannot be read.
pub fn photos_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut inside = Vec::new();
    collect(folder, DEEPEST, &mut inside)?;
    inside.sort();
    Ok(inside)
}

/// The text of a path that is no file but has a pattern's characters.
fn pattern_of(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains(['*', '?', '[']) && path.symlink_metadata().is_err())
}

fn matches_of(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern).with_context(|| format!("{pattern}: no pattern"))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("{pattern}: cannot read a folder"))?;
        if is_photo(&path) && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{pattern}: no photo matches\nhelp: ** stands for folders in any depth, * for any part of a name");
    }
    Ok(found)
}

/// The photos in a folder and, links aside, in its folders: a link may lead back to where it is.
fn collect(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<()> {
    let refused = || format!("{}: cannot read the folder", folder.display());
    for entry in fs::read_dir(folder).with_context(refused)? {
        let entry = entry.with_context(refused)?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if LISTS.iter().any(|list| path.join(list).exists()) {
                log::info!("{}: left out, it holds the results of an earlier call", path.display());
                continue;
            }
            match depth {
                0 => log::warn!("{}: too many folders inside each other, left out", path.display()),
                _ => collect(&path, depth - 1, into)?,
            }
        } else if is_photo(&path) && path.is_file() {
            into.push(path);
        }
    }
    Ok(())
}

/// True if a name ends as those of photos do.
pub fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png" | "bmp" | "webp"))
}

/// # Errors
/// If a path is neither a file nor a folder: a pipe may never end, and a device may be anything.
pub fn check_regular(path: &Path) -> Result<()> {
    let kind = fs::metadata(path).with_context(|| format!("{}: cannot open the photo", path.display()))?.file_type();
    if !kind.is_file() {
        bail!(
            "{}: {}, expected a photo\nhelp: name regular files; a stream comes on standard input, named `-`",
            path.display(),
            name_of(kind)
        );
    }
    Ok(())
}

#[cfg(unix)]
fn name_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_dir() => "a folder",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn name_of(_: FileType) -> &'static str {
    "no regular file"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_patterns_and_files_are_found_and_results_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in
            ["b.JPG", "a.png", "note.txt", "in/depth/c.webp", "seen/d.jpg", "seen/detections.json", "odd[1].jpg"]
        {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |paths: &[&str]| -> Vec<String> {
            let paths: Vec<PathBuf> = paths.iter().map(|p| root.join(p)).collect();
            let found = photos(&paths).unwrap();
            found.iter().map(|p| p.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(&[""]), ["a.png", "b.JPG", "in/depth/c.webp", "odd[1].jpg"]);
        assert_eq!(names(&["seen"]), ["seen/d.jpg"], "a folder that is named is looked at");
        assert_eq!(names(&["**/*.webp", "odd[1].jpg"]), ["in/depth/c.webp", "odd[1].jpg"]);
        let error = photos(&[root.join("*.bmp")]).unwrap_err().to_string();
        assert!(error.contains("*.bmp: no photo matches\nhelp: "), "{error}");
        assert!(photos(&[root.join("a***b.jpg")]).is_err());
    }
}
