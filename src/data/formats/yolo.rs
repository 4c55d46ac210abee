//! YOLO: one text file per image, one line `class x y w h` per object, centre and size in fractions of the image.
//!
//! A line with more corners is a polygon (or a rotated box) and becomes its bounding box; with `kpt_shape` in the
//! data.yaml it is a box with key points. An image with an empty text file is a background. An image without one is a
//! background where such images are few, as the format has it; where they are many, it was not labelled yet.

use std::collections::{BTreeMap, HashSet};

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::box_form::WrittenBox;
use super::super::error::DataError;
use super::super::finding::{Finding, FindingAction, FindingKind};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::masks;
use super::super::matcher::PhotoMatch;
use super::super::paths::{parent, stem};
use super::class_list;
use super::data_yaml::DataYaml;
use super::text_pairs::TextPairs;
use super::yolo_line::{self, Behind, YoloShape};
use super::yolo_splits::{given_splits, images_of};

/// Images without text file up to this share are backgrounds.
const FEW: f64 = 0.1;
/// A class number without name above so many times the number of classes is a slip.
const SPREAD: usize = 10;
/// Numbers below this are never a slip.
const LOW: usize = 100;

/// Reads the images that `yaml` leads to, or all images if there is none and their labels lie beside them.
///
/// # Errors
/// If a file that was just listed cannot be read; a line that makes no sense is a finding.
pub fn read(folder: &Folder, yaml: Option<(&str, &DataYaml)>) -> Result<Labels, DataError> {
    let mut labels = Labels { written: WrittenBox::Centre, ..Labels::default() };
    given_splits(folder, yaml, &mut labels)?;
    let names = match yaml {
        Some((name, yaml)) => {
            labels.fates.push((name.to_string(), FileFate::List));
            let names = yaml.names_from(folder, parent(name), &mut labels)?;
            class_list::compare(folder, name, &names, &mut labels)?;
            Some(names)
        }
        None => class_list::numbered(folder, &mut labels)?,
    };
    let pairs = TextPairs::of(folder, &|e| looks_like_labels(e));
    let images: Vec<&FileEntry> = images_of(folder, &labels);
    let behind = match yaml.and_then(|(_, y)| y.key_points) {
        Some((count, numbers)) => Behind::KeyPoints { count, numbers },
        None => behind_of_set(&images, &pairs)?,
    };
    let masks = masks::beside(folder, &|e| pairs.get(e).is_some());
    let mut without = Vec::new();
    let (mut polygons, mut predicted, mut classes) = (0, 0, BTreeMap::new());
    for image in images {
        let Some(text_file) = pairs.get(image) else {
            without.extend((!masks.contains_key(parent(&image.name))).then_some(image));
            continue;
        };
        let text = labels.text(text_file, FileFate::Labels)?;
        let mut annotation = Annotation::new(image, Units::Fractions, FilePlace::file(&text_file.name));
        for (line, content) in text.lines().enumerate().filter(|(_, l)| !yolo_line::is_blank(l)) {
            let place = FilePlace::line(&text_file.name, line + 1);
            match yolo_line::read(content, behind) {
                Ok((class, corners, shape)) => {
                    polygons += usize::from(shape == YoloShape::Polygon);
                    predicted += usize::from(shape == YoloShape::Predicted);
                    *classes.entry(class).or_insert(0) += 1;
                    annotation.objects.push(RawObject::new(class_name(names.as_deref(), class), corners, place));
                }
                Err(fault) => labels.lost(place, fault),
            }
        }
        labels.found(annotation);
    }
    leave_others_out(folder, &pairs, &mut labels);
    settle_unlabelled(&without, pairs.len(), &mut labels);
    report_orphans(&pairs, &mut labels);
    report_names(yaml, names.is_some(), &mut labels);
    if polygons > 0 {
        let detail = format!("{polygons} of the objects are polygons; their bounding boxes are used");
        let place = FilePlace::file(yaml.map_or("", |(name, _)| name));
        labels.findings.note(FindingKind::PolygonLabels, place, FindingAction::Repaired, detail);
    }
    if predicted > 0 {
        let detail =
            format!("{predicted} of the objects carry a confidence: a model predicted them; each is used as it is");
        labels.findings.note(FindingKind::PredictedLabels, FilePlace::file(""), FindingAction::Kept, detail);
    }
    labels.findings.extend(names.as_ref().and_then(|names| counted_from_one(names.len(), &classes)));
    labels.classes = Some(names.unwrap_or_else(|| numbers_as_names(&classes)));
    Ok(labels)
}

fn class_name(names: Option<&[String]>, class: usize) -> String {
    match names {
        Some(names) => names.get(class).cloned().unwrap_or_else(|| {
            let range = format!("0..={}", names.len().saturating_sub(1));
            format!("class id {class}, outside {range}")
        }),
        None => format!("class {class}"),
    }
}

/// Numbers from 1 to the number of names, where they should count from 0: one reading takes all names wrong.
fn counted_from_one(names: usize, classes: &BTreeMap<usize, usize>) -> Option<Finding> {
    let (first, last) = (classes.keys().next()?, classes.keys().next_back()?);
    (*first == 1 && *last == names).then(|| {
        let detail = format!(
            "class numbers run from 1 to {names}, names from 0 to {}: either the numbers count from 1, or the list lacks its \
             first name",
            names - 1
        );
        Finding::new(FindingKind::ClassListsDisagree, FilePlace::file(""), FindingAction::Kept, detail)
    })
}

