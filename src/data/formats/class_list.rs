//! Lists of class names beside labels: `classes.txt`, `obj.names`, `_classes.txt`, `labelmap.txt`, `notes.json`.

use std::collections::HashSet;

use serde_json::Value;

use super::super::account::Fate;
use super::super::annotation::Place;
use super::super::error::DataError;
use super::super::finding::{Action, Kind};
use super::super::folder::{Entry, Folder};
use super::super::labels::Labels;
use super::super::paths::{extension_of, file_name, parent};

/// True if a category of this name means that nothing is there.
pub fn is_background(name: &str) -> bool {
    matches!(name.trim_matches('_').to_ascii_lowercase().as_str(), "background" | "bg" | "backgroud")
}

fn is_list(entry: &Entry) -> bool {
    let name = file_name(&entry.name).to_ascii_lowercase();
    let known = ["classes.txt", "labels.txt", "names.txt", "_classes.txt", "labelmap.txt", "class_names.txt"];
    known.contains(&name.as_str()) || extension_of(&name) == "names"
}

/// The class names of formats that number them, in order. Lists in several folders must agree number by number; one
/// may go on where another ends.
///
/// # Errors
/// If a list cannot be read.
pub fn numbered(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let lists: Vec<&Entry> = folder.entries().iter().filter(|e| is_list(e)).collect();
    let mut names: Option<(String, Vec<String>)> = None;
    for entry in lists {
        let found =
            lines(&labels.text(entry, Fate::List)?, file_name(&entry.name).eq_ignore_ascii_case("labelmap.txt"));
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
                        Kind::ClassListsDisagree,
                        Place::line(&entry.name, at + 1),
                        Action::Kept,
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

fn lines(text: &str, is_map: bool) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|l| !(l.is_empty() || is_map && l.starts_with('#')));
    // CVAT's map has `name:r,g,b:parts:actions`.
    lines.map(|l| if is_map { l.split(':').next().unwrap_or(l) } else { l }.to_string()).collect()
}

/// Label Studio's `notes.json`, for exports whose `classes.txt` was lost.
fn from_notes(folder: &Folder, labels: &mut Labels) -> Result<Option<Vec<String>>, DataError> {
    let Some(entry) = folder.with_extension("json").find(|e| file_name(&e.name) == "notes.json") else {
        return Ok(None);
    };
    let notes: Value = serde_json::from_str(&labels.text(entry, Fate::List)?).unwrap_or_default();
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
    let is_top = |e: &&Entry| parent(&e.name).split('/').filter(|p| !p.is_empty()).count() <= 1;
    let lists = folder
        .with_extension("txt")
        .filter(is_top)
        .find(|e| matches!(file_name(&e.name), "labels.txt" | "labelmap.txt" | "classes.txt"));
    let Some(entry) = lists else { return Ok(None) };
    let is_map = file_name(&entry.name) == "labelmap.txt";
    let mut seen = HashSet::new();
    let names = lines(&labels.text(entry, Fate::List)?, is_map).into_iter().filter(|n| !is_background(n));
    let classes: Vec<String> = names.filter(|n| seen.insert(n.clone())).collect();
    Ok(Some(classes).filter(|c| !c.is_empty()))
}
