//! One row of a table per object: the tables of datitran, Roboflow, VoTT, keras-retinanet, OpenImages and VIA.
//!
//! `filename,width,height,class,xmin,ymin,xmax,ymax` is the common form; columns may come in any order and by many names
//! ([`super::csv_dialect`]). A row with empty class and corners says that its image is a background.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::box_form::WrittenBox;
use super::super::error::DataError;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::{extension_of, file_name};
use super::super::roles::{split_in_file_name, split_name, split_of};
use super::super::text::decode;
use super::csv_dialect::{CsvColumns, by_content, by_heading, delimiter};
use super::{labelstudio_csv, via};

/// Rows that are looked at where there is no heading.
const LOOKED_AT: usize = 50;

/// One row that names an image.
pub struct Row {
    /// Counted from 1; a heading is line 1.
    pub line: usize,
    pub filename: String,
    size: [Option<f64>; 2],
    units: Units,
    /// By a column of the table.
    split: Option<&'static str>,
    /// `None` on a background row; the text says what is wrong.
    object: Option<Result<RawObject, String>>,
}

/// The split a CSV speaks of, by its own name or its folder's.
pub fn split_of_csv(entry: &FileEntry) -> Option<&'static str> {
    split_in_file_name(&entry.name).or_else(|| split_of(&entry.name))
}

/// True if the name is that of a table.
pub fn is_table(name: &str) -> bool {
    ["csv", "tsv"].iter().any(|e| extension_of(name).eq_ignore_ascii_case(e))
}

/// The rows of a table of boxes.
///
/// # Errors
/// If the columns are not there or a row does not parse as CSV at all.
pub fn rows(entry: &FileEntry) -> Result<Vec<Row>, DataError> {
    let text = decode(&entry.read("read the labels")?).text;
    let fault = |line: usize, found: String| DataError::Label {
        place: FilePlace::line(&entry.name, line),
        found,
        expected: "columns filename,class,xmin,ymin,xmax,ymax (width and height if known)".into(),
        help: "write one row per object with a heading line".into(),
    };
    let (records, lines) = records(&text).map_err(|(line, found)| fault(line, found))?;
    let first = records.first().cloned().unwrap_or_default();
    if via::is_heading(&first) {
        let heading = &first;
        let rows = records[1..].iter().zip(&lines[1..]);
        return Ok(rows
            .map(|(r, line)| of_via(via::row(heading, r, FilePlace::line(&entry.name, *line)), *line))
            .collect());
    }
    if labelstudio_csv::is_heading(&first) {
        let rows = records[1..].iter().zip(&lines[1..]);
        return Ok(rows.flat_map(|(record, line)| of_label_studio(&first, record, *line, &entry.name)).collect());
    }
    let columns = match by_heading(&first) {
        Ok(columns) => columns,
        Err(_) if is_automl(&first) => {
            return Err(DataError::Label {
                place: FilePlace::line(&entry.name, 1),
                found: "a table of AutoML (Vertex AI)".into(),
                expected: "a format that is read (see docs/data-formats.md)".into(),
                help: "export the labels as COCO, Pascal VOC or YOLO, with a labelling tool that reads this table"
                    .into(),
            });
        }
        Err(_) if file_name(&entry.name).eq_ignore_ascii_case("_classes.csv") => {
            return Err(DataError::Label {
                place: FilePlace::file(&entry.name),
                found: "a table for classification (Roboflow), without boxes".into(),
                expected: "boxes".into(),
                help: "label a project for object detection, and export it as COCO, Pascal VOC or YOLO".into(),
            });
        }
        Err(found) => by_content(&records[..records.len().min(LOOKED_AT)]).ok_or_else(|| fault(1, found))?,
    };
    let skipped = usize::from(columns.heading);
    let rows = records.iter().zip(&lines).skip(skipped);
    Ok(rows.map(|(record, line)| row(record, *line, &columns, &entry.name)).collect())
}

