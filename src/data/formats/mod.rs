//! The label formats, one file each, over one [`super::Annotation`]. `docs/data-formats.md` says how to add one.
//!
//! A reader keeps what the files say and judges nothing: it finds its files, hands text through `Labels::text`, finds
//! photos through the folder's matcher, and reports what it leaves out.

mod class_list;
mod coco;
mod coco_json;
mod crc32c;
mod createml;
mod csv;
mod csv_dialect;
mod cvat;
mod data_yaml;
mod format;
mod json_files;
mod labelme;
mod labelstudio;
mod labelstudio_csv;
mod nothing_found;
mod passed_over;
mod python_json;
mod shapes;
mod text_files;
mod text_pairs;
mod tf_example;
mod tfrecord;
mod via;
mod voc;
pub(in crate::data) mod xml;
mod xml_files;
mod yolo;
mod yolo_line;
mod yolo_splits;

use std::path::{Path, PathBuf};

pub use class_list::is_background;
pub use crc32c::masked as masked_crc32c;
pub use format::Format;

use super::account::FileFate;
use super::annotation::{Annotation, FilePlace};
use super::error::DataError;
use super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::folder::{FileEntry, Folder};
use super::labels::Labels;
use super::paths::{extension_of, file_name, parent, stem};
use super::roles::split_in_file_name;
use data_yaml::DataYaml;

/// The labels of a folder, of the format that is most telling there.
pub struct Opened {
    pub folder: Folder,
    pub format: Format,
    pub labels: Labels,
}

/// Reads a listed folder: by its data.yaml, then XML, JSON, record files, tables, and text files beside photos.
///
/// # Errors
/// If nothing in it can be read as labels.
pub fn open_folder(folder: Folder) -> Result<Opened, DataError> {
    if let Some((entry, yaml, others)) = best_yaml(&folder)? {
        let mut opened = open_yaml(folder, &entry.name, &yaml)?;
        say_yamls_passed_over(&entry, &others, &mut opened.labels);
        return Ok(opened);
    }
    if let Some((format, labels)) = xml_files::read(&folder)?
        && (!labels.annotations.is_empty() || !labels.findings.is_empty())
    {
        return finished(folder, format, labels);
    }
    let mut first_error = None;
    match json_files::read(&folder) {
        Ok(Some((format, labels))) => return finished(folder, format, labels),
        Ok(None) => {}
        Err(error) => first_error = Some(error),
    }
    if let Some(labels) = tfrecord::read(&folder)? {
        return finished(folder, Format::TfRecord, labels);
    }
    let named = || folder.entries().iter().filter(|e| csv::is_table(&e.name));
    let tables: Vec<FileEntry> = named().filter(|e| csv::rows(e).is_ok()).cloned().collect();
    if !tables.is_empty() {
        let labels = csv::read(&folder, &tables)?;
        return finished(folder, Format::Csv, labels);
    }
    if let Some(entry) = named().next() {
        first_error = first_error.or(csv::rows(entry).err());
    }
    if yolo::is_one(&folder) {
        let labels = yolo::read(&folder, None)?;
        return finished(folder, Format::Yolo, labels);
    }
    if let Some((format, labels)) = text_files::read(&folder)? {
        return finished(folder, format, labels);
    }
    // A table in a text file, such as `gt.txt` of GTSDB.
    let tables: Vec<FileEntry> = folder.with_extension("txt").filter(|e| csv::rows(e).is_ok()).cloned().collect();
    if !tables.is_empty() {
        let labels = csv::read(&folder, &tables)?;
        return finished(folder, Format::Csv, labels);
    }
    Err(first_error.unwrap_or_else(|| nothing_found::error(&folder)))
}

