//! From a file or a package to the one model in it: taken out, counted, imported.
//!
//! The model lies under a temporary path in the folder where it may be kept, so that keeping it is a rename.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::contents::{Bounded, MAX_MODEL, damaged};
use super::error::WeightsError;
use super::known::{Known, known, published};
use super::listing::{ArchiveKind, Listing, MODELS, PACKED, label_of, too_large};
use super::{assets, labels, names, zipped};
use crate::interchange::{Imported, import};

/// The most models of a package that are tried.
const MAX_TRIED: usize = 16;

/// A model that Fieldtune can start from.
pub struct FoundModel {
    /// The model under a temporary name.
    pub path: PathBuf,
    /// `onnx`, `tflite`, `pth` or `safetensors`.
    pub extension: &'static str,
    /// File name of what was given and the place of the model in it.
    pub source: String,
    pub sha256: String,
    pub bytes: u64,
    pub licence: Option<String>,
    /// Class names without the background.
    pub classes: Option<Vec<String>>,
    pub imported: Imported,
    /// The sentences that follow from the SHA-256 of package and model.
    pub notes: Vec<String>,
}

/// The kind of a file by its first bytes.
enum FileKind {
    Archive(ArchiveKind),
    Assets,
    Model,
}

/// A file that was written into the workspace.
struct Copied {
    path: PathBuf,
    sha256: String,
    bytes: u64,
}

/// One model of a package, not yet tried.
struct CandidateModel {
    /// Inside the package; empty for a file that is the model itself.
    inner: String,
    copied: Copied,
    extension: &'static str,
    /// Files of class names that stand beside it in the package.
    labels: Vec<Vec<String>>,
}

/// Takes the one readable model out of `given` into the folder `workspace`, and imports it.
///
/// # Errors
/// If the file is damaged or hostile, or holds no model that Fieldtune can start from, or several.
pub(super) fn find(given: &Path, workspace: &Path) -> Result<FoundModel, WeightsError> {
    let mut offer = Offer { given, workspace, taken: 0, licence: None, notes: Vec::new() };
    let candidates = match kind(given)? {
        FileKind::Model => vec![offer.model_itself()?],
        FileKind::Assets => {
            offer.tell_package(&offer.name(), &sha256_of(given)?);
            offer.models_in_assets(given, "")?
        }
        FileKind::Archive(archive) => {
            offer.tell_package(&offer.name(), &sha256_of(given)?);
            offer.models_in_archive(archive)?
        }
    };
    offer.choose(candidates)
}

fn kind(given: &Path) -> Result<FileKind, WeightsError> {
    let mut file = File::open(given).map_err(WeightsError::io(given, "read"))?;
    let about = file.metadata().map_err(WeightsError::io(given, "read"))?;
    if !about.is_file() {
        let help = "name a model file or a package as it was downloaded";
        return Err(WeightsError::package(
            given.display().to_string(),
            "no regular file",
            "a model or a package",
            help,
        ));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(512).read_to_end(&mut head).map_err(WeightsError::io(given, "read"))?;
    let named_data = given.extension().is_some_and(|e| e.eq_ignore_ascii_case("data"));
    Ok(match &head[..] {
        [0x1f, 0x8b, ..] => FileKind::Archive(ArchiveKind::Tar { compressed: true }),
        h if h.get(257..262) == Some(&b"ustar"[..]) => FileKind::Archive(ArchiveKind::Tar { compressed: false }),
        [b'P', b'K', 3 | 5, ..] if !zipped::is_checkpoint(given) => FileKind::Archive(ArchiveKind::Zip),
        h if named_data && h.get(4..8) != Some(&b"TFL3"[..]) => FileKind::Assets,
        _ => FileKind::Model,
    })
}

/// A given path, and what was found out about it so far.
struct Offer<'a> {
    given: &'a Path,
    workspace: &'a Path,
    /// Files in the workspace.
    taken: usize,
    licence: Option<String>,
    notes: Vec<String>,
}

