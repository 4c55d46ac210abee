//! One process a folder: a lock that the system releases with the process, however it ends, and what dead processes
//! left.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The file that is locked; it holds the process number of whoever locked it last.
const NAME: &str = ".lock";

/// More digits than a process number has.
const MOST_DIGITS: u64 = 20;

/// Another process works in a folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {who} {doing} in this folder\nhelp: let it finish, or stop it with {kill} first", folder.display())]
pub struct Busy {
    folder: PathBuf,
    who: String,
    doing: String,
    kill: String,
}

/// A folder that no other process works in while this exists.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks a folder; `doing` completes "process 7 ... in this folder".
    ///
    /// # Errors
    /// [`Busy`] if another process holds it; if its lock file cannot be written.
    pub fn take(folder: &Path, doing: &str) -> Result<Self> {
        let path = folder.join(NAME);
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.with_context(|| {
            format!("{}: cannot write, check that the folder is writable and has room", path.display())
        })?;
        // A file system without locks is no reason not to work.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let mut owner = String::new();
            let _ = Read::by_ref(&mut file).take(MOST_DIGITS).read_to_string(&mut owner);
            let (who, kill) = match owner.trim().parse::<u32>() {
                Ok(pid) => (format!("process {pid}"), format!("`kill {pid}`")),
                Err(_) => ("another process".into(), "SIGTERM".into()),
            };
            return Err(Busy { folder: folder.into(), who, doing: doing.into(), kill }.into());
        }
        // The number is for people: a disk without room for it must not stop a run that only has to end.
        let _ = file.rewind().and_then(|()| file.set_len(0));
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Removes temporary files (`.NAME.tmp`, `.NAME.PID.tmp`) that dead processes left in a folder. Call it when the folder
/// has just been locked and nothing was written yet: then those of this process's own number are of an earlier one.
pub fn sweep(folder: &Path) {
    sweep_by(folder, Path::new("/proc"));
}

/// As [`sweep`], with the processes that `processes` lists as `/proc` does.
fn sweep_by(folder: &Path, processes: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let is_left = |owner: Option<u32>| owner.is_none_or(|pid| pid == std::process::id() || !is_alive(pid, processes));
    for path in entries.flatten().map(|e| e.path()) {
        if temporary(&path).is_some_and(is_left) {
            log::debug!("{}: removed, a process that was ended left it", path.display());
            // A file that cannot be removed does no harm.
            let _ = fs::remove_file(&path);
        }
    }
}

/// The process number in a temporary file's name, if it has one; `None` for any other path.
fn temporary(path: &Path) -> Option<Option<u32>> {
    let name = path.file_name()?.as_encoded_bytes().strip_prefix(b".")?.strip_suffix(b".tmp")?;
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    Some(std::str::from_utf8(last).ok().and_then(|digits| digits.parse().ok()))
}

/// True if a process of this number and of this program's name runs: in containers, and after the machine was switched
/// off, another program may have the number. Where nothing tells, it counts as alive.
fn is_alive(pid: u32, processes: &Path) -> bool {
    let name = |process: &str| fs::read(processes.join(process).join("comm")).ok();
    name("self").is_none_or(|own| name(&pid.to_string()) == Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_number_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path(), "is training").unwrap();
        let error = FolderLock::take(folder.path(), "is training").unwrap_err().to_string();
        assert!(error.contains(&format!("process {} is training in this folder", std::process::id())), "{error}");
        drop(first);
        FolderLock::take(folder.path(), "is training").unwrap();
    }

    #[test]
    fn what_dead_processes_left_goes_and_what_others_write_stays() {
        let (folder, processes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (process, name) in [("self", "fieldtune\n"), ("77", "fieldtune\n"), ("1", "init\n")] {
            fs::create_dir(processes.path().join(process)).unwrap();
            fs::write(processes.path().join(process).join("comm"), name).unwrap();
        }
        let own = std::process::id();
        let dead = [".last.ckpt.tmp".to_string(), ".best.onnx.78.tmp".into(), ".best.onnx.1.tmp".into()];
        let dead: Vec<String> = dead.into_iter().chain([format!(".best.onnx.{own}.tmp")]).collect();
        let others = [".p.pack.77.tmp".to_string(), "a.tmp".into(), ".hidden".into()];
        dead.iter().chain(&others).for_each(|name| fs::write(folder.path().join(name), "torn").unwrap());
        sweep_by(folder.path(), processes.path());
        let left: Vec<&String> = dead.iter().filter(|name| folder.path().join(name).exists()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }
}
