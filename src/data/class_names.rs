//! The class names of a set, and whether they can be used.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::annotation::FilePlace;
use super::finding::{FindingAction, FindingKind};
use super::formats::is_background;
use super::labels::Labels;

/// The fifteen names that LabelImg starts with.
const LABELIMG: [&str; 15] = [
    "dog",
    "person",
    "cat",
    "tv",
    "car",
    "meatballs",
    "marinara_sauce",
    "tomato_soup",
    "chicken_noodle_soup",
    "french_onion_soup",
    "chicken_breast",
    "ribs",
    "pulled_pork",
    "hamburger",
    "cavity",
];

/// Settles the classes: listed names, else those that occur. Reports names that cannot be used, and leaves out names
/// at the start of a list that come from LabelImg and label nothing.
pub fn settle(labels: &mut Labels) -> Vec<String> {
    let occurring: BTreeSet<String> =
        labels.annotations.iter().flat_map(|a| &a.objects).map(|o| o.class.clone()).collect();
    let listed = labels.classes.take();
    let mut classes = match listed {
        Some(names) => without_defaults(names, &occurring, labels),
        None => occurring.iter().cloned().collect(),
    };
    report_unusable(&classes, labels);
    report_repeated(&mut classes, labels);
    classes
}

/// LabelImg puts its own fifteen names before the person's.
fn without_defaults(names: Vec<String>, occurring: &BTreeSet<String>, labels: &mut Labels) -> Vec<String> {
    let unused: Vec<&String> = names.iter().filter(|n| !occurring.contains(*n)).collect();
    let defaults = names.len() > LABELIMG.len() && names.iter().zip(LABELIMG).all(|(a, b)| a == b);
    let drop_defaults = defaults && names[..LABELIMG.len()].iter().all(|n| !occurring.contains(n));
    if !unused.is_empty() && !occurring.is_empty() {
        let first: Vec<String> = unused.iter().take(3).map(|n| format!("{n:?}")).collect();
        let verdict = match drop_defaults {
            true => "; LabelImg's fifteen own names are left out",
            false => "",
        };
        let detail = format!(
            "{} of {} names in the list of classes label nothing ({}{}){verdict}",
            unused.len(),
            names.len(),
            first.join(", "),
            if unused.len() > 3 { " ..." } else { "" }
        );
        labels.findings.note(FindingKind::UnusedClassNames, FilePlace::file(""), FindingAction::Kept, detail);
    }
    if drop_defaults { names[LABELIMG.len()..].to_vec() } else { names }
}

fn report_unusable(classes: &[String], labels: &mut Labels) {
    let occurring = labels.annotations.iter().flat_map(|a| &a.objects).map(|o| (o.class.as_str(), &o.place));
    let places: HashMap<&str, FilePlace> = occurring.map(|(class, place)| (class, place.clone())).collect();
    for name in classes {
        let fault = match name.as_str() {
            n if n.trim().is_empty() => "is empty",
            n if n.chars().any(char::is_control) => "has control characters",
            n if is_background(n) => "means the background, which the network has as a class of its own",
            n if n.len() > 200 => "is longer than 200 bytes",
            _ => continue,
        };
        let place = places.get(name.as_str()).cloned().unwrap_or_else(|| FilePlace::file(""));
        labels.findings.note(
            FindingKind::ClassNameUnusable,
            place,
            FindingAction::Kept,
            format!("the class name {name:?} {fault}"),
        );
    }
}

/// One name for two numbers is one class.
fn report_repeated(classes: &mut Vec<String>, labels: &mut Labels) {
    let mut seen = HashSet::new();
    let repeated: BTreeSet<String> = classes.iter().filter(|c| !seen.insert(c.as_str())).cloned().collect();
    for name in &repeated {
        let detail = format!("{name:?} stands twice in the list of classes; both numbers are one class");
        labels.findings.note(FindingKind::ClassNames, FilePlace::file(""), FindingAction::Kept, detail);
    }
    if !repeated.is_empty() {
        let mut first = HashSet::new();
        classes.retain(|c| first.insert(c.clone()));
    }
}
