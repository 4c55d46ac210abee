//! The splits of a YOLO set: by its data.yaml, by Darknet's `obj.data`, by lists, or by folders.

use std::collections::BTreeSet;

use super::super::account::FileFate;
use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::folder::{FileEntry, Folder};
use super::super::image_lists;
use super::super::labels::Labels;
use super::super::paths::{extension_of, file_name, parent};
use super::super::roles::split_name;
use super::data_yaml::{DataYaml, Resolved};

/// Fills in the splits that the set gives.
///
/// # Errors
/// If a list that was just seen cannot be read.
pub fn given_splits(folder: &Folder, yaml: Option<(&str, &DataYaml)>, labels: &mut Labels) -> Result<(), DataError> {
    if let Some((name, yaml)) = yaml.filter(|(_, y)| !y.splits.is_empty()) {
        by_yaml(folder, name, yaml, labels)?;
        labels.split_source = name.to_string();
        return Ok(());
    }
    for entry in folder.entries().iter().filter(|e| extension_of(&e.name) == "data") {
        by_darknet(folder, entry, labels)?;
    }
    Ok(())
}

/// The images that belong to the set: those of its splits if it has any from a data.yaml, else all.
pub fn images_of<'a>(folder: &'a Folder, labels: &Labels) -> Vec<&'a FileEntry> {
    let members: BTreeSet<&str> = labels.splits.values().flatten().map(String::as_str).collect();
    match members.is_empty() {
        true => folder.images().collect(),
        false => folder.images().filter(|e| members.contains(e.name.as_str())).collect(),
    }
}

fn by_yaml(folder: &Folder, name: &str, yaml: &DataYaml, labels: &mut Labels) -> Result<(), DataError> {
    for (split, entries) in &yaml.splits {
        for entry in entries {
            let mut found: Vec<String> = Vec::new();
            let mut missing = Vec::new();
            match yaml.resolve(folder, parent(name), entry) {
                Some(Resolved::Folder(sub)) => {
                    let inside = folder.under(&sub).iter().filter(|e| super::super::paths::is_image(&e.name));
                    found.extend(inside.map(|e| e.name.clone()));
                }
                Some(Resolved::List(list)) => {
                    let Some(entry) = folder.entry(&list) else { continue };
                    let text = labels.text(entry, FileFate::List)?;
                    for (at, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                        match image_lists::find(folder, line, &list) {
                            Some(image) => found.push(image.name.clone()),
                            None => missing.push((FilePlace::line(&list, at + 1), format!("{line:?} is not there"))),
                        }
                    }
                }
                None => missing.push((FilePlace::file(name), format!("{split}: {entry:?} leads nowhere"))),
            }
            for (place, detail) in missing {
                let finding = Finding::new(FindingKind::ListedImageMissing, place, FindingAction::Dropped, detail);
                // Exporters write `test:` whether or not there is one.
                let severity = if split == "test" { Severity::Info } else { Severity::Warning };
                labels.findings.add(finding.with_severity(severity));
            }
            if !found.is_empty() {
                labels.splits.entry(split.clone()).or_default().extend(found);
            }
        }
    }
    Ok(())
}

/// `obj.data`: `train = data/train.txt`, paths from where training was to start.
fn by_darknet(folder: &Folder, entry: &FileEntry, labels: &mut Labels) -> Result<(), DataError> {
    let text = labels.text(entry, FileFate::List)?;
    for (key, value) in text.lines().filter_map(|l| l.split_once('=')) {
        let Some(split) = split_name(key.trim()) else { continue };
        let value = value.trim().replace('\\', "/");
        let list = folder.entry(&value).or_else(|| {
            let beside = super::super::paths::join(parent(&entry.name), file_name(&value));
            folder
                .entry(&beside)
                .or_else(|| folder.with_extension("txt").find(|e| file_name(&e.name) == file_name(&value)))
        });
        let Some(list) = list else {
            let detail = format!("{split}: {value:?} leads nowhere");
            labels.findings.note(
                FindingKind::ListedImageMissing,
                FilePlace::file(&entry.name),
                FindingAction::Dropped,
                detail,
            );
            continue;
        };
        image_lists::read(folder, list, split, labels)?;
        labels.split_source = entry.name.clone();
    }
    Ok(())
}
