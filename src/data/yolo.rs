//! YOLO: one text file per image, one line `class x y w h` per object, centre and size in fractions of the image.
//!
//! A line with more corners is a polygon (or a rotated box) and becomes its bounding box. An image without a text
//! file, or with an empty one, is a background: that is the format's way to say so.

use std::collections::BTreeSet;
use std::fs;

use super::annotation::{Annotation, Place, RawObject, Units};
use super::data_yaml::{DataYaml, Resolved};
use super::error::DataError;
use super::finding::{Action, Finding, Kind, Severity};
use super::folder::{Entry, Folder, extension_of, file_name, join, parent, split_of, stem};
use super::labels::Labels;

/// Reads the images that `yaml` leads to, or all images if there is none and their labels lie beside them.
///
/// # Errors
/// If a file that was just listed cannot be read; a line that makes no sense is a finding.
pub fn read(folder: &Folder, yaml: Option<(&str, &DataYaml)>) -> Result<Labels, DataError> {
    let mut labels = Labels::default();
    let images = match yaml {
        Some((name, yaml)) if !yaml.splits.is_empty() => split_images(folder, name, yaml, &mut labels)?,
        _ => folder.images().collect(),
    };
    let no_splits = labels.splits.is_empty();
    let mut polygons = 0;
    let mut largest_class = None;
    let mut read_names = Vec::new();
    let listed = match yaml {
        Some((_, yaml)) => Some(yaml.names.clone()),
        None => read_names_file(folder)?,
    };
    for image in images {
        if let Some(split) = split_of(&image.name).filter(|_| no_splits) {
            labels.add_to_split(split, &image.name);
        }
        let mut annotation = Annotation {
            path: image.path.clone(),
            source: image.name.clone(),
            declared_size: None,
            units: Units::Fractions,
            objects: Vec::new(),
            place: Place::file(&image.name),
        };
        if let Some(text_file) = label_of(folder, &image.name) {
            read_names.push(text_file.name.clone());
            labels.files.push(text_file.path.clone());
            annotation.place = Place::file(&text_file.name);
            let bytes = fs::read(&text_file.path).map_err(DataError::io(&text_file.path, "read the labels"))?;
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}');
            for (line, content) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                let place = Place::line(&text_file.name, line + 1);
                match read_line(content) {
                    Ok((class, corners, is_polygon)) => {
                        polygons += usize::from(is_polygon);
                        largest_class = largest_class.max(Some(class));
                        annotation.objects.push(RawObject {
                            class: class_name(listed.as_deref(), class),
                            corners,
                            difficult: false,
                            crowd: false,
                            area: None,
                            place,
                        });
                    }
                    Err(fault) => {
                        labels.findings.push(Finding::new(Kind::MalformedLabel, place, Action::Dropped, fault));
                    }
                }
            }
        }
        labels.annotations.push(annotation);
    }
    report_names(yaml, listed.as_deref(), &mut labels);
    if polygons > 0 {
        let detail = format!("{polygons} of the objects are polygons; their bounding boxes are used");
        let place = Place::file(yaml.map_or("", |(name, _)| name));
        labels.findings.push(Finding::new(Kind::PolygonLabels, place, Action::Repaired, detail));
    }
    report_orphans(folder, &mut labels);
    labels.classes = Some(match listed {
        Some(names) => names,
        None => (0..largest_class.map_or(0, |c| c + 1)).map(|c| format!("class {c}")).collect(),
    });
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

/// Class, corners in fractions, and whether the line is a polygon.
fn read_line(line: &str) -> Result<(usize, [f64; 4], bool), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let numbers: Result<Vec<f64>, &str> =
        words.iter().map(|w| w.parse::<f64>().ok().filter(|n| n.is_finite()).ok_or(*w)).collect();
    let numbers = numbers.map_err(|word| format!("{word:?} is not a number"))?;
    let [class, rest @ ..] = numbers.as_slice() else { return Err("an empty line".into()) };
    if class.fract() != 0.0 || !(0.0..10_000.0).contains(class) {
        return Err(format!("class {class}, expected a whole number from 0"));
    }
    let (corners, is_polygon) = match rest {
        [x, y, w, h] => ([x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0], false),
        points if points.len() >= 6 && points.len() % 2 == 0 => {
            let mut corners = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
            for point in points.chunks_exact(2) {
                corners = [
                    corners[0].min(point[0]),
                    corners[1].min(point[1]),
                    corners[2].max(point[0]),
                    corners[3].max(point[1]),
                ];
            }
            (corners, true)
        }
        _ => {
            let found = numbers.len();
            return Err(format!("{found} numbers, expected 5 (class x y w h) or a class and at least 3 points"));
        }
    };
    Ok((*class as usize, corners, is_polygon))
}