/// Reads one label file that a person named: JSON, CSV, YAML, or a record file.
///
/// # Errors
/// If it is none of them, or cannot be read.
pub fn open_file(path: &Path) -> Result<Opened, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let extension = extension_of(&name).to_ascii_lowercase();
    match extension.as_str() {
        "yaml" | "yml" => open_named_yaml(path, dir),
        "json" | "csv" | "tsv" | "xml" => {
            let folder = Folder::list(&root_of_label_file(dir))?;
            let entry = find_itself(&folder, path)?;
            let files = [entry];
            let (format, labels) = match extension.as_str() {
                "json" => (Format::Coco, coco::read(&folder, &files)),
                "csv" | "tsv" => (Format::Csv, csv::read(&folder, &files)),
                _ => return open_folder(folder),
            };
            match labels {
                Ok(labels) => finished(folder, format, labels),
                // Another tool's JSON: the whole folder is read as such.
                Err(error) => match extension.as_str() {
                    "json" => match json_files::read(&folder) {
                        Ok(Some((format, labels))) if format != Format::Coco => finished(folder, format, labels),
                        _ => Err(error),
                    },
                    _ => Err(error),
                },
            }
        }
        "record" | "tfrecord" => open_folder(Folder::list(dir)?),
        _ => Err(DataError::Source {
            file: path.into(),
            found: "a file".into(),
            expected: "a folder of labelled photos, a .zip of one, or a .json, .csv or .yaml file".into(),
            help: "name the folder that holds images and labels".into(),
        }),
    }
}

/// `set/annotations/train.json` speaks of `set/images`, `set/annotations.json` of what is beside it.
fn root_of_label_file(dir: &Path) -> PathBuf {
    let above = dir.file_name().is_some_and(|d| {
        matches!(d.to_string_lossy().to_ascii_lowercase().as_str(), "annotations" | "labels" | "data")
    });
    let root = if above { dir.parent().unwrap_or(dir) } else { dir };
    if root.as_os_str().is_empty() { PathBuf::from(".") } else { root.into() }
}

fn open_named_yaml(path: &Path, dir: &Path) -> Result<Opened, DataError> {
    let folder = Folder::list(dir)?;
    let entry = find_itself(&folder, path)?;
    let yaml = DataYaml::read(&entry)?.ok_or_else(|| DataError::Source {
        file: path.into(),
        found: "neither names nor nc".into(),
        expected: "the data.yaml of a YOLO data set".into(),
        help: "list the classes as names: [..]".into(),
    })?;
    // Only a person who names the file itself means what lies outside its folder.
    let elsewhere = match yaml.absolute_base() {
        Some(base) => Some(base),
        None => dir
            .canonicalize()
            .ok()
            .and_then(|d| d.parent().map(Path::to_path_buf))
            .filter(|_| yaml.leads_above() && !yaml.leads_inside(&folder, parent(&entry.name))),
    };
    let Some(root) = elsewhere else { return open_yaml(folder, &entry.name, &yaml) };
    let folder = Folder::list(&root)?;
    let name = find_itself(&folder, path).map_or_else(|_| entry.name.clone(), |e| e.name);
    let mut opened = open_yaml(folder, &name, &yaml)?;
    opened.labels.files.push(entry.stored);
    Ok(opened)
}

/// The entry of a file that a person named.
fn find_itself(folder: &Folder, path: &Path) -> Result<FileEntry, DataError> {
    let wanted = path.canonicalize().ok();
    let same = |e: &&FileEntry| {
        Path::new(file_name(&e.name)).file_name() == path.file_name()
            && (e.stored.on_disk() == path || e.stored.on_disk().canonicalize().ok() == wanted)
    };
    folder.entries().iter().find(same).cloned().ok_or_else(|| DataError::Source {
        file: path.into(),
        found: "a hidden file, or no regular one".into(),
        expected: "a label file".into(),
        help: "rename it, or name the folder that holds it".into(),
    })
}

type Yamls = Option<(FileEntry, DataYaml, Vec<String>)>;

