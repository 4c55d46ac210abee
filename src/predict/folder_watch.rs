//! Photos that arrive in a folder while it is watched.
//!
//! The folder is looked at, not subscribed to: that works on network shares as well. A photo is taken once two looks
//! have seen it with the same size and time, so that one that is still being copied is waited for; one that is written
//! anew is taken anew.

use super::photo_list::photos_in;
use anyhow::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Size and time of the last change.
type FileStamp = (u64, Option<SystemTime>);

#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    /// Not looked into: results are written there.
    aside: Option<PathBuf>,
    seen: HashMap<PathBuf, (FileStamp, Taken)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

impl FolderWatch {
    pub fn new(folder: &Path, aside: Option<&Path>) -> Self {
        let aside = aside.and_then(|path| path.canonicalize().ok());
        Self { folder: folder.into(), aside, seen: HashMap::new() }
    }

    /// The photos that have come to rest since the last call, in order of name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn ready(&mut self) -> Result<Vec<PathBuf>> {
        let mut ready = Vec::new();
        let mut now = HashMap::new();
        for path in photos_in(&self.folder)? {
            let inside = |aside: &PathBuf| path.canonicalize().is_ok_and(|full| full.starts_with(aside));
            if self.aside.as_ref().is_some_and(inside) {
                continue;
            }
            let Ok(metadata) = path.metadata() else { continue };
            let look = (metadata.len(), metadata.modified().ok());
            let taken = match self.seen.get(&path) {
                Some((last, Taken::Yes)) if *last == look => Taken::Yes,
                Some((last, Taken::No)) if *last == look => {
                    ready.push(path.clone());
                    Taken::Yes
                }
                _ => Taken::No,
            };
            now.insert(path, (look, taken));
        }
        self.seen = now;
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_photo_is_taken_when_it_rests_and_again_when_it_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (photo, out) = (dir.path().join("a.jpg"), dir.path().join("out"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join("a.jpg"), "a picture of ours").unwrap();
        let mut watch = FolderWatch::new(dir.path(), Some(&out));
        fs::write(&photo, "half").unwrap();
        assert!(watch.ready().unwrap().is_empty());
        fs::write(&photo, "half and the rest").unwrap();
        assert!(watch.ready().unwrap().is_empty(), "it still grows");
        assert_eq!(watch.ready().unwrap(), std::slice::from_ref(&photo));
        assert!(watch.ready().unwrap().is_empty());
        fs::write(&photo, "another").unwrap();
        assert!(watch.ready().unwrap().is_empty());
        assert_eq!(watch.ready().unwrap(), std::slice::from_ref(&photo));
        fs::remove_file(&photo).unwrap();
        assert!(watch.ready().unwrap().is_empty());
        fs::remove_dir_all(&out).unwrap();
        drop(dir);
        assert!(watch.ready().is_err());
    }
}
