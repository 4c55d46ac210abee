//! The content of an archive, seen before anything is taken out: models, class names, the licence.

use std::io::Read;
use std::path::Path;

use super::contents::{MAX_MODEL, Visit, damaged};
use super::error::WeightsError;
use super::{labels, tarball, zipped};

/// The endings of a model file's name, each with the ending under which it is kept.
pub(super) const MODELS: [(&str, &str); 5] =
    [(".onnx", "onnx"), (".tflite", "tflite"), (".safetensors", "safetensors"), (".pth", "pth"), (".pt", "pth")];

/// Ending of a file that holds several files one after the other, among them the detector of a web page.
pub(super) const PACKED: &str = "packed_assets.data";

/// The archives that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    Tar { compressed: bool },
    Zip,
}

impl ArchiveKind {
    /// Hands every file of the archive at `path` to `visit`.
    ///
    /// # Errors
    /// If the archive is damaged or hostile, or `visit` fails.
    pub(super) fn walk(self, path: &Path, visit: Visit) -> Result<(), WeightsError> {
        match self {
            ArchiveKind::Tar { compressed } => tarball::walk(path, compressed, visit),
            ArchiveKind::Zip => zipped::walk(path, visit),
        }
    }
}

/// The content of an archive, seen before anything is taken out.
pub(super) struct Listing {
    pub(super) files: usize,
    pub(super) models: Vec<String>,
    /// Files of class names and what stands in them.
    pub(super) labels: Vec<(String, Vec<String>)>,
    pub(super) licence: Option<String>,
}

impl Listing {
    /// # Errors
    /// If the archive is damaged or hostile, or a model in it is too large.
    pub(super) fn of(path: &Path, archive: ArchiveKind) -> Result<Self, WeightsError> {
        let mut all = Listing { files: 0, models: Vec::new(), labels: Vec::new(), licence: None };
        archive.walk(path, &mut |name, size, reader| {
            all.files += 1;
            // Such as the `._model.onnx` that macOS puts beside every file.
            if name.rsplit('/').next().is_some_and(|base| base.starts_with('.')) {
                return Ok(());
            }
            let lower = name.to_ascii_lowercase();
            let is_model = MODELS.iter().any(|(end, _)| lower.ends_with(end)) || lower.ends_with(PACKED);
            if is_model {
                if size > MAX_MODEL {
                    let place = format!("{}: {name}", path.display());
                    return Err(too_large(&place, size));
                }
                all.models.push(name.to_string());
            } else if is_labels(&lower) && size <= labels::MAX_BYTES {
                // A text that is no list of names says nothing about classes.
                all.labels.extend(labels::parse(&small(reader, path)?).ok().map(|names| (name.to_string(), names)));
            } else if lower == "package/package.json" && size <= labels::MAX_BYTES {
                all.licence = licence(&small(reader, path)?);
            }
            Ok(())
        })?;
        Ok(all)
    }
}

/// The licence that an npm package says it has.
fn licence(package_json: &[u8]) -> Option<String> {
    let about: serde_json::Value = serde_json::from_slice(package_json).ok()?;
    let licence = about.get("license")?.as_str()?;
    (licence.len() < 100 && licence.chars().all(|c| c.is_ascii_graphic() || c == ' ')).then(|| licence.to_string())
}

fn is_labels(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.ends_with(".pbtxt") || base.ends_with(".txt") && base.contains("label")
}

/// True if labels are those of a model: in the same folder, or the only ones.
pub(super) fn label_of(labels: &str, model: &str, count: usize) -> bool {
    let folder = |name: &str| name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_string());
    count == 1 || folder(labels) == folder(model)
}

fn small(reader: &mut dyn Read, archive: &Path) -> Result<Vec<u8>, WeightsError> {
    let mut bytes = Vec::new();
    let read = reader.take(labels::MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| damaged(&archive.display().to_string(), &e))?;
    Ok(bytes)
}

pub(super) fn too_large(place: &str, bytes: u64) -> WeightsError {
    let found = format!("{} MB", bytes >> 20);
    let help = "give an SSD-MobileNet-V2 or a MobileNetV2 classifier; the largest has some 50 MB";
    WeightsError::package(place, found, format!("a model of at most {} MB", MAX_MODEL >> 20), help)
}
