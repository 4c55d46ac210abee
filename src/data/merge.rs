//! Several data sets as one: joined by the names of their classes and splits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::account::Fates;
use super::error::DataError;
use super::findings::Findings;
use super::roles::split_name;
use super::source::DataSet;
use super::split::SplitList;

/// Opens all of `paths` as one set; one path alone is that set itself.
///
/// Classes of one name are one class, in the order in which they come. Sources and places begin with the folder's name
/// of their set. Splits of one role are joined; a set without splits next to one with them is left to be held back from
/// as a whole, so its photos join the training split.
///
/// # Errors
/// If there is no path, or one of them cannot be opened.
pub fn open_all(paths: &[PathBuf]) -> Result<DataSet, DataError> {
    let sets: Vec<DataSet> = paths.iter().map(|p| DataSet::open(p)).collect::<Result<_, _>>()?;
    let mut names = HashSet::new();
    let mut parts: Vec<(String, DataSet)> = Vec::new();
    for (path, set) in paths.iter().zip(sets) {
        let name = name_of(path);
        let mut unique = name.clone();
        let mut number = 2;
        while !names.insert(unique.clone()) {
            unique = format!("{name}-{number}");
            number += 1;
        }
        parts.push((unique, set));
    }
    match parts.len() {
        0 => Err(DataError::Source {
            file: PathBuf::new(),
            found: "no data set".into(),
            expected: "a folder of labelled photos".into(),
            help: "name the folder that holds images and labels".into(),
        }),
        1 => Ok(parts.remove(0).1),
        _ => Ok(merged(parts)),
    }
}

fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.into());
    full.file_stem().map_or("set".into(), |n| n.to_string_lossy().into_owned())
}

fn merged(mut parts: Vec<(String, DataSet)>) -> DataSet {
    let any_splits = parts.iter().any(|(_, s)| !s.splits.is_empty());
    let mut classes: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    let mut findings = Findings::default();
    let mut splits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut annotations, mut files, mut fates, mut sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut labels, mut lost_boxes) = (super::account::LabelCount::default(), 0);
    let (root, format) = (parts[0].1.root.clone(), parts[0].1.format);
    for (name, set) in &mut parts {
        let own = |file: &str| if file.is_empty() { name.clone() } else { format!("{name}/{file}") };
        classes.extend(set.classes.iter().filter(|c| known.insert((*c).clone())).cloned());
        findings.append(std::mem::take(&mut set.findings).within(name));
        for split in &set.splits {
            // `valid` of one set and `val` of another are one.
            let role = split_name(&split.name).map_or_else(|| split.name.clone(), str::to_string);
            splits.entry(role).or_default().extend(split.members.iter().map(|&i| own(&set.annotations[i].source)));
        }
        if set.splits.is_empty() && any_splits {
            splits.entry("train".into()).or_default().extend(set.annotations.iter().map(|a| own(&a.source)));
        }
        sources.push(format!("{name}: {}", if set.splits.is_empty() { "none" } else { &set.split_source }));
        for mut annotation in set.annotations.drain(..) {
            annotation.source = own(&annotation.source);
            annotation.place.file = own(&annotation.place.file);
            annotation.objects.iter_mut().for_each(|o| o.place.file = own(&o.place.file));
            annotations.push(annotation);
        }
        files.append(&mut set.files);
        fates.push((name.clone(), std::mem::take(&mut set.fates)));
        labels.used += set.labels.used;
        labels.orphaned += set.labels.orphaned;
        labels.malformed += set.labels.malformed;
        lost_boxes += set.lost_boxes;
    }
    annotations.sort_by(|a, b| a.source.cmp(&b.source));
    let index: HashMap<&str, usize> = annotations.iter().enumerate().map(|(i, a)| (a.source.as_str(), i)).collect();
    let list = |(name, members): (String, Vec<String>)| {
        let mut members: Vec<usize> = members.iter().filter_map(|s| index.get(s.as_str()).copied()).collect();
        members.sort_unstable();
        members.dedup();
        SplitList { name, members }
    };
    let splits: Vec<SplitList> = splits.into_iter().map(list).filter(|s| !s.members.is_empty()).collect();
    let split_source = if any_splits { sources.join("; ") } else { String::new() };
    let fates = Fates::merged(fates);
    DataSet { root, format, classes, splits, split_source, annotations, findings, fates, labels, lost_boxes, files }
}