fn of_via(row: via::ViaRow, line: usize) -> Row {
    Row { line, filename: row.filename, size: [None, None], units: Units::Pixels, split: None, object: row.object }
}

/// A row for each box of a task, or one without an object where the task has none.
fn of_label_studio(heading: &[String], record: &[String], line: usize, file: &str) -> Vec<Row> {
    let (filename, objects) = labelstudio_csv::row(heading, record, &FilePlace::line(file, line));
    let (size, units) = ([None, None], Units::Fractions);
    let row = |object| Row { line, filename: filename.clone(), size, units, split: None, object };
    if objects.is_empty() {
        return vec![row(None)];
    }
    objects.into_iter().map(|object| row(Some(object))).collect()
}

/// `SET,gs://bucket/a.jpg,name,x0,y0,,,x1,y1,,` without a heading.
fn is_automl(first: &[String]) -> bool {
    let sets = ["TRAIN", "VALIDATION", "VALIDATE", "TEST", "UNASSIGNED"];
    first.len() >= 9 && first.first().is_some_and(|set| sets.contains(&set.to_uppercase().as_str()))
}

type CsvRecords = (Vec<Vec<String>>, Vec<usize>);

fn records(text: &str) -> Result<CsvRecords, (usize, String)> {
    // Remarks may stand above the heading; Excel's own first line names the delimiter: `sep=;`.
    let remarks = text.lines().take_while(|l| l.starts_with('#') && !l.contains(['/', '.'])).count();
    let above = text.split_inclusive('\n').take(remarks).map(str::len).sum();
    let text = &text[above..];
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let named = first.trim().strip_prefix("sep=").and_then(|d| d.bytes().next());
    let (text, above) = if named.is_some() { (rest, remarks + 1) } else { (text, remarks) };
    let mut reader = csv::ReaderBuilder::new();
    let divided = named.unwrap_or_else(|| delimiter(text));
    let reader = reader.flexible(true).has_headers(false).trim(csv::Trim::All).delimiter(divided);
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    for record in reader.from_reader(text.as_bytes()).records() {
        let record = record.map_err(|e| (above + e.position().map_or(1, |p| p.line() as usize), e.to_string()))?;
        lines.push(above + record.position().map_or(0, |p| p.line() as usize));
        records.push(record.iter().map(str::to_string).collect());
    }
    Ok((records, lines))
}

fn row(record: &[String], line: usize, columns: &CsvColumns, file: &str) -> Row {
    let field = |i: usize| record.get(i).map(String::as_str).unwrap_or_default();
    let size = match columns.size {
        Some([w, h]) => [field(w).parse().ok(), field(h).parse().ok()],
        None => [None, None],
    };
    let empty = columns.numbers.iter().chain([&columns.class]).all(|i| field(*i).is_empty());
    let object = if empty && record.len() >= columns.count {
        None
    } else {
        Some(read_object(&columns.numbers.map(field), field(columns.class), columns, FilePlace::line(file, line)))
    };
    let crowd = columns.group.is_some_and(|i| field(i) == "1");
    let object = object.map(|o| o.map(|o| RawObject { crowd, ..o }));
    let units = if columns.fractions { Units::Fractions } else { Units::Pixels };
    let split = columns.split.and_then(|i| split_name(field(i)));
    Row { line, filename: field(columns.file).to_string(), size, units, split, object }
}