/// The YAML that says most of a data set: one with names and splits before a model's; the others' names besides.
fn best_yaml(folder: &Folder) -> Result<Yamls, DataError> {
    let mut found: Vec<(usize, usize, &FileEntry, DataYaml)> = Vec::new();
    for entry in folder.with_extension("yaml").chain(folder.with_extension("yml")) {
        // A broken data.yaml is worth an error; other YAML files are not ours.
        let named = stem(&entry.name).to_ascii_lowercase().contains("data");
        match DataYaml::read(entry) {
            Ok(Some(yaml)) => found.push((yaml.merit(), entry.name.matches('/').count(), entry, yaml)),
            Err(error) if named => return Err(error),
            _ => {}
        }
    }
    let is_data = |e: &FileEntry| stem(&e.name).to_ascii_lowercase().contains("data");
    found.sort_by(|a, b| {
        let by_name = || is_data(b.2).cmp(&is_data(a.2)).then_with(|| a.2.name.cmp(&b.2.name));
        b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then_with(by_name)
    });
    let mut found = found.into_iter();
    let Some((_, _, entry, yaml)) = found.next() else { return Ok(None) };
    Ok(Some((entry.clone(), yaml, found.map(|(_, _, e, _)| e.name.clone()).collect())))
}

fn say_yamls_passed_over(chosen: &FileEntry, others: &[String], labels: &mut Labels) {
    for name in others {
        labels.fates.push((name.clone(), FileFate::List));
        let detail = format!("{:?} says more of the data set and is used", chosen.name);
        let finding =
            Finding::new(FindingKind::LabelsPassedOver, FilePlace::file(name), FindingAction::Dropped, detail);
        labels.findings.add(finding.with_severity(Severity::Info));
    }
}

fn open_yaml(folder: Folder, name: &str, yaml: &DataYaml) -> Result<Opened, DataError> {
    let mut labels = yolo::read(&folder, Some((name, yaml)))?;
    if let Some(entry) = folder.entry(name) {
        labels.files.push(entry.stored.clone());
    }
    finished(folder, Format::Yolo, labels)
}

/// Adds what all formats share: the lists and names beside the labels.
fn finished(folder: Folder, format: Format, mut labels: Labels) -> Result<Opened, DataError> {
    if labels.classes.is_none() {
        labels.classes = class_list::named(&folder, &mut labels)?;
    }
    if labels.splits.is_empty() {
        super::image_lists::read_all(&folder, &mut labels)?;
    }
    if labels.splits.is_empty() && matches!(format, Format::Cvat | Format::LabelStudio | Format::Via) {
        splits_of_label_files(&mut labels);
    }
    if labels.splits.is_empty() && format != Format::Csv {
        splits_of_tables(&folder, &mut labels)?;
    }
    passed_over::report(&folder, format, &mut labels);
    Ok(Opened { folder, format, labels })
}

/// `train.xml` and `val.xml` of a format that has all photos of a task in one file say which photos are in which split.
fn splits_of_label_files(labels: &mut Labels) {
    let role = |a: &Annotation| Some((split_in_file_name(&a.place.file)?, a.source.clone()));
    let found: Vec<(&str, String)> = labels.annotations.iter().filter_map(role).collect();
    for (split, source) in &found {
        labels.add_to_split(split, source);
        labels.split_source = "the names of label files".into();
    }
}

/// A table named by a split beside other labels (`train_labels.csv` of datitran) says which photos are in it.
fn splits_of_tables(folder: &Folder, labels: &mut Labels) -> Result<(), DataError> {
    for entry in folder.entries().iter().filter(|e| csv::is_table(&e.name)) {
        let Some(split) = csv::split_of_csv(entry) else { continue };
        // A table of another purpose is no split.
        let Ok(rows) = csv::rows(entry) else { continue };
        labels.files.push(entry.stored.clone());
        labels.fates.push((entry.name.clone(), FileFate::List));
        labels.split_source = "the names of CSV files".into();
        let ids = rows.iter().filter_map(|r| folder.matcher().find(&r.filename, &entry.name, Some(split)).id());
        let sources: Vec<String> = ids.map(|id| folder.entries()[id].name.clone()).collect();
        labels.splits.entry(split.to_string()).or_default().extend(sources);
    }
    Ok(())
}