/// Names for numbers without a list: up to the largest number that is no slip. One typing error must not make ten
/// thousand classes.
fn numbers_as_names(classes: &BTreeMap<usize, usize>) -> Vec<String> {
    let distinct = classes.len();
    let largest = classes.keys().rev().find(|c| **c < LOW.max(SPREAD * distinct));
    (0..largest.map_or(0, |c| c + 1)).map(|c| format!("class {c}")).collect()
}

/// True if a text file reads like YOLO labels.
pub fn looks_like_labels(entry: &FileEntry) -> bool {
    let Ok(text) = entry.text("read the labels") else { return false };
    let mut lines = text.text.lines().filter(|l| !yolo_line::is_blank(l)).take(5).peekable();
    lines.peek().is_some() && lines.all(|l| yolo_line::read(l, Behind::BoxOrPolygon).is_ok() || is_pose(l))
}

fn is_pose(line: &str) -> bool {
    line.split_whitespace().count() > 7 && line.split_whitespace().all(|w| w.parse::<f64>().is_ok())
}

/// True if any image has a text file that reads like YOLO labels: how a set without data.yaml is recognised.
pub fn is_one(folder: &Folder) -> bool {
    let pairs = TextPairs::of(folder, &|_| false);
    folder
        .images()
        .filter_map(|i| pairs.get(i))
        .filter(|e| e.stored.is_empty().is_ok_and(|empty| !empty))
        .take(20)
        .any(looks_like_labels)
}

/// Key points are told from polygons over the first lines of many files together.
fn behind_of_set(images: &[&FileEntry], pairs: &TextPairs) -> Result<Behind, DataError> {
    let mut texts = Vec::new();
    for entry in images.iter().filter_map(|i| pairs.get(i)).take(50) {
        texts.push(entry.text("read the labels")?.text);
    }
    let lines: Vec<&str> = texts.iter().flat_map(|t| t.lines()).filter(|l| !yolo_line::is_blank(l)).collect();
    Ok(yolo_line::behind_of(&lines))
}

/// Images without text file: a few are backgrounds, many were not labelled.
fn settle_unlabelled(without: &[&FileEntry], with: usize, labels: &mut Labels) {
    let all = without.len() + labels.annotations.len();
    if without.is_empty() || with == 0 {
        return;
    }
    let few = without.len() as f64 <= FEW * all as f64;
    let (action, verdict) = match few {
        true => (FindingAction::Kept, "they count as backgrounds, as the format has it"),
        false => (FindingAction::Dropped, "they are left out; give an image without objects an empty file"),
    };
    let detail =
        format!("{} of {all} photos have no label file, {:?} first; {verdict}", without.len(), without[0].name);
    labels.findings.note(FindingKind::ImageWithoutLabels, FilePlace::file(""), action, detail);
    if few {
        let background = |image: &&FileEntry| Annotation::new(image, Units::Fractions, FilePlace::file(&image.name));
        labels.annotations.extend(without.iter().map(background));
    }
}

/// Labelled photos that the splits of the set do not name.
fn leave_others_out(folder: &Folder, pairs: &TextPairs, labels: &mut Labels) {
    let members: HashSet<&str> = labels.splits.values().flatten().map(String::as_str).collect();
    if members.is_empty() {
        return;
    }
    let others = folder.images().filter(|e| !members.contains(e.name.as_str()));
    let labelled: Vec<(&FileEntry, &FileEntry)> = others.filter_map(|image| Some((image, pairs.get(image)?))).collect();
    for (image, text) in &labelled {
        labels.fates.push((image.name.clone(), FileFate::InNoSplit));
        labels.fates.push((text.name.clone(), FileFate::PassedOver));
    }
    if let Some((image, _)) = labelled.first() {
        let detail =
            format!("{} labelled photos, {:?} first, are in none of the given splits", labelled.len(), image.name);
        labels.findings.note(FindingKind::ImageInNoSplit, FilePlace::file(""), FindingAction::Dropped, detail);
    }
}

fn report_orphans(pairs: &TextPairs, labels: &mut Labels) {
    for (entry, found) in &pairs.orphans {
        labels.fates.push((entry.name.clone(), FileFate::Orphan));
        match found {
            PhotoMatch::None => {
                labels.count.orphaned += 1;
                let place = FilePlace::file(&entry.name);
                labels.findings.note(
                    FindingKind::LabelWithoutImage,
                    place,
                    FindingAction::Dropped,
                    "no image of that name",
                );
            }
            other => labels.orphan(FilePlace::file(&entry.name), stem(&entry.name), *other),
        }
    }
    for (entry, image) in &pairs.repeated {
        labels.fates.push((entry.name.clone(), FileFate::Orphan));
        labels.repeated(FilePlace::file(&entry.name), &image.name);
    }
}

fn report_names(yaml: Option<(&str, &DataYaml)>, listed: bool, labels: &mut Labels) {
    let fault = match yaml {
        Some((name, yaml)) => yaml.names_fault.clone().map(|fault| (FilePlace::file(name), fault)),
        None if listed => None,
        None => {
            let fault = "no data.yaml and no classes.txt; the classes are called by their numbers".to_string();
            Some((FilePlace::file(""), fault))
        }
    };
    labels
        .findings
        .extend(fault.map(|(place, detail)| Finding::new(FindingKind::ClassNames, place, FindingAction::Kept, detail)));
}
