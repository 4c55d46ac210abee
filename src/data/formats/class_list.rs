//! Lists of class names beside labels: `classes.txt`, `obj.names`, `_classes.txt`, `labelmap.txt`, `classes.json`,
//! `notes.json`. Lines may carry their number before them (`0: cat`), and one line may hold all names.

use std::collections::HashSet;

use serde_json::Value;

use super::super::account::FileFate;
use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::paths::{extension_of, file_name, is_image, parent};

/// True if a category of this name means that nothing is there.
pub fn is_background(name: &str) -> bool {
    matches!(name.trim_matches('_').to_ascii_lowercase().as_str(), "background" | "bg" | "backgroud")
}

/// Names of files that list classes, in lower case.
const KNOWN: [&str; 13] = [
    "classes.txt",
    "labels.txt",
    "names.txt",
    "_classes.txt",
    "labelmap.txt",
    "label_map.txt",
    "class_names.txt",
    "class_list.txt",
    "classnames.txt",
    "classlist.txt",
    "predefined_classes.txt",
    "classes.json",
    "_darknet.labels",
];

fn is_list(entry: &FileEntry) -> bool {
    is_list_name(&entry.name)
}

/// True if the name is that of a list of classes, which stands beside labels often enough.
pub fn is_list_name(name: &str) -> bool {
    let name = file_name(name).to_ascii_lowercase();
    KNOWN.contains(&name.as_str()) || extension_of(&name) == "names"
}

/// The class names of formats that number them, in order. Lists in several folders must agree number by number; one
/// may go on where another ends.
///
/// # Errors
/// If a list cannot be read.
pub fn numbered(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let lists: Vec<&FileEntry> = folder.entries().iter().filter(|e| is_list(e)).collect();
    let mut names: Option<(String, Vec<String>)> = None;
    for entry in lists {
        let found = names_in(entry, labels)?;
        if found.is_empty() {
            continue;
        }
        match &mut names {
            None => names = Some((entry.name.clone(), found)),
            Some((first, names)) => {
                if let Some(at) = names.iter().zip(&found).position(|(a, b)| a != b) {
                    let (a, b) = (&names[at], &found[at]);
                    let detail =
                        format!("number {at} is {a:?} in {first} and {b:?} here; the first list is used for all");
                    labels.findings.note(
                        FindingKind::ClassListsDisagree,
                        FilePlace::line(&entry.name, at + 1),
                        FindingAction::Kept,
                        detail,
                    );
                } else if found.len() > names.len() {
                    *names = found;
                }
            }
        }
    }
    match names {
        Some((_, names)) => Ok(Some(names)),
        None => from_notes(folder, labels),
    }
}

/// The names in one list.
pub fn names_in(entry: &FileEntry, labels: &mut Labels) -> Result<Vec<String>, DataError> {
    let text = labels.text(entry, FileFate::List)?;
    if extension_of(&entry.name).eq_ignore_ascii_case("json") {
        return Ok(serde_json::from_str(&text).unwrap_or_default());
    }
    Ok(lines(&text, file_name(&entry.name).eq_ignore_ascii_case("labelmap.txt")))
}

fn lines(text: &str, is_map: bool) -> Vec<String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|l| !(l.is_empty() || is_map && l.starts_with('#'))).collect();
    if is_map {
        // CVAT's map has `name:r,g,b:parts:actions`.
        return lines.iter().map(|l| l.split(':').next().unwrap_or(l).to_string()).collect();
    }
    let names = match lines.as_slice() {
        [one] if one.contains(',') => in_one_line(one),
        many => without_numbers(many),
    };
    names.iter().map(|name| without_quotes(name).to_string()).collect()
}

/// `cat, dog` or `['cat', 'dog']` in one line.
pub fn in_one_line(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('[').trim_end_matches(']');
    let names = inner.split(',').map(|name| without_quotes(name).to_string());
    names.filter(|name| !name.is_empty()).collect()
}

/// Names without the numbers before them, where these count from 0 or from 1 in every line: `0 cat`, `1: dog`.
fn without_numbers(lines: &[&str]) -> Vec<String> {
    let parts = |line: &&str| {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let rest = line[digits..].trim_start_matches([':', ',', ';', '=', '\t', ' ', '.', ')']);
        let divided = digits > 0 && rest.len() < line.len() - digits && !rest.is_empty();
        divided.then(|| Some((line[..digits].parse::<usize>().ok()?, rest.trim().to_string())))?
    };
    let numbered: Option<Vec<(usize, String)>> = lines.iter().map(parts).collect();
    match numbered {
        Some(all) if all.len() > 1 && all.iter().zip(all[0].0..).all(|((n, _), i)| *n == i) && all[0].0 < 2 => {
            all.into_iter().map(|(_, name)| name).collect()
        }
        _ => lines.iter().map(|l| l.to_string()).collect(),
    }
}

