//! The permitted content of an archive: plain files under plain names, each once, of sizes that make sense.
//!
//! Archives come from strangers. Nothing in one is unpacked by its own name, no number in one is trusted, and whatever
//! inflates is counted while it does.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use super::error::WeightsError;

/// The largest model: a float32 SSD-MobileNet-V2 of width 1.4 has a fifth of that.
pub(super) const MAX_MODEL: u64 = 256 << 20;

/// The most bytes that an archive may inflate to.
pub(super) const MAX_INFLATED: u64 = 512 << 20;

/// The most entries of an archive, and the longest name in bytes.
const MAX_ENTRIES: usize = 10_000;
pub(super) const MAX_NAME: usize = 1024;

const AGAIN: &str = "download the package again; what a registry or a project published has no such entries";

/// Sees the name, the size in bytes and the content of one file of an archive; what it does not read is skipped.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&str, u64, &mut dyn Read) -> Result<(), WeightsError>;

/// The entries of one archive, checked one after the other.
pub(super) struct Contents<'a> {
    archive: &'a Path,
    seen: BTreeSet<String>,
    bytes: u64,
}

impl<'a> Contents<'a> {
    pub(super) fn of(archive: &'a Path) -> Self {
        Self { archive, seen: BTreeSet::new(), bytes: 0 }
    }

    /// Takes in the next entry, and gives its name as text.
    ///
    /// # Errors
    /// If the name leaves the archive, stands there twice or is too long, or there are too many entries or bytes.
    pub(super) fn enter(&mut self, name: &[u8], size: u64) -> Result<String, WeightsError> {
        let shown = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned();
        if name.len() > MAX_NAME {
            let found = format!("a name of {} bytes", name.len());
            return Err(self.refuse(&shown[..shown.floor_char_boundary(60)], &found, "at most 1024"));
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(self.refuse(&shown, "a name that is not UTF-8", "plain names"));
        };
        let leaves = name.split(['/', '\\']).any(|part| part == "..") || name.starts_with(['/', '\\']);
        if name.is_empty() || leaves || name.contains(':') {
            return Err(self.refuse(name, "a name that leads out of the archive", "names below it"));
        }
        if name.contains(char::is_control) {
            return Err(self.refuse(name, "a name with control characters", "plain names"));
        }
        let plain: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
        let plain = plain.join("/");
        if !self.seen.insert(plain.clone()) {
            return Err(self.refuse(name, "the same name twice", "each file once"));
        }
        if self.seen.len() > MAX_ENTRIES {
            let found = format!("more than {MAX_ENTRIES} entries");
            return Err(WeightsError::package(self.place(), found, "a package of a model", AGAIN));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_INFLATED {
            let found = format!("contents of more than {} MB", MAX_INFLATED >> 20);
            return Err(WeightsError::package(
                self.place(),
                found,
                "a package of a model",
                "unpack it and add the model",
            ));
        }
        Ok(plain)
    }

    /// An entry that is no plain file.
    pub(super) fn refuse(&self, name: &str, found: &str, expected: &str) -> WeightsError {
        WeightsError::package(format!("{}: {name:?}", self.place()), found, expected, AGAIN)
    }

    /// An archive that cannot be read to its end.
    pub(super) fn damaged(&self, error: &io::Error) -> WeightsError {
        damaged(&self.place(), error)
    }

    fn place(&self) -> String {
        self.archive.display().to_string()
    }
}

pub(super) fn damaged(place: &str, error: &io::Error) -> WeightsError {
    let help = "the file is cut off or damaged: download it again";
    WeightsError::package(place, error.to_string(), "a whole archive", help)
}

/// A reader that fails, instead of ending, once more than `left` bytes came out of it.
pub(super) struct Bounded<R> {
    pub(super) inner: R,
    pub(super) left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "content that inflates to more bytes than it may")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_and_come_once() {
        let archive = Path::new("a.zip");
        let mut contents = Contents::of(archive);
        assert_eq!(contents.enter(b"package/./model.onnx", 5).unwrap(), "package/model.onnx");
        let long = "x".repeat(2000);
        for (name, said) in [
            ("../model.onnx", "leads out"),
            ("a/../../b", "leads out"),
            ("a\\..\\b", "leads out"),
            ("/etc/passwd", "leads out"),
            ("C:model", "leads out"),
            ("", "leads out"),
            ("package//model.onnx", "twice"),
            (long.as_str(), "a name of 2000 bytes"),
        ] {
            let error = contents.enter(name.as_bytes(), 5).unwrap_err().to_string();
            assert!(error.starts_with("a.zip: ") && error.contains(said) && error.contains("help:"), "{error}");
        }
        assert!(contents.enter(b"\x1b[2J", 1).unwrap_err().to_string().contains("control characters"));
        assert!(contents.enter(b"\xff", 1).unwrap_err().to_string().contains("not UTF-8"));
        assert!(contents.enter(b"big", MAX_INFLATED).unwrap_err().to_string().contains("more than 512 MB"));
        let mut many = Contents::of(archive);
        let full = (0..=MAX_ENTRIES).find_map(|i| many.enter(i.to_string().as_bytes(), 0).err()).unwrap().to_string();
        assert!(full.contains("more than 10000 entries"), "{full}");
    }

    #[test]
    fn what_inflates_too_far_is_an_error_and_not_an_end() {
        let mut text = String::new();
        assert!(Bounded { inner: &b"four"[..], left: 4 }.read_to_string(&mut text).is_ok());
        assert!(Bounded { inner: io::repeat(0), left: 1 << 20 }.read_to_end(&mut Vec::new()).is_err());
    }
}