fn read_object(numbers: &[&str; 4], class: &str, columns: &CsvColumns, place: FilePlace) -> Result<RawObject, String> {
    if class.is_empty() {
        return Err("no class".into());
    }
    let names = match columns.form {
        WrittenBox::Corners => ["xmin", "ymin", "xmax", "ymax"],
        WrittenBox::Xywh => ["x", "y", "width", "height"],
        WrittenBox::Centre => ["x_center", "y_center", "width", "height"],
    };
    // `[x, y, w, h]` in one field.
    let inner: Vec<&str> = match columns.in_one {
        true => {
            numbers[0].trim_matches(['[', ']', '(', ')', ' ']).split([',', ' ']).filter(|w| !w.is_empty()).collect()
        }
        false => Vec::new(),
    };
    let numbers = match (columns.in_one, inner.as_slice()) {
        (false, _) => numbers,
        (true, &[a, b, c, d]) => &[a, b, c, d],
        (true, _) => return Err(format!("the box is {:?}, expected [x, y, width, height]", numbers[0])),
    };
    let mut values = [0.0; 4];
    for ((value, text), name) in values.iter_mut().zip(numbers).zip(names) {
        // A decimal comma is common where `;` divides columns.
        let number = text.replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite());
        *value = number.ok_or_else(|| format!("{name} is {text:?}, expected a number"))?;
    }
    Ok(RawObject::new(class, columns.form.corners(values), place))
}

/// Reads these CSV files as one data set. Where some speak of a split, the others are unions of them and left out.
///
/// # Errors
/// If a file lacks the columns; a row that makes no sense is a finding.
pub fn read(folder: &Folder, csv: &[FileEntry]) -> Result<Labels, DataError> {
    let any_split = csv.iter().any(|e| split_of_csv(e).is_some());
    let mut labels = Labels::default();
    let mut images: BTreeMap<usize, Annotation> = BTreeMap::new();
    for entry in csv {
        if any_split && split_of_csv(entry).is_none() {
            labels.fates.push((entry.name.clone(), FileFate::PassedOver));
            let detail = "others speak of a split each, and this one is taken for all of them together";
            let finding = Finding::new(
                FindingKind::LabelsPassedOver,
                FilePlace::file(&entry.name),
                FindingAction::Dropped,
                detail,
            );
            labels.findings.add(finding.with_severity(Severity::Info));
            continue;
        }
        labels.files.push(entry.stored.clone());
        labels.fates.push((entry.name.clone(), FileFate::Labels));
        read_one(folder, entry, &mut images, &mut labels)?;
    }
    rename_codes(folder, &mut images, &mut labels)?;
    if !labels.splits.is_empty() && labels.split_source.is_empty() {
        labels.split_source = if any_split { "the names of CSV files" } else { "the names of folders" }.into();
    }
    images.into_values().for_each(|a| labels.found(a));
    labels.report_unlabelled(folder);
    Ok(labels)
}

fn read_one(
    folder: &Folder,
    entry: &FileEntry,
    images: &mut BTreeMap<usize, Annotation>,
    labels: &mut Labels,
) -> Result<(), DataError> {
    let split = split_of_csv(entry);
    let mut missing = BTreeSet::new();
    let mut by_column = false;
    let mut known: HashMap<String, usize> = HashMap::new();
    for row in rows(entry)? {
        let place = FilePlace::line(&entry.name, row.line);
        let found = match known.get(&row.filename) {
            Some(id) => PhotoMatch::One(*id),
            None => folder.matcher().find(&row.filename, &entry.name, split),
        };
        let PhotoMatch::One(id) = found else {
            labels.lost_boxes += usize::from(row.object.is_some());
            if missing.insert(row.filename.clone()) {
                labels.orphan(place, &row.filename, found);
            }
            continue;
        };
        let image = &folder.entries()[id];
        known.insert(row.filename.clone(), id);
        if let Some(split) = split.or(row.split).or_else(|| split_of(&image.name)) {
            labels.add_to_split(split, &image.name);
        }
        by_column |= split.is_none() && row.split.is_some();
        let annotation = images
            .entry(id)
            .or_insert_with(|| Annotation::new(image, row.units, place.clone()).with_size(row.size[0], row.size[1]));
        match row.object {
            None => {}
            Some(Ok(object)) => annotation.objects.push(object),
            Some(Err(fault)) => labels.lost(place, fault),
        }
    }
    if by_column {
        labels.split_source = format!("a column of {}", entry.name);
    }
    Ok(())
}

