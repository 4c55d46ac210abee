//! A folder (or file) of labelled photos, whatever its format.
//!
//! The format is recognised by what is there, most telling first: a data.yaml with class names, annotation XML, COCO
//! JSON, CSV, text files beside images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::annotation::{Annotation, Place};
use super::data_yaml::DataYaml;
use super::error::DataError;
use super::finding::{Action, Finding, Kind};
use super::folder::{Entry, Folder, extension_of, file_name, parent, split_of, stem};
use super::labels::Labels;
use super::split::{self, SplitList, SplitOptions};
use super::{coco, csv, voc, yolo};

/// The annotation formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Voc,
    Coco,
    Yolo,
    Csv,
}

/// The labels of a data set, free of their format; no image has been opened yet.
#[derive(Debug)]
pub struct DataSet {
    /// What sources and places are relative to.
    pub root: PathBuf,
    pub format: Format,
    /// Without background; the position is the class index.
    pub classes: Vec<String>,
    /// Sorted by source.
    pub annotations: Vec<Annotation>,
    /// As given with the data, possibly none.
    pub splits: Vec<SplitList>,
    /// What was met while reading; [`super::check`] adds the rest.
    pub findings: Vec<Finding>,
    /// Label and list files.
    files: Vec<PathBuf>,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Voc => "Pascal VOC",
            Format::Coco => "COCO",
            Format::Yolo => "YOLO",
            Format::Csv => "CSV",
        }
    }
}