impl Offer<'_> {
    fn name(&self) -> String {
        self.given.file_name().map_or_else(|| self.given.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// The place inside what was given, for messages.
    fn place(&self, inner: &str) -> String {
        let given = self.given.display();
        if inner.is_empty() { given.to_string() } else { format!("{given}: {inner}") }
    }

    /// Says which published file a package is, or that it is not the one whose name it has.
    fn tell_package(&mut self, name: &str, sha256: &str) {
        if let (None, Some(expected)) = (known(sha256), published(name)) {
            self.notes.push(format!("sha256 {sha256}: not the published {name}, whose is {}", expected.sha256));
        }
        self.tell_known(sha256);
    }

    fn tell_known(&mut self, sha256: &str) {
        let Some(Known { what, licence, .. }) = known(sha256) else { return };
        self.licence = Some(licence.to_string());
        self.notes.push(format!("sha256 {sha256}: {what}"));
    }

    fn copy(&mut self, from: &mut dyn Read, inner: &str) -> Result<Copied, WeightsError> {
        let path = self.workspace.join(format!("model-{}", self.taken));
        self.taken += 1;
        copy(from, &path, &self.place(inner))
    }

    fn model_itself(&mut self) -> Result<CandidateModel, WeightsError> {
        let mut file = File::open(self.given).map_err(WeightsError::io(self.given, "read"))?;
        let copied = self.copy(&mut file, "")?;
        let extension = extension(&self.name(), &copied.path)?;
        Ok(CandidateModel { inner: String::new(), copied, extension, labels: Vec::new() })
    }

    /// The models in a file of packed assets, `inner` being its name in the archive that it comes from.
    fn models_in_assets(&mut self, assets: &Path, inner: &str) -> Result<Vec<CandidateModel>, WeightsError> {
        let bytes = read_assets(assets, &self.place(inner))?;
        let none = |found: String| {
            let help = "the file is cut off, or from another package: download the package again";
            WeightsError::package(self.place(inner), found, "packed assets with a TFLite model", help)
        };
        let models = assets::models(&bytes).map_err(|n| none(format!("{n} places that look like a model")))?;
        if models.is_empty() {
            return Err(none(format!("{} bytes without a whole TFLite model", bytes.len())));
        }
        let mut all = Vec::new();
        for range in models {
            let place = format!("bytes {} to {}", range.start, range.end);
            let inner = if inner.is_empty() { place } else { format!("{inner}: {place}") };
            let labels = assets::names_before(&bytes, range.start).into_iter().collect();
            let copied = self.copy(&mut &bytes[range], &inner)?;
            all.push(CandidateModel { inner, copied, extension: "tflite", labels });
        }
        Ok(all)
    }

    /// The models in an archive; those of packed assets before all others, which are other networks of the same page.
    fn models_in_archive(&mut self, archive: ArchiveKind) -> Result<Vec<CandidateModel>, WeightsError> {
        let listing = Listing::of(self.given, archive)?;
        self.licence = self.licence.take().or(listing.licence);
        let mut wanted = listing.models;
        if wanted.iter().any(|name| name.ends_with(PACKED)) {
            wanted.retain(|name| name.ends_with(PACKED));
        }
        let expected = "exactly one model (.onnx, .tflite, .pth, .safetensors)";
        if wanted.is_empty() || wanted.len() > MAX_TRIED {
            let found = format!("{} files, {} of them models", listing.files, wanted.len());
            let help = "unpack it and add the model that you want";
            return Err(WeightsError::package(self.place(""), found, expected, help));
        }
        let mut copies = Vec::new();
        archive.walk(self.given, &mut |name, _, reader| {
            if wanted.iter().any(|w| w == name) {
                copies.push((name.to_string(), self.copy(reader, name)?));
            }
            Ok(())
        })?;
        let mut all = Vec::new();
        for (name, copied) in copies {
            if name.ends_with(PACKED) {
                self.tell_package(name.rsplit('/').next().unwrap_or(&name), &copied.sha256);
                all.extend(self.models_in_assets(&copied.path, &name)?);
                continue;
            }
            let extension = extension(&name, &copied.path)?;
            let labels = listing.labels.iter().filter(|(label, _)| label_of(label, &name, listing.labels.len()));
            let labels = labels.map(|(_, names)| names.clone()).collect();
            all.push(CandidateModel { inner: name, copied, extension, labels });
        }
        Ok(all)
    }

    /// Imports the candidates; exactly one has to be a start.
    fn choose(self, candidates: Vec<CandidateModel>) -> Result<FoundModel, WeightsError> {
        let (mut names, mut first, mut reasons) = (Vec::new(), None, Vec::new());
        for candidate in candidates {
            match import(&candidate.copied.path) {
                Ok(imported) => {
                    names.push(candidate.inner.clone());
                    first = first.or(Some((candidate, imported)));
                }
                Err(error) => {
                    // The user knows the file by another name.
                    let temporary = candidate.copied.path.display().to_string();
                    reasons.push(error.to_string().replace(&temporary, &self.place(&candidate.inner)));
                }
            }
        }
        match first {
            None => Err(WeightsError::Kept(reasons.join("\n"))),
            Some((candidate, imported)) if names.len() == 1 => self.finish(candidate, imported),
            Some(_) => {
                let found = format!("{} models that can be read ({})", names.len(), names.join(", "));
                let help = "unpack it and add the one that you want";
                Err(WeightsError::package(self.place(""), found, "exactly one", help))
            }
        }
    }

    fn finish(mut self, candidate: CandidateModel, mut imported: Imported) -> Result<FoundModel, WeightsError> {
        let CandidateModel { inner, copied: Copied { path, sha256, bytes }, extension, labels } = candidate;
        let classes = match imported.classes() {
            Some(columns) if !labels.is_empty() => self.packed_names(labels, columns - 1),
            // Beside the file that was given: its copy stands alone.
            _ => names::class_names(self.given, &imported, None)?.map(|found| found.names),
        };
        imported.class_names.clone_from(&classes);
        let source = if inner.is_empty() { self.name() } else { format!("{}: {inner}", self.name()) };
        match known(&sha256) {
            Some(_) => self.tell_known(&sha256),
            None => self.notes.push(format!("sha256 {sha256}: not among the files that are known")),
        }
        let Offer { licence, notes, .. } = self;
        Ok(FoundModel { path, extension, source, sha256, bytes, licence, classes, imported, notes })
    }
}

impl Offer<'_> {
    /// The first names of the package that are as many as the classes.
    fn packed_names(&mut self, labels: Vec<Vec<String>>, classes: usize) -> Option<Vec<String>> {
        let counts: Vec<String> = labels.iter().map(|names| labels::count(names).to_string()).collect();
        let fitting = labels.into_iter().find_map(|names| labels::fit(names, classes));
        if fitting.is_none() {
            let counts = counts.join(" and ");
            self.notes
                .push(format!("its class names are left out: the package has {counts}, the model {classes} classes"));
        }
        fitting
    }
}

