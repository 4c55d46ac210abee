//! The inputs of a run of the service (photos, weights, job file), and whether they have changed since the last one.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Folders below the inbox that are looked into.
const DEEPEST: usize = 8;

/// Path, size and time of every file, and a sum over all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    pub files: usize,
    /// Hexadecimal digits; equal sums mean equal inputs.
    pub sum: String,
}

impl Inputs {
    /// Looks at a data set and at the weights; `job` is the job file's text.
    pub fn look(data: &Path, weights: &Path, job: &str) -> Self {
        let mut files = BTreeMap::new();
        // A label file's photos lie beside it.
        let folder = if data.is_file() && data.extension().is_none_or(|e| e != "pack") {
            data.parent().unwrap_or(data)
        } else {
            data
        };
        collect(folder, DEEPEST, &mut files);
        let count = files.len();
        collect(weights, 0, &mut files);
        let mut sum = crc32fast::Hasher::new();
        let mut check = crc32fast::Hasher::new_with_initial(0x5EED);
        for (path, (size, time)) in &files {
            for hasher in [&mut sum, &mut check] {
                hasher.update(path.as_os_str().as_encoded_bytes());
                hasher.update(&size.to_le_bytes());
                hasher.update(&time.to_le_bytes());
            }
        }
        sum.update(job.as_bytes());
        check.update(job.as_bytes());
        Self { files: count, sum: format!("{:08x}{:08x}", sum.finalize(), check.finalize()) }
    }
}

/// Every file at or below `path`, hidden ones (still being copied, most often) left out.
fn collect(path: &Path, depth: usize, files: &mut BTreeMap<PathBuf, (u64, u128)>) {
    if path.is_file() {
        files.extend(fs::metadata(path).ok().map(|m| (path.to_path_buf(), (m.len(), modified(&m)))));
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let link_to_folder = entry.file_type().is_ok_and(|t| t.is_symlink()) && entry.path().is_dir();
        if hidden || link_to_folder || depth == 0 {
            continue;
        }
        collect(&entry.path(), depth - 1, files);
    }
}

fn modified(metadata: &Metadata) -> u128 {
    metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |t| t.as_nanos())
}

/// Tells when nothing has changed for a while.
#[derive(Debug, Default)]
pub struct Settling {
    seen: Option<(String, Instant)>,
}

impl Settling {
    /// True if the inputs are as they were `time` ago. Looked at for the first time, they are not.
    pub fn is_settled(&mut self, inputs: &Inputs, time: Duration) -> bool {
        match &self.seen {
            Some((sum, since)) if *sum == inputs.sum => since.elapsed() >= time,
            _ => {
                self.seen = Some((inputs.sum.clone(), Instant::now()));
                time.is_zero()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (data, weights) = (dir.path().join("inbox"), dir.path().join("w.onnx"));
        let look = |job: &str| Inputs::look(&data, &weights, job);
        assert_eq!(look("").files, 0);
        fs::create_dir_all(data.join("images")).unwrap();
        fs::write(data.join("images/.a.jpg.part"), "x").unwrap();
        assert_eq!(look("").files, 0, "hidden files are still on their way");
        fs::write(data.join("images/a.jpg"), "photo").unwrap();
        let first = look("");
        assert_eq!(first.files, 1);
        assert_eq!(look(""), first);
        assert_ne!(look("epochs = 3").sum, first.sum);
        fs::write(&weights, "weights").unwrap();
        let weighted = look("");
        assert!(weighted.sum != first.sum && weighted.files == 1);
        fs::write(data.join("images/a.jpg"), "longer photo").unwrap();
        assert_ne!(look("").sum, weighted.sum);
    }

    #[test]
    fn inputs_settle_when_nothing_changes() {
        let mut settling = Settling::default();
        let inputs = |sum: &str| Inputs { files: 1, sum: sum.into() };
        assert!(!settling.is_settled(&inputs("a"), Duration::from_millis(30)));
        std::thread::sleep(Duration::from_millis(40));
        assert!(settling.is_settled(&inputs("a"), Duration::from_millis(30)));
        assert!(!settling.is_settled(&inputs("b"), Duration::from_millis(30)));
        assert!(settling.is_settled(&inputs("c"), Duration::ZERO));
    }
}
