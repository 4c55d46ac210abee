//! Pascal VOC: one XML per image, in `Annotations/`, `annotations/`, `annots/` or beside the image.
//!
//! Corners are taken as written: whether a tool counted pixels from 0 or from 1 cannot be seen, and one pixel is
//! below the labels' own noise. Read leniently, because hand-made tools write many dialects: only objects that are
//! direct children of the annotation count (`<part>` boxes do not), coordinates may be floats, the size may be missing.

use std::collections::BTreeSet;
use std::fs;

use super::annotation::{Annotation, Place, RawObject, Units};
use super::error::DataError;
use super::finding::{Action, Finding, Kind};
use super::folder::{Entry, Folder, file_name, parent, stem};
use super::labels::Labels;
use super::xml::{Element, parse};

/// Reads every annotation XML under the folder.
///
/// # Errors
/// Only if a file that was just listed cannot be read; a malformed one is a finding.
pub fn read(folder: &Folder) -> Result<Labels, DataError> {
    let mut labels = Labels::default();
    let mut labelled = BTreeSet::new();
    for entry in folder.with_extension("xml") {
        let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the labels"))?;
        labels.files.push(entry.path.clone());
        // Strange bytes are common in `<path>`, which nobody needs.
        match parse(&String::from_utf8_lossy(&bytes)) {
            Ok(root) if root.name == "annotation" => read_one(folder, entry, &root, &mut labels, &mut labelled),
            // Other XML files (project files of labelling tools) are none of our business.
            Ok(_) => {}
            Err((line, fault)) => {
                if let Some(image) = folder.find_image(stem(&entry.name), &entry.name) {
                    labelled.insert(image.name.clone());
                }
                let place = Place::line(&entry.name, line);
                labels.findings.push(Finding::new(Kind::MalformedLabel, place, Action::Dropped, fault));
            }
        }
    }
    labels.report_unlabelled(folder, &labelled);
    Ok(labels)
}

fn read_one(folder: &Folder, xml: &Entry, root: &Element, labels: &mut Labels, labelled: &mut BTreeSet<String>) {
    let Some(image) = find_image(folder, xml, root.text_of("filename")) else {
        let named = root.text_of("filename").map_or(String::new(), |n| format!(" (the file names {n:?})"));
        let detail = format!("no image {:?} with any known extension{named}", stem(&xml.name));
        labels.findings.push(Finding::new(Kind::LabelWithoutImage, Place::file(&xml.name), Action::Dropped, detail));
        return;
    };
    if !labelled.insert(image.name.clone()) {
        let detail = format!("{} already has labels from another file", image.name);
        labels.findings.push(Finding::new(Kind::MalformedLabel, Place::file(&xml.name), Action::Dropped, detail));
        return;
    }
    let mut objects = Vec::new();
    for element in root.children_named("object") {
        match read_object(element, &xml.name) {
            Ok(object) => objects.push(object),
            Err(fault) => {
                let place = Place::line(&xml.name, element.line);
                labels.findings.push(Finding::new(Kind::MalformedLabel, place, Action::Dropped, fault));
            }
        }
    }
    labels.annotations.push(Annotation {
        path: image.path.clone(),
        source: image.name.clone(),
        declared_size: root.child("size").and_then(read_size),
        units: Units::Pixels,
        objects,
        place: Place::file(&xml.name),
    });
}

/// The image of the XML's own name is the rule of the format; `<filename>` is often a leftover, but better than nothing.
fn find_image<'a>(folder: &'a Folder, xml: &Entry, filename: Option<&str>) -> Option<&'a Entry> {
    let by_stem = folder.find_image(stem(&xml.name), &xml.name);
    let by_name = filename.filter(|n| !n.is_empty()).and_then(|n| folder.find_image(n, &xml.name));
    match (by_stem, by_name) {
        // Two formats of one stem lie side by side: the file name decides.
        (Some(s), Some(n)) if parent(&s.name) == parent(&n.name) && stem(&s.name) == stem(&n.name) => Some(n),
        (Some(s), _) => Some(s),
        (None, n) => n,
    }
}

fn read_size(size: &Element) -> Option<[u32; 2]> {
    let number = |name| size.text_of(name)?.parse::<f64>().ok().filter(|n| (1.0..=65535.0).contains(n));
    Some([number("width")? as u32, number("height")? as u32])
}