impl DataSet {
    /// Reads the labels at `path`: a data set's folder, the folder above, or a `.json`, `.csv` or `.yaml` file.
    ///
    /// # Errors
    /// If nothing there can be read as labelled photos. Defects inside a usable set are in [`DataSet::findings`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let metadata = fs::metadata(path).map_err(DataError::io(path, "open the data set"))?;
        let (folder, format, labels) = if metadata.is_dir() { open_folder(path)? } else { open_file(path)? };
        let dataset = Self::assemble(folder, format, labels)?;
        if dataset.annotations.is_empty() {
            let first = dataset.findings.iter().map(|f| format!("; first of them: {}: {}", f.place, f.detail)).next();
            return Err(DataError::Source {
                file: path.into(),
                found: format!("{} labels, but no image with usable ones{}", format.name(), first.unwrap_or_default()),
                expected: "at least one labelled image".into(),
                help: "check that the images lie where the labels say".into(),
            });
        }
        Ok(dataset)
    }

    fn assemble(folder: Folder, format: Format, mut labels: Labels) -> Result<Self, DataError> {
        labels.annotations.sort_by(|a, b| a.source.cmp(&b.source));
        if format == Format::Voc {
            splits_of_voc(&folder, &mut labels)?;
        }
        let classes = match labels.classes.take() {
            Some(classes) => classes,
            None => match listed_classes(&folder, &mut labels)? {
                Some(classes) => classes,
                None => {
                    let names = labels.annotations.iter().flat_map(|a| &a.objects).map(|o| o.class.clone());
                    names.collect::<BTreeSet<_>>().into_iter().collect()
                }
            },
        };
        let index: HashMap<&str, usize> =
            labels.annotations.iter().enumerate().map(|(i, a)| (a.source.as_str(), i)).collect();
        let split = |(name, sources): (&String, &BTreeSet<String>)| {
            let mut members: Vec<usize> = sources.iter().filter_map(|s| index.get(s.as_str()).copied()).collect();
            members.sort_unstable();
            SplitList { name: name.clone(), members }
        };
        let splits = labels.splits.iter().map(split).filter(|s| !s.members.is_empty()).collect();
        Ok(Self {
            root: folder.root,
            format,
            classes,
            splits,
            annotations: labels.annotations,
            findings: labels.findings,
            files: labels.files,
        })
    }

    /// The split of this name (or a synonym) as given with the data.
    ///
    /// # Errors
    /// If there is none.
    pub fn split(&self, name: &str) -> Result<&SplitList, DataError> {
        let names = || self.splits.iter().map(|s| s.name.as_str());
        split::find(names(), name).map(|i| &self.splits[i]).ok_or_else(|| DataError::Split {
            file: self.root.clone(),
            found: name.into(),
            expected: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All splits that training can use: the given ones, and where they do not suffice a seeded one.
    pub fn splits(&self, options: &SplitOptions) -> Vec<SplitList> {
        split::complete(&self.annotations, &self.splits, options)
    }

    /// A hash over name, size and modification time of every image, label and list file.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut files: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        files.extend(self.annotations.iter().map(|a| a.path.as_path()));
        for path in files {
            let name = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy();
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            if let Ok(metadata) = fs::metadata(path) {
                hasher.update(metadata.len().to_le_bytes());
                let modified = metadata.modified().ok().and_then(|m| m.duration_since(UNIX_EPOCH).ok());
                hasher.update(modified.map_or(0, |m| m.as_nanos()).to_le_bytes());
            }
        }
        hasher.finalize().into()
    }
}

fn open_file(path: &Path) -> Result<(Folder, Format, Labels), DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match extension_of(&name).to_ascii_lowercase().as_str() {
        "yaml" | "yml" => {
            let yaml = DataYaml::read(path)?.ok_or_else(|| DataError::Source {
                file: path.into(),
                found: "neither names nor nc".into(),
                expected: "the data.yaml of a YOLO data set".into(),
                help: "list the classes as names: [..]".into(),
            })?;
            let folder = Folder::list(&yaml.root(path))?;
            let inside = folder.with_extension(extension_of(&name)).find(|e| same_file(&e.path, path));
            let inside = inside.map_or(name.clone(), |e| e.name.clone());
            let mut labels = yolo::read(&folder, Some((&inside, &yaml)))?;
            labels.files.push(path.into());
            Ok((folder, Format::Yolo, labels))
        }
        extension @ ("json" | "csv") => {
            // `set/annotations/train.json` speaks of `set/images`, `set/annotations.json` of what is beside it.
            let above = dir.file_name().is_some_and(|d| {
                matches!(d.to_string_lossy().to_ascii_lowercase().as_str(), "annotations" | "labels" | "data")
            });
            let root = if above { dir.parent().unwrap_or(dir) } else { dir };
            let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
            let folder = Folder::list(root)?;
            let files: Vec<Entry> =
                folder.with_extension(extension).filter(|e| same_file(&e.path, path)).cloned().collect();
            let (format, labels) = match extension {
                "json" => (Format::Coco, coco::read(&folder, &files)?),
                _ => (Format::Csv, csv::read(&folder, &files)?),
            };
            Ok((folder, format, labels))
        }
        _ => Err(DataError::Source {
            file: path.into(),
            found: "a file".into(),
            expected: "a folder of labelled photos, or a .json, .csv or .yaml file".into(),
            help: "name the folder that holds images and labels".into(),
        }),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn open_folder(path: &Path) -> Result<(Folder, Format, Labels), DataError> {
    let folder = Folder::list(path)?;
    for entry in folder.with_extension("yaml").chain(folder.with_extension("yml")) {
        // A broken data.yaml is worth an error; other YAML files are not ours.
        let named = stem(&entry.name).to_ascii_lowercase().contains("data");
        match DataYaml::read(&entry.path) {
            Ok(Some(_)) => return open_file(&entry.path),
            Err(error) if named => return Err(error),
            _ => {}
        }
    }
    if folder.with_extension("xml").next().is_some() {
        let labels = voc::read(&folder)?;
        if !labels.files.is_empty() && (!labels.annotations.is_empty() || !labels.findings.is_empty()) {
            return Ok((folder, Format::Voc, labels));
        }
    }
    let json: Vec<Entry> = folder.with_extension("json").cloned().collect();
    let mut first_error = None;
    if !json.is_empty() {
        match coco::read(&folder, &json) {
            Ok(labels) => return Ok((folder, Format::Coco, labels)),
            Err(error) => first_error = Some(error),
        }
    }
    let tables: Vec<Entry> = folder.with_extension("csv").filter(|e| csv::rows(e).is_ok()).cloned().collect();
    if !tables.is_empty() {
        let labels = csv::read(&folder, &tables)?;
        return Ok((folder, Format::Csv, labels));
    }
    if let Some(entry) = folder.with_extension("csv").next() {
        first_error = first_error.or(csv::rows(entry).err());
    }
    if yolo::looks_like_yolo(&folder) {
        let labels = yolo::read(&folder, None)?;
        return Ok((folder, Format::Yolo, labels));
    }
    let images = folder.images().count();
    Err(first_error.unwrap_or_else(|| DataError::Source {
        file: path.into(),
        found: if images == 0 { "neither images nor labels".into() } else { format!("{images} images without labels") },
        expected: "photos labelled as Pascal VOC (.xml), COCO (.json), YOLO (.txt and data.yaml) or CSV".into(),
        help: "label them with any tool that exports one of these, e.g. CVAT or labelImg".into(),
    }))
}

/// The split given with VOC labels: image sets, else CSV files named by split, else folders named by split.
fn splits_of_voc(folder: &Folder, labels: &mut Labels) -> Result<(), DataError> {
    let mut by_stem: HashMap<&str, Vec<&str>> = HashMap::new();
    for a in &labels.annotations {
        by_stem.entry(stem(&a.source)).or_default().push(&a.source);
    }
    let mut splits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, list, lines) in voc::image_sets(folder)? {
        labels.files.push(list.path.clone());
        for (line, id) in lines.iter().enumerate().filter(|(_, l)| !l.is_empty()) {
            // `name`, `name 1`, `folder/name`, `name.jpg`; names may hold spaces and dots.
            let words = id.split_whitespace().next().unwrap_or(id);
            let readings = [file_name(id), stem(id), file_name(words), stem(words)];
            let found = readings
                .iter()
                .find_map(|r| by_stem.get(r))
                .and_then(|sources| sources.iter().max_by_key(|s| common_start(s, &list.name)).map(|s| s.to_string()));
            match found {
                Some(source) => drop(splits.entry(name.clone()).or_default().insert(source)),
                None => {
                    let detail = format!("{id:?} has no labelled image");
                    let place = Place::line(&list.name, line + 1);
                    labels.findings.push(Finding::new(Kind::ListedImageMissing, place, Action::Dropped, detail));
                }
            }
        }
    }
    if splits.is_empty() {
        for entry in folder.with_extension("csv") {
            let Some(split) = csv::split_of_csv(entry) else { continue };
            // A table of another purpose is no split.
            let Ok(rows) = csv::rows(entry) else { continue };
            labels.files.push(entry.path.clone());
            let sources: BTreeSet<String> = rows
                .iter()
                .filter_map(|r| folder.find_image_of(&r.filename, &entry.name, Some(split)))
                .map(|e| e.name.clone())
                .collect();
            splits.entry(split.to_string()).or_default().extend(sources);
        }
    }
    if splits.is_empty() {
        for source in labels.annotations.iter().map(|a| &a.source) {
            if let Some(split) = split_of(source) {
                splits.entry(split.to_string()).or_default().insert(source.clone());
            }
        }
    }
    labels.splits = splits;
    Ok(())
}

fn common_start(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}

/// Class names from `labels.txt`, `labelmap.txt` (CVAT) or `classes.txt` at the top of the set.
fn listed_classes(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let is_list = |e: &&Entry| {
        let depth = parent(&e.name).split('/').filter(|p| !p.is_empty()).count();
        depth <= 1 && matches!(file_name(&e.name), "labels.txt" | "labelmap.txt" | "classes.txt")
    };
    let Some(entry) = folder.with_extension("txt").find(is_list) else { return Ok(None) };
    let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the class names"))?;
    labels.files.push(entry.path.clone());
    let text = String::from_utf8_lossy(&bytes);
    let is_map = file_name(&entry.name) == "labelmap.txt";
    let names = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let names = names.filter(|l| !(l.is_empty() || is_map && l.starts_with('#')));
    // CVAT writes `name:r,g,b:parts:actions`.
    let names = names.map(|l| if is_map { l.split(':').next().unwrap_or(l) } else { l });
    let is_background = |n: &str| matches!(n.to_ascii_lowercase().as_str(), "background" | "__background__");
    let mut classes: Vec<String> = Vec::new();
    for name in names.filter(|n| !is_background(n)) {
        if !classes.iter().any(|c| c == name) {
            classes.push(name.to_string());
        }
    }
    Ok(Some(classes).filter(|c| !c.is_empty()))
}
