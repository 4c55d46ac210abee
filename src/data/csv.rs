//! One CSV row per object: `filename,width,height,class,xmin,ymin,xmax,ymax`, columns in any order.
//!
//! The form of datitran's and Roboflow's exports. A row with empty class and corners says that its image is a background.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::annotation::{Annotation, Place, RawObject, Units};
use super::error::DataError;
use super::finding::{Action, Finding, Kind};
use super::folder::{Entry, Folder, split_in_file_name, split_of};
use super::labels::Labels;

const COLUMNS: [&str; 6] = ["filename", "class", "xmin", "ymin", "xmax", "ymax"];

/// One row that names an image.
pub struct Row {
    /// Counted from 1; the heading is line 1.
    pub line: usize,
    pub filename: String,
    declared_size: Option<[u32; 2]>,
    /// `None` on a background row; the text says what is wrong.
    object: Option<Result<RawObject, String>>,
}

/// The split a CSV speaks of, by its own name or its folder's.
pub fn split_of_csv(entry: &Entry) -> Option<&'static str> {
    split_in_file_name(&entry.name).or_else(|| split_of(&entry.name))
}

/// The rows of a CSV file.
///
/// # Errors
/// If the columns are not there or a row does not parse as CSV at all.
pub fn rows(entry: &Entry) -> Result<Vec<Row>, DataError> {
    let bytes = fs::read(&entry.path).map_err(DataError::io(&entry.path, "read the labels"))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let fault = |line: usize, found: String| DataError::Label {
        place: Place::line(&entry.name, line),
        found,
        expected: format!("columns {} (width and height if known)", COLUMNS.join(",")),
        help: "write one row per object with a heading line".into(),
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let heading = reader.byte_headers().map_err(|e| fault(1, e.to_string()))?;
    let heading: Vec<String> = heading.iter().map(|h| String::from_utf8_lossy(h).to_ascii_lowercase()).collect();
    let find = |name: &str| heading.iter().position(|h| h == name);
    let mut columns = [0; 6];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let found = format!("no column {name:?} in the heading {:?}", heading.join(","));
        *column = find(name).ok_or_else(|| fault(1, found))?;
    }
    let size = find("width").zip(find("height"));
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(1, |p| p.line() as usize);
            fault(line, e.to_string())
        })?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let field = |i: usize| record.get(i).map(|f| String::from_utf8_lossy(f).into_owned()).unwrap_or_default();
        let side = |i: usize| field(i).parse::<f64>().ok().filter(|n| (1.0..=65535.0).contains(n)).map(|n| n as u32);
        let fields = columns.map(field);
        rows.push(Row {
            line,
            filename: fields[0].clone(),
            declared_size: size.and_then(|(w, h)| Some([side(w)?, side(h)?])),
            object: if fields[1..].iter().all(String::is_empty) && record.len() == heading.len() {
                None
            } else {
                Some(read_object(&fields, Place::line(&entry.name, line)))
            },
        });
    }
    Ok(rows)
}

fn read_object(fields: &[String; 6], place: Place) -> Result<RawObject, String> {
    let [_, class, numbers @ ..] = fields;
    if class.is_empty() {
        return Err("no class".into());
    }
    let mut corners = [0.0; 4];
    for ((corner, text), name) in corners.iter_mut().zip(numbers).zip(&COLUMNS[2..]) {
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
        *corner = number.ok_or_else(|| format!("{name} is {text:?}, expected a number"))?;
    }
    Ok(RawObject { class: class.clone(), corners, difficult: false, crowd: false, area: None, place })
}