fn read_object(object: &Element, file: &str) -> Result<RawObject, String> {
    let class = object.text_of("name").filter(|n| !n.is_empty()).ok_or("an object without a name")?;
    let bndbox = object.child("bndbox").ok_or_else(|| format!("object {class:?} without bndbox"))?;
    let mut corners = [0.0; 4];
    for (corner, name) in corners.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
        let text = bndbox.text_of(name).ok_or_else(|| format!("object {class:?}: bndbox without {name}"))?;
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
        *corner = number.ok_or_else(|| format!("object {class:?}: {name} is {text:?}, expected a number"))?;
    }
    let flag = object.text_of("difficult").is_some_and(|d| d == "1" || d.eq_ignore_ascii_case("true"));
    Ok(RawObject {
        class: class.to_string(),
        corners,
        difficult: flag,
        crowd: false,
        area: None,
        place: Place::line(file, object.line),
    })
}

/// The image lists of `ImageSets/Main`: split name and the lines, for every list that names images.
///
/// VOC's per-class lists (`cat_train.txt`, lines `2008_000002 -1`) are not splits.
pub fn image_sets(folder: &Folder) -> Result<Vec<(String, Entry, Vec<String>)>, DataError> {
    let mut sets = Vec::new();
    for entry in folder.with_extension("txt") {
        let in_main = parent(&entry.name).rsplit('/').next().is_some_and(|f| f.eq_ignore_ascii_case("main"));
        let in_sets = parent(&entry.name).split('/').any(|f| f.eq_ignore_ascii_case("imagesets"));
        let per_class = ["_train", "_val", "_trainval", "_test"].iter().any(|s| stem(&entry.name).ends_with(s));
        if !(in_sets && (in_main || file_name(parent(&entry.name)).eq_ignore_ascii_case("imagesets"))) || per_class {
            continue;
        }
        let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the image list"))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(|l| l.trim_start_matches('\u{feff}').trim().to_string()).collect();
        sets.push((stem(&entry.name).to_string(), entry.clone(), lines));
    }
    Ok(sets)
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
        read(&Folder::list(dir.path()).expect("lists")).expect("reads")
    }

    const CAT: &str = "<annotation><filename>old.jpg</filename><size><width>64</width><height>48</height></size>
        <object><name> cat &amp; dog </name><difficult>1</difficult>
        <bndbox><ymin>2.5</ymin><xmin>1</xmin><xmax>30</xmax><ymax>40</ymax></bndbox>
        <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object></annotation>";

    #[test]
    fn reads_objects_with_floats_entities_and_any_order() {
        let labels = read_files(&[("Annotations/a #1.xml", CAT), ("JPEGImages/a #1.JPG", "")]);
        assert_eq!(labels.findings, []);
        let a = &labels.annotations[0];
        assert_eq!((a.source.as_str(), a.declared_size), ("JPEGImages/a #1.JPG", Some([64, 48])));
        assert_eq!(a.objects.len(), 1);
        assert_eq!((a.objects[0].class.as_str(), a.objects[0].corners), ("cat & dog", [1.0, 2.5, 30.0, 40.0]));
        assert!(a.objects[0].difficult);
        assert_eq!(a.objects[0].place, Place::line("Annotations/a #1.xml", 2));
    }

    #[test]
    fn the_xmls_own_name_beats_its_filename_element() {
        let labels = read_files(&[("x/a.xml", CAT), ("x/a.png", ""), ("x/old.jpg", "")]);
        assert_eq!(labels.annotations[0].source, "x/a.png");
        assert_eq!(labels.findings[0].kind, Kind::ImageWithoutLabels);
        let labels = read_files(&[("x/a.xml", CAT), ("x/old.jpg", "")]);
        assert_eq!(labels.annotations[0].source, "x/old.jpg");
    }

    #[test]
    fn defects_are_findings_with_their_line() {
        let no_box = "<annotation>\n<object><name>cat</name></object>\n</annotation>";
        let word = no_box.replace("</name>", "</name><bndbox><xmin>left</xmin></bndbox>");
        let cut = &CAT[..CAT.find("<xmin>").expect("is there")];
        for (text, line, detail) in [
            (no_box, 2, "object \"cat\" without bndbox"),
            (word.as_str(), 2, "object \"cat\": xmin is \"left\", expected a number"),
            (cut, 3, "the file ends inside <"),
        ] {
            let labels = read_files(&[("a.xml", text), ("a.jpg", "")]);
            let [finding] = labels.findings.as_slice() else { panic!("{:?}", labels.findings) };
            assert_eq!((finding.kind, finding.place.clone()), (Kind::MalformedLabel, Place::line("a.xml", line)));
            assert!(finding.detail.starts_with(detail), "{}", finding.detail);
        }
        let orphan = read_files(&[("a.xml", CAT)]);
        assert_eq!(orphan.findings[0].kind, Kind::LabelWithoutImage);
    }
}
