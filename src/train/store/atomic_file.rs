//! A file replaced in one step: whoever looks, also after a power cut, sees the old content or the new.
//!
//! The new content goes to a hidden file beside it, is synced, renamed over the old one, and the folder synced. The
//! hidden file's name is fixed, so what a killed writer left behind is overwritten by the next one.

use crate::train::error::TrainError;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Has `write` make the new content under a temporary path, then puts it in place. `keep` runs in between, when the
/// new content is safe on disk and the old file still has its name.
///
/// # Errors
/// If any step fails; the old file is still there then.
pub fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
    keep: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), TrainError> {
    let temporary = hidden(path, "tmp");
    let written = write(&temporary).and_then(|()| File::open(&temporary)?.sync_all()).and_then(|()| keep(path));
    let placed = written.and_then(|()| fs::rename(&temporary, path)).and_then(|()| sync_folder(path));
    placed.map_err(|error| {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
        TrainError::io(path, "write")(error)
    })
}

/// Keeps the file at `path` under the name `previous` beside it as well, so that `path` is never absent.
///
/// On a file system without hard links (FAT on a memory card), the file is renamed instead, and for a moment only
/// `previous` is there.
///
/// # Errors
/// If neither works. A `path` that does not exist is no error.
pub fn keep_as(path: &Path, previous: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let link = hidden(previous, "link");
    // Left by a writer that was killed between linking and renaming.
    let _ = fs::remove_file(&link);
    match fs::hard_link(path, &link) {
        Ok(()) => fs::rename(&link, previous),
        Err(_) => fs::rename(path, previous),
    }
}

/// Gives the file at `path` a second name, or where the file system cannot, a copy of it.
///
/// # Errors
/// If neither works.
pub fn link_or_copy(path: &Path, second: &Path) -> io::Result<()> {
    let link = hidden(second, "link");
    let _ = fs::remove_file(&link);
    fs::hard_link(path, &link).or_else(|_| fs::copy(path, &link).map(drop))?;
    fs::rename(&link, second)
}

fn hidden(path: &Path, extension: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{extension}"))
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) -> Result<(), TrainError> {
        replace(path, |p| fs::write(p, text), |p| keep_as(p, &p.with_file_name("previous")))
    }

    #[test]
    fn the_one_before_is_kept_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (last, previous) = (folder.path().join("last"), folder.path().join("previous"));
        put(&last, "1").unwrap();
        assert!(!previous.exists());
        // A file that a killed writer left behind does not matter.
        fs::write(folder.path().join(".last.tmp"), "torn").unwrap();
        fs::hard_link(&last, folder.path().join(".previous.link")).unwrap();
        put(&last, "2").unwrap();
        put(&last, "3").unwrap();
        assert_eq!((fs::read(&last).unwrap(), fs::read(&previous).unwrap()), (b"3".to_vec(), b"2".to_vec()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last");
        put(&path, "1").unwrap();
        let full = |_: &Path| Err(io::Error::from(io::ErrorKind::StorageFull));
        let error = replace(&path, full, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("last: cannot write") && error.contains("free some space"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"1");
        let blocked = path.join("inside-a-file");
        assert!(put(&blocked, "1").unwrap_err().to_string().contains("cannot write"));
    }
}