fn read_assets(path: &Path, place: &str) -> Result<Vec<u8>, WeightsError> {
    let bytes = std::fs::metadata(path).map_err(WeightsError::io(path, "read"))?.len();
    if bytes > MAX_MODEL {
        return Err(too_large(place, bytes));
    }
    std::fs::read(path).map_err(WeightsError::io(path, "read"))
}

/// The ending under which a model is kept: by its name, else by its content.
fn extension(name: &str, path: &Path) -> Result<&'static str, WeightsError> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, kept)) = MODELS.iter().find(|(end, _)| lower.ends_with(end)) {
        return Ok(kept);
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(WeightsError::io(path, "read"))?;
    file.take(9).read_to_end(&mut head).map_err(WeightsError::io(path, "read"))?;
    Ok(match &head[..] {
        h if h.get(4..8) == Some(&b"TFL3"[..]) => "tflite",
        [b'P', b'K', ..] => "pth",
        [_, _, _, _, _, _, _, _, b'{'] => "safetensors",
        _ => "onnx",
    })
}

/// Copies what `from` holds to `to`, at most [`MAX_MODEL`] bytes, synced; `place` is where it comes from.
fn copy(from: &mut dyn Read, to: &Path, place: &str) -> Result<Copied, WeightsError> {
    let mut file = File::create(to).map_err(WeightsError::io(to, "write"))?;
    let mut from = Bounded { inner: from, left: MAX_MODEL };
    let (mut digest, mut buffer, mut bytes) = (Sha256::new(), vec![0; 64 << 10], 0u64);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(place, &error)),
        };
        digest.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(WeightsError::io(to, "write"))?;
        bytes += read as u64;
    }
    file.sync_all().map_err(WeightsError::io(to, "write"))?;
    Ok(Copied { path: to.into(), sha256: format!("{:x}", digest.finalize()), bytes })
}

fn sha256_of(path: &Path) -> Result<String, WeightsError> {
    let mut file = File::open(path).map_err(WeightsError::io(path, "read"))?;
    file.seek(SeekFrom::Start(0)).map_err(WeightsError::io(path, "read"))?;
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest).map_err(WeightsError::io(path, "read"))?;
    Ok(format!("{:x}", digest.finalize()))
}