/// Reads these CSV files as one data set. Where some speak of a split, the others are unions of them and left out.
///
/// # Errors
/// If a file lacks the columns; a row that makes no sense is a finding.
pub fn read(folder: &Folder, csv: &[Entry]) -> Result<Labels, DataError> {
    let any_split = csv.iter().any(|e| split_of_csv(e).is_some());
    let mut labels = Labels::default();
    let mut images: BTreeMap<String, Annotation> = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for entry in csv.iter().filter(|e| !any_split || split_of_csv(e).is_some()) {
        let split = split_of_csv(entry);
        labels.files.push(entry.path.clone());
        for row in rows(entry)? {
            let place = Place::line(&entry.name, row.line);
            let found = folder.find_image_of(&row.filename, &entry.name, split);
            let Some(image) = found.filter(|_| !row.filename.is_empty()) else {
                if missing.insert(row.filename.clone()) {
                    let detail = format!("no image file {:?}", row.filename);
                    labels.findings.push(Finding::new(Kind::LabelWithoutImage, place, Action::Dropped, detail));
                }
                continue;
            };
            if let Some(split) = split.or_else(|| split_of(&image.name)) {
                labels.add_to_split(split, &image.name);
            }
            let annotation = images.entry(image.name.clone()).or_insert_with(|| Annotation {
                path: image.path.clone(),
                source: image.name.clone(),
                declared_size: row.declared_size,
                units: Units::Pixels,
                objects: Vec::new(),
                place: place.clone(),
            });
            match row.object {
                None => {}
                Some(Ok(object)) => annotation.objects.push(object),
                Some(Err(fault)) => {
                    labels.findings.push(Finding::new(Kind::MalformedLabel, place, Action::Dropped, fault));
                }
            }
        }
    }
    labels.annotations = images.into_values().collect();
    let labelled = labels.annotations.iter().map(|a| a.source.clone()).collect();
    labels.report_unlabelled(folder, &labelled);
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Result<Labels, DataError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            fs::write(path, text).expect("writes");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let csv: Vec<Entry> = folder.with_extension("csv").cloned().collect();
        read(&folder, &csv)
    }

    #[test]
    fn rows_of_one_image_are_joined_and_the_split_is_the_files() {
        let heading = "filename,width,height,class,xmin,ymin,xmax,ymax\n";
        let labels = read_files(&[
            (
                "data/train_labels.csv",
                &format!("{heading}a.jpg,10,20,cat,1,2,3.5,4\na.jpg,10,20,dog,0,0,1,1\nb.jpg,10,20,,,,,\n"),
            ),
            ("data/all_labels.csv", &format!("{heading}c.jpg,10,20,cat,1,2,3,4\n")),
            ("images/a.jpg", ""),
            ("images/b.jpg", ""),
        ])
        .expect("reads");
        assert_eq!(labels.findings, []);
        let counts: Vec<_> = labels.annotations.iter().map(|a| (a.source.as_str(), a.objects.len())).collect();
        assert_eq!(counts, [("images/a.jpg", 2), ("images/b.jpg", 0)]);
        assert_eq!(labels.annotations[0].objects[0].corners, [1.0, 2.0, 3.5, 4.0]);
        assert_eq!(labels.splits.keys().collect::<Vec<_>>(), ["train"]);
    }

    #[test]
    fn missing_columns_are_an_error_and_odd_rows_are_findings() {
        let error = read_files(&[("a.csv", "filename,width\na.jpg,1\n")]).map(|_| ()).expect_err("no columns");
        let text = error.to_string();
        assert!(text.starts_with("a.csv:1: no column \"class\" in the heading \"filename,width\""), "{text}");
        let text =
            "xmax,filename,class,xmin,ymin,ymax\n3,a.jpg,cat,1,2\n3,a.jpg,,1,2,4\n3,b.jpg,cat,1,x,4\n3,a.jpg,cat,1,y,4";
        let labels = read_files(&[("a.csv", text), ("a.jpg", ""), ("c.jpg", "")]).expect("reads");
        let found: Vec<_> = labels.findings.iter().map(|f| (f.kind, f.place.to_string(), f.detail.as_str())).collect();
        let no_image = "no labels for this image; what it shows is unknown, so it is not a background either";
        assert_eq!(
            found,
            [
                (Kind::MalformedLabel, "a.csv:2".to_string(), "ymax is \"\", expected a number"),
                (Kind::MalformedLabel, "a.csv:3".to_string(), "no class"),
                (Kind::LabelWithoutImage, "a.csv:4".to_string(), "no image file \"b.jpg\""),
                (Kind::MalformedLabel, "a.csv:5".to_string(), "ymin is \"y\", expected a number"),
                (Kind::ImageWithoutLabels, "c.jpg".to_string(), no_image),
            ]
        );
    }
}
