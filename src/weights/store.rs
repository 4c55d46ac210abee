//! The folder of kept weights: models that were found sound, each with its record, and which of them is the default.
//!
//! A file is complete under its name or not there: it is written under another, synced and renamed. The record comes
//! last, and a model without one does not count.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::about::about;
use super::error::WeightsError;
use super::found::{FoundModel, find};
use super::known::known;
use super::record::{WeightsRecord, today};
use crate::interchange::Imported;

/// Overrides where weights are kept.
pub const VARIABLE: &str = "FIELDTUNE_WEIGHTS";

/// Name of the file that names the default.
const DEFAULT: &str = "default";

/// How the names of folders begin that a model is taken out in.
const WORKSPACE: &str = ".adding-";

/// The longest name.
const MAX_NAME: usize = 64;

/// A folder of kept weights; it need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

/// Says what an imported network is, in lines.
pub type Inspect<'a> = &'a dyn Fn(&Imported) -> String;

/// The result of adding.
pub struct Added {
    pub record: WeightsRecord,
    /// True if these weights were kept already, under this name.
    pub was_there: bool,
    pub is_default: bool,
    /// The sentences that follow from hashes and labels.
    pub notes: Vec<String>,
}

impl Store {
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The user's own: `$FIELDTUNE_WEIGHTS`, else `fieldtune/weights` in `$XDG_DATA_HOME`, else in `~/.local/share`.
    /// `None` where none of these is set.
    pub fn of_user() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        // The XDG specification has relative paths ignored.
        let data = || set("XDG_DATA_HOME").filter(|p| p.is_absolute());
        let home = || set("HOME").map(|home| home.join(".local/share"));
        let kept = set(VARIABLE).or_else(|| data().or_else(home).map(|data| data.join("fieldtune/weights")))?;
        Some(Self::at(kept))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All kept weights in order of name.
    ///
    /// # Errors
    /// If the folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<WeightsRecord>, WeightsError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(WeightsError::io(&self.folder, "read the folder")(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(WeightsError::io(&self.folder, "read the folder"))?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
                all.extend(self.record(name));
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The record of the weights of that name, if they are kept.
    pub fn record(&self, name: &str) -> Option<WeightsRecord> {
        check_name(name).ok()?;
        let record = WeightsRecord::read(&self.folder.join(format!("{name}.toml")))?;
        // A record says nothing about a file elsewhere.
        let own = record.name == name && Path::new(&record.file).file_stem().is_some_and(|stem| stem == name);
        (own && Path::new(&record.file).components().count() == 1 && self.path(&record).is_file()).then_some(record)
    }

    /// The path of a record's model.
    pub fn path(&self, record: &WeightsRecord) -> PathBuf {
        self.folder.join(&record.file)
    }