/// OpenImages writes codes (`/m/0dq75`); a table `class-descriptions` beside the labels has their names.
fn rename_codes(
    folder: &Folder,
    images: &mut BTreeMap<usize, Annotation>,
    labels: &mut Labels,
) -> Result<(), DataError> {
    let is_code = |class: &str| class.starts_with("/m/") || class.starts_with("/g/");
    if !images.values().flat_map(|a| &a.objects).any(|o| is_code(&o.class)) {
        return Ok(());
    }
    let Some(entry) = folder.with_extension("csv").find(|e| e.name.contains("class-descriptions")) else {
        return Ok(());
    };
    let text = labels.text(entry, FileFate::List)?;
    let names: HashMap<&str, &str> = text.lines().filter_map(|l| l.split_once(',')).collect();
    for object in images.values_mut().flat_map(|a| &mut a.objects) {
        if let Some(name) = names.get(object.class.as_str()) {
            object.class = name.trim().trim_matches('"').to_string();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Result<Labels, DataError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            std::fs::write(path, text).expect("writes");
        }
        let folder = Folder::list(dir.path()).expect("lists");
        let csv: Vec<FileEntry> = folder.with_extension("csv").cloned().collect();
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
        assert_eq!(labels.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::LabelsPassedOver]);
        let counts: Vec<_> = labels.annotations.iter().map(|a| (a.source.as_str(), a.objects.len())).collect();
        assert_eq!(counts, [("images/a.jpg", 2), ("images/b.jpg", 0)]);
        assert_eq!(labels.annotations[0].objects[0].corners, [1.0, 2.0, 3.5, 4.0]);
        assert_eq!(labels.splits.keys().collect::<Vec<_>>(), ["train"]);
    }

    #[test]
    fn semicolons_tabs_and_missing_headings_are_no_obstacle() {
        for text in [
            "filename;class;xmin;ymin;xmax;ymax\na.jpg;cat;1;2;3,5;4",
            "filename\tclass\txmin\tymin\txmax\tymax\na.jpg\tcat\t1\t2\t3.5\t4",
            "/home/me/a.jpg,1,2,3.5,4,cat",
            "image_name,x,y,w,h,label\na.jpg,1,2,2.5,2,cat",
            "image_id,label,bbox\na,cat,\"[1.0, 2.0, 2.5, 2.0]\"",
            "# by hand\nfilename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,3.5,4",
            "file,x1,y1,w,h,class\na.jpg,1,2,2.5,2,cat",
            "sep=;\nfilename;class;xmin;ymin;xmax;ymax\na.jpg;cat;1;2;3,5;4",
            "filename,class,x_center,y_center,width,height\na.jpg,cat,2.25,3,2.5,2",
        ] {
            let labels = read_files(&[("l.csv", text), ("a.jpg", "")]).unwrap_or_else(|e| panic!("{text}: {e}"));
            let object = &labels.annotations[0].objects[0];
            assert_eq!((object.class.as_str(), object.corners), ("cat", [1.0, 2.0, 3.5, 4.0]), "{text}");
        }
    }

    #[test]
    fn a_column_may_give_the_split() {
        let rows = "filename,class,xmin,ymin,xmax,ymax,set\na.jpg,cat,1,2,3,4,TRAIN\nb.jpg,cat,1,2,3,4,validation\n";
        let labels = read_files(&[("l.csv", rows), ("a.jpg", ""), ("b.jpg", "")]).expect("reads");
        assert_eq!(labels.splits.keys().collect::<Vec<_>>(), ["train", "val"]);
        assert_eq!(labels.split_source, "a column of l.csv");
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
                (FindingKind::MalformedLabel, "a.csv:2".to_string(), "ymax is \"\", expected a number"),
                (FindingKind::MalformedLabel, "a.csv:3".to_string(), "no class"),
                (FindingKind::LabelWithoutImage, "a.csv:4".to_string(), "no image file \"b.jpg\""),
                (FindingKind::MalformedLabel, "a.csv:5".to_string(), "ymin is \"y\", expected a number"),
                (FindingKind::ImageWithoutLabels, "c.jpg".to_string(), no_image),
            ]
        );
    }
}