/// The images of every split, each once, and the splits themselves.
fn split_images<'a>(
    folder: &'a Folder,
    name: &str,
    yaml: &DataYaml,
    labels: &mut Labels,
) -> Result<Vec<&'a Entry>, DataError> {
    let mut all = BTreeSet::new();
    for (split, entries) in &yaml.splits {
        for entry in entries {
            let mut missing = |detail: String| {
                let finding = Finding::new(Kind::ListedImageMissing, Place::file(name), Action::Dropped, detail);
                // Exporters write `test:` whether or not there is one.
                let severity = if split == "test" { Severity::Info } else { Severity::Warning };
                labels.findings.push(finding.with_severity(severity));
            };
            let mut found: Vec<&Entry> = Vec::new();
            match yaml.resolve(folder, parent(name), entry) {
                Some(Resolved::Folder(sub)) => {
                    let prefix = if sub.is_empty() { sub } else { sub + "/" };
                    found.extend(folder.images().filter(|e| e.name.starts_with(&prefix)));
                }
                Some(Resolved::List(list)) => {
                    let path = folder.root.join(&list);
                    let bytes = fs::read(&path).map_err(DataError::io(&path, "read the image list"))?;
                    labels.files.push(path);
                    for line in String::from_utf8_lossy(&bytes).lines().map(str::trim).filter(|l| !l.is_empty()) {
                        match folder.find_image(line, &list) {
                            Some(image) => found.push(image),
                            None => missing(format!("{list} names {line:?}, which is not there")),
                        }
                    }
                }
                None => missing(format!("{split}: {entry:?} leads nowhere")),
            }
            if found.is_empty() {
                continue;
            }
            for image in found {
                labels.splits.entry(split.clone()).or_default().insert(image.name.clone());
                all.insert(image);
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// The text file of an image: `images` exchanged for `labels` in its path, or beside it.
fn label_of<'a>(folder: &'a Folder, image: &str) -> Option<&'a Entry> {
    let text_name = |dir: &str| join(dir, &format!("{}.txt", stem(image)));
    let dir = parent(image);
    let parts: Vec<&str> = dir.split('/').collect();
    let swapped = parts.iter().rposition(|p| p.eq_ignore_ascii_case("images")).map(|i| {
        let mut parts = parts.clone();
        parts[i] = "labels";
        parts.join("/")
    });
    let beside = Some(dir.to_string());
    let below = Some(join(dir, "labels"));
    let mirrored = Some(join("labels", dir));
    let places = [swapped, beside, below, mirrored];
    places.into_iter().flatten().find_map(|dir| folder.entry(&text_name(&dir)))
}

/// Whether any image has a text file that reads like YOLO labels: how a set without data.yaml is recognised.
pub fn looks_like_yolo(folder: &Folder) -> bool {
    folder.images().filter_map(|image| label_of(folder, &image.name)).take(20).any(|entry| {
        let text = fs::read(&entry.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().find(|l| !l.trim().is_empty()).is_some_and(|l| read_line(l).is_ok())
    })
}

/// `classes.txt`, `obj.names` and the like: one name per line.
fn read_names_file(folder: &Folder) -> Result<Option<Vec<String>>, DataError> {
    let is_names = |e: &&Entry| {
        matches!(file_name(&e.name), "classes.txt" | "labels.txt" | "names.txt") || extension_of(&e.name) == "names"
    };
    let found = folder.with_extension("txt").chain(folder.with_extension("names")).find(is_names);
    let Some(entry) = found else { return Ok(None) };
    let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the class names"))?;
    let text = String::from_utf8_lossy(&bytes);
    let names: Vec<String> = text.lines().map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect();
    Ok(Some(names).filter(|n| !n.is_empty()))
}

fn report_names(yaml: Option<(&str, &DataYaml)>, listed: Option<&[String]>, labels: &mut Labels) {
    let fault = match (yaml, listed) {
        (Some((name, yaml)), _) => yaml.names_fault.clone().map(|fault| (Place::file(name), fault)),
        (None, None) => {
            let fault = "no data.yaml and no classes.txt; the classes are called by their numbers".to_string();
            Some((Place::file(""), fault))
        }
        (None, Some(_)) => None,
    };
    labels.findings.extend(fault.map(|(place, detail)| Finding::new(Kind::ClassNames, place, Action::Kept, detail)));
}

/// Text files in a `labels` folder that no image of the whole set belongs to.
fn report_orphans(folder: &Folder, labels: &mut Labels) {
    let owned: BTreeSet<&str> =
        folder.images().filter_map(|i| label_of(folder, &i.name)).map(|e| e.name.as_str()).collect();
    let in_labels = |e: &&Entry| parent(&e.name).split('/').any(|p| p.eq_ignore_ascii_case("labels"));
    for entry in folder.with_extension("txt").filter(in_labels) {
        if !owned.contains(entry.name.as_str()) && file_name(&entry.name) != "classes.txt" {
            let detail = "no image of that name".to_string();
            let place = Place::file(&entry.name);
            labels.findings.push(Finding::new(Kind::LabelWithoutImage, place, Action::Dropped, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Labels {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            fs::write(path, text).expect("writes");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let path = dir.path().join("data.yaml");
        let yaml = path.exists().then(|| DataYaml::read(&path).expect("reads").expect("has names"));
        read(&folder, yaml.as_ref().map(|y| ("data.yaml", y))).expect("reads")
    }

    const YAML: &str =
        "path: /content/set\ntrain: images/train\nval: images/val\ntest: images/test\nnames: {0: cat, 1: dog}";

    #[test]
    fn boxes_polygons_and_backgrounds() {
        let labels = read_files(&[
            ("data.yaml", YAML),
            ("images/train/a.jpg", ""),
            ("labels/train/a.txt", "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.5 0.1 0.3 0.9\n"),
            ("images/train/empty.JPG", ""),
            ("labels/train/empty.txt", ""),
            ("images/val/none.png", ""),
        ]);
        let kinds: Vec<_> = labels.findings.iter().map(|f| f.kind).collect();
        assert_eq!(kinds, [Kind::ListedImageMissing, Kind::PolygonLabels]);
        let [a, empty, none] = labels.annotations.as_slice() else { panic!("{:?}", labels.annotations) };
        assert_eq!((a.objects[0].class.as_str(), a.objects[0].corners), ("dog", [0.4, 0.3, 0.6, 0.7]));
        assert_eq!((a.objects[1].class.as_str(), a.objects[1].corners), ("cat", [0.1, 0.1, 0.5, 0.9]));
        assert_eq!((empty.objects.len(), none.objects.len()), (0, 0));
        assert_eq!(labels.splits["train"].len(), 2);
        assert_eq!(labels.splits["val"].len(), 1);
    }

    #[test]
    fn lines_that_make_no_sense_say_why() {
        for (line, fault) in [
            ("0 0.5 0.5 0.2 0.2 0.9", "6 numbers, expected 5 (class x y w h) or a class and at least 3 points"),
            ("0 0.5 0.5", "3 numbers, expected 5"),
            ("cat 0.5 0.5 0.2 0.2", "\"cat\" is not a number"),
            ("0 0.5 nan 0.2 0.2", "\"nan\" is not a number"),
            ("-1 0.5 0.5 0.2 0.2", "class -1, expected a whole number from 0"),
            ("1.5 0.5 0.5 0.2 0.2", "class 1.5, expected a whole number from 0"),
        ] {
            let found = read_line(line).expect_err(line);
            assert!(found.starts_with(fault), "{line}: {found}");
        }
    }

    #[test]
    fn a_class_outside_the_names_and_a_label_without_image_are_seen() {
        let labels = read_files(&[
            ("data.yaml", "names: [cat]\ntrain: images"),
            ("images/a.jpg", ""),
            ("labels/a.txt", "5 0.5 0.5 0.2 0.2\nx"),
            ("labels/b.txt", "0 0.5 0.5 0.2 0.2"),
        ]);
        assert_eq!(labels.annotations[0].objects[0].class, "class id 5, outside 0..=0");
        let found: Vec<_> = labels.findings.iter().map(|f| (f.kind, f.place.to_string())).collect();
        assert_eq!(
            found,
            [(Kind::MalformedLabel, "labels/a.txt:2".into()), (Kind::LabelWithoutImage, "labels/b.txt".into())]
        );
    }

    #[test]
    fn without_data_yaml_the_names_come_from_classes_txt_or_are_numbers() {
        let a = [("train/a.jpg", ""), ("train/a.txt", "1 0.5 0.5 0.2 0.2")];
        let named = read_files(&[a[0], a[1], ("train/classes.txt", "cat\ndog\n")]);
        assert_eq!(named.annotations[0].objects[0].class, "dog");
        assert!(named.findings.is_empty());
        let numbered = read_files(&a);
        assert_eq!(numbered.classes, Some(vec!["class 0".to_string(), "class 1".into()]));
        assert_eq!(numbered.findings[0].kind, Kind::ClassNames);
    }
}