    /// The weights that a run starts from when none are named: those that were chosen, or the only ones.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn default(&self) -> Result<Option<WeightsRecord>, WeightsError> {
        let chosen = fs::read_to_string(self.folder.join(DEFAULT)).ok().and_then(|name| self.record(name.trim()));
        match chosen {
            Some(record) => Ok(Some(record)),
            None => Ok(<[WeightsRecord; 1]>::try_from(self.list()?).ok().map(|[only]| only)),
        }
    }

    /// Chooses the default.
    ///
    /// # Errors
    /// If no weights of that name are kept, or the disk refuses.
    pub fn set_default(&self, name: &str) -> Result<(), WeightsError> {
        self.existing(name)?;
        let path = self.folder.join(DEFAULT);
        self.place(&path, |temporary| fs::write(temporary, format!("{name}\n")))
    }

    /// Removes kept weights.
    ///
    /// # Errors
    /// If no weights of that name are kept, or the disk refuses.
    pub fn remove(&self, name: &str) -> Result<(), WeightsError> {
        let record = self.existing(name)?;
        // The record first: a model without one does not count.
        for path in [self.folder.join(format!("{name}.toml")), self.path(&record)] {
            fs::remove_file(&path).map_err(WeightsError::io(&path, "remove"))?;
        }
        sync(&self.folder).map_err(WeightsError::io(&self.folder, "sync"))
    }

    /// Takes the model out of a file or a package, checks that training can start from it, and keeps it. `inspect` puts
    /// what it is into lines for the record.
    ///
    /// # Errors
    /// If there is no such model, the name is taken by another, or the disk refuses.
    pub fn add(&self, given: &Path, name: Option<&str>, inspect: Inspect) -> Result<Added, WeightsError> {
        if let Some(name) = name {
            check_name(name)?;
        }
        fs::create_dir_all(&self.folder).map_err(WeightsError::io(&self.folder, "make the folder"))?;
        self.sweep();
        let workspace = tempfile::Builder::new().prefix(WORKSPACE).tempdir_in(&self.folder);
        let workspace = workspace.map_err(WeightsError::io(&self.folder, "write into the folder"))?;
        let found = find(given, workspace.path())?;
        let name = name.map_or_else(|| own_name(given, &found.sha256), str::to_string);
        let was_default = self.default()?;
        let (record, was_there) = match self.record(&name) {
            Some(old) if old.sha256 == found.sha256 => (old, true),
            Some(old) => {
                return Err(WeightsError::Kept(format!(
                    "{name}: other weights of that name are kept (from {})\n\
                     help: choose another --name, or `fieldtune weights remove {name}` first",
                    old.source
                )));
            }
            None => (self.keep(&name, &found, inspect)?, false),
        };
        let is_default = was_default.is_none_or(|record| record.name == name);
        if is_default {
            self.set_default(&name)?;
        }
        Ok(Added { record, was_there, is_default, notes: found.notes })
    }

    /// Removes what killed programs left behind; a living one needs minutes, not a day.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_workspace = entry.file_name().to_string_lossy().starts_with(WORKSPACE);
            let age = entry.metadata().and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
            if is_workspace && age.is_some_and(|age| age > Duration::from_secs(86_400)) {
                // It only takes room.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn keep(&self, name: &str, found: &FoundModel, inspect: Inspect) -> Result<WeightsRecord, WeightsError> {
        let record = WeightsRecord {
            name: name.into(),
            file: format!("{name}.{}", found.extension),
            source: found.source.clone(),
            sha256: found.sha256.clone(),
            bytes: found.bytes,
            added: today(),
            licence: found.licence.clone(),
            classes: found.classes.clone(),
            about: about(&found.imported),
            inspect: inspect(&found.imported),
        };
        let path = self.path(&record);
        fs::rename(&found.path, &path).map_err(WeightsError::io(&path, "write"))?;
        let text = record.to_toml();
        self.place(&self.folder.join(format!("{name}.toml")), |temporary| fs::write(temporary, text))?;
        Ok(record)
    }

    fn existing(&self, name: &str) -> Result<WeightsRecord, WeightsError> {
        self.record(name).map_or_else(|| Err(self.no_such(name)), Ok)
    }

    /// The error where `name` is asked for and not kept.
    pub(super) fn no_such(&self, name: &str) -> WeightsError {
        let names = self.list().unwrap_or_default().into_iter().map(|r| r.name).collect::<Vec<_>>();
        let kept = if names.is_empty() { "none".to_string() } else { names.join(", ") };
        WeightsError::Kept(format!(
            "{name}: no such file, and no weights of that name are kept in {} (kept: {kept})\n\
             help: `fieldtune weights list` shows them, `fieldtune weights add FILE` keeps others",
            self.folder.display()
        ))
    }

    /// A file in one step: temporary name, sync, rename, sync of the folder.
    fn place(&self, path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), WeightsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let written = write(&temporary).and_then(|()| File::open(&temporary)?.sync_all());
        let placed = written.and_then(|()| fs::rename(&temporary, path)).and_then(|()| sync(&self.folder));
        placed.map_err(|error| {
            // The first error is the one worth telling.
            let _ = fs::remove_file(&temporary);
            WeightsError::io(path, "write")(error)
        })
    }
}

/// # Errors
/// If a name would not do as a file name everywhere.
fn check_name(name: &str) -> Result<(), WeightsError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let fits = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain) && !name.starts_with(['.', '-']);
    match fits && name != DEFAULT {
        true => Ok(()),
        false => Err(WeightsError::Kept(format!(
            "--name {name:?}: expected at most {MAX_NAME} letters, digits, points, dashes and underscores, \
             and not \"{DEFAULT}\"\nhelp: choose a name such as my-detector"
        ))),
    }
}

/// The name of weights for which none was given: that of the known model, else the file's.
fn own_name(given: &Path, sha256: &str) -> String {
    if let Some(name) = known(sha256).and_then(|known| known.name) {
        return name.into();
    }
    let stem = given.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".tar").unwrap_or(&stem);
    let plain = |c: char| if c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c) { c } else { '-' };
    let name: String = stem.chars().map(plain).take(MAX_NAME).collect();
    let name = name.trim_start_matches(['.', '-']).to_string();
    if check_name(&name).is_ok() { name } else { "weights".into() }
}

#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_come_from_the_file() {
        for name in ["start", "ssd_v2.1-300"] {
            assert!(check_name(name).is_ok());
        }
        for name in ["", "..", ".hidden", "a/b", "a b", "ä", "default", "-x", &"x".repeat(65)] {
            assert!(check_name(name).unwrap_err().to_string().contains("help:"), "{name}");
        }
        for (file, name) in [
            ("dir/mobilenet_v2-b0353104.pth", "mobilenet_v2-b0353104"),
            ("my model (1).onnx", "my-model--1-"),
            ("zoo.tar.gz", "zoo"),
            ("ü.onnx", "weights"),
            ("default.onnx", "weights"),
        ] {
            assert_eq!(own_name(Path::new(file), ""), name);
        }
        let known = "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6";
        assert_eq!(own_name(Path::new("x.tflite"), known), "ssd_mobilenet_v2_oidv4");
    }
}