fn without_quotes(name: &str) -> &str {
    let name = name.trim();
    let inner = ['\'', '"'].iter().find_map(|q| name.strip_prefix(*q)?.strip_suffix(*q));
    inner.map_or(name, str::trim)
}

/// Compares a data.yaml with the lists of class names beside it: labels may have been drawn with either.
///
/// # Errors
/// If a list cannot be read.
pub fn compare(folder: &Folder, yaml: &str, names: &[String], labels: &mut Labels) -> Result<(), DataError> {
    // The list of a model somewhere in the project is about other labels.
    let speaks_of_labels = |e: &FileEntry| {
        let dir = parent(&e.name);
        let beside = folder.under(dir).iter().filter(|o| o.id != e.id && parent(&o.name) == dir && !is_list(o));
        let mut labelled = beside.filter(|o| is_image(&o.name) || extension_of(&o.name).eq_ignore_ascii_case("txt"));
        dir == parent(yaml) || labelled.next().is_some()
    };
    let lists: Vec<&FileEntry> = folder.entries().iter().filter(|e| is_list(e) && speaks_of_labels(e)).collect();
    for entry in lists {
        let found = names_in(entry, labels)?;
        let Some(at) = names.iter().zip(&found).position(|(a, b)| a != b) else { continue };
        let (a, b) = (&names[at], &found[at]);
        let detail = format!("number {at} is {a:?} in {yaml} and {b:?} here; those of {yaml} are used");
        labels.findings.note(
            FindingKind::ClassListsDisagree,
            FilePlace::line(&entry.name, at + 1),
            FindingAction::Kept,
            detail,
        );
    }
    Ok(())
}

/// Label Studio's `notes.json`, for exports whose `classes.txt` was lost.
fn from_notes(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let Some(entry) = folder.with_extension("json").find(|e| file_name(&e.name) == "notes.json") else {
        return Ok(None);
    };
    let notes: Value = serde_json::from_str(&labels.text(entry, FileFate::List)?).unwrap_or_default();
    let name = |c: &Value| Some((c["id"].as_u64()?, c["name"].as_str()?.to_string()));
    let mut names: Vec<(u64, String)> = notes["categories"].as_array().into_iter().flatten().filter_map(name).collect();
    names.sort();
    let complete = names.iter().zip(0..).all(|((id, _), i)| *id == i);
    Ok((complete && !names.is_empty()).then(|| names.into_iter().map(|(_, name)| name).collect()))
}

/// The class names of formats that write names, from a list at the top of the set: without background, each once.
///
/// # Errors
/// If a list cannot be read.
pub fn named(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let is_top = |e: &&FileEntry| parent(&e.name).split('/').filter(|p| !p.is_empty()).count() <= 1;
    let lists = folder
        .with_extension("txt")
        .filter(is_top)
        .find(|e| matches!(file_name(&e.name), "labels.txt" | "labelmap.txt" | "classes.txt"));
    let Some(entry) = lists else { return Ok(None) };
    let is_map = file_name(&entry.name) == "labelmap.txt";
    let mut seen = HashSet::new();
    let names = lines(&labels.text(entry, FileFate::List)?, is_map).into_iter().filter(|n| !is_background(n));
    let classes: Vec<String> = names.filter(|n| seen.insert(n.clone())).collect();
    Ok(Some(classes).filter(|c| !c.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_many_hands_have_the_same_names() {
        for text in [
            "cat\ndog house\n",
            "0 cat\n1 dog house\n",
            "1: cat\n2: dog house\n",
            "'cat'\n\"dog house\"\n",
            "cat, dog house",
            "['cat', 'dog house']",
        ] {
            assert_eq!(lines(text, false), ["cat", "dog house"], "{text:?}");
        }
        // Names that begin with a number keep it, and a single name is one.
        assert_eq!(lines("10 ohm\n100 ohm\n", false), ["10 ohm", "100 ohm"]);
        assert_eq!(lines("7up\n", false), ["7up"]);
        assert_eq!(lines("# a\ncat:1,2,3::\n", true), ["cat"]);
    }
}
