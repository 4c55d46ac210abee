//! Text files of other tools than YOLO: KITTI, VisDrone, OIDv4, DOTA (one file a photo), and keras-yolo (one file for
//! all).

use std::collections::BTreeSet;

use super::super::account::FileFate;
use super::super::annotation::{Annotation, FilePlace, RawObject, Units};
use super::super::box_form::WrittenBox;
use super::super::error::DataError;
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::matcher::PhotoMatch;
use super::super::paths::{file_name, is_image_extension, parent};
use super::super::roles::split_of;
use super::class_list;
use super::format::Format;
use super::shapes::around;
use super::text_pairs::TextPairs;

/// VisDrone's classes by their number; 0 and 11 are regions and objects that are not judged.
const VISDRONE: [&str; 12] = [
    "ignored regions",
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
    "others",
];

/// Lines that are looked at before a format is taken for granted.
const LOOKED_AT: usize = 20;

/// The form of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextLine {
    Kitti,
    VisDrone,
    /// `name x0 y0 x1 y1` of the OIDv4 toolkit.
    Oid,
    /// Four points, a name, a difficulty.
    Dota,
    /// YOLO with the class's name in the place of its number: `name x y w h`, centre and size in fractions.
    Named,
}

/// The labels in such text files; `None` if there are none.
///
/// # Errors
/// If a file that was just listed cannot be read.
pub fn read(folder: &Folder) -> Result<Option<(Format, Labels)>, DataError> {
    let lists: Vec<&FileEntry> = folder.with_extension("txt").filter(|e| is_keras_yolo(e)).collect();
    if !lists.is_empty() {
        return read_lists(folder, &lists).map(|l| Some((Format::KerasYolo, l)));
    }
    let pairs = TextPairs::of(folder, &|e| line_of(e).is_some());
    let kinds = folder.images().filter_map(|i| pairs.get(i)).filter_map(line_of).take(LOOKED_AT);
    let Some(kind) = kinds.collect::<Vec<_>>().first().copied() else { return Ok(None) };
    let mut labels = Labels::default();
    if kind == TextLine::Named {
        labels.written = WrittenBox::Centre;
    }
    for image in folder.images() {
        let Some(entry) = pairs.get(image) else { continue };
        let text = labels.text(entry, FileFate::Labels)?;
        let units = if kind == TextLine::Named { Units::Fractions } else { Units::Pixels };
        let mut annotation = Annotation::new(image, units, FilePlace::file(&entry.name));
        for (line, content) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let place = FilePlace::line(&entry.name, line + 1);
            match read_line(kind, content, place.clone()) {
                Ok(Some(object)) => annotation.objects.push(object),
                Ok(None) => {}
                Err(fault) => labels.lost(place, fault),
            }
        }
        labels.found(annotation);
    }
    for (entry, found) in &pairs.orphans {
        labels.fates.push((entry.name.clone(), FileFate::Orphan));
        labels.orphan(FilePlace::file(&entry.name), super::super::paths::stem(&entry.name), *found);
    }
    labels.report_unlabelled(folder);
    let format = match kind {
        TextLine::Kitti => Format::Kitti,
        TextLine::VisDrone => Format::VisDrone,
        TextLine::Oid => Format::Oid,
        TextLine::Dota => Format::Dota,
        TextLine::Named => Format::Yolo,
    };
    Ok(Some((format, labels)))
}

/// The form that the first lines of a file all have.
fn line_of(entry: &FileEntry) -> Option<TextLine> {
    let text = entry.text("read the labels").ok()?.text;
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty() && !l.contains(':')).take(LOOKED_AT).collect();
    let all = |kind: &TextLine| lines.iter().all(|l| read_line(*kind, l, FilePlace::file("")).is_ok());
    [TextLine::Kitti, TextLine::VisDrone, TextLine::Dota, TextLine::Named, TextLine::Oid]
        .into_iter()
        .find(|k| !lines.is_empty() && all(k))
}

/// `None` for a region that the format marks as not judged.
fn read_line(kind: TextLine, line: &str, place: FilePlace) -> Result<Option<RawObject>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number =
        |w: &str| w.parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(|| format!("{w:?} is not a number"));
    let numbers = |words: &[&str]| words.iter().map(|w| number(w)).collect::<Result<Vec<f64>, String>>();
    let is_name = |w: &str| w.parse::<f64>().is_err();
    match kind {
        TextLine::Kitti => {
            // A name may have spaces: the numbers are counted from the end.
            let names = words.len() - words.iter().rev().take_while(|w| !is_name(w)).count();
            let (name, rest) = words.split_at(names);
            if !(14..=16).contains(&rest.len()) || names == 0 {
                return Err(format!("{} fields, expected the 15 of KITTI", words.len()));
            }
            let (name, n) = (name.join(" "), numbers(rest)?);
            let is_judged = name != "DontCare";
            Ok(is_judged.then(|| RawObject::new(name, [n[3], n[4], n[5], n[6]], place)))
        }
        TextLine::VisDrone => {
            let fields: Vec<&str> = line.trim().trim_end_matches(',').split(',').map(str::trim).collect();
            let n = numbers(&fields)?;
            let [x, y, w, h, score, class, _, _] = n[..] else {
                return Err(format!("{} numbers, expected the 8 of VisDrone", n.len()));
            };
            let name = VISDRONE.get(class as usize).filter(|_| class >= 0.0 && class.fract() == 0.0);
            let name = name.ok_or_else(|| format!("class {class}, expected 0 to 11"))?;
            let judged = score != 0.0 && !matches!(class as usize, 0 | 11);
            Ok(judged.then(|| RawObject::new(*name, [x, y, x + w, y + h], place)))
        }
        TextLine::Named => {
            let split = words.len().checked_sub(4).filter(|n| *n > 0).ok_or("expected a name and 4 fractions")?;
            let (name, rest) = words.split_at(split);
            let n = numbers(rest)?;
            if name.iter().any(|w| !is_name(w)) || n.iter().any(|n| !(0.0..=1.0).contains(n)) {
                return Err("expected a name and 4 fractions".into());
            }
            let corners = [n[0] - n[2] / 2.0, n[1] - n[3] / 2.0, n[0] + n[2] / 2.0, n[1] + n[3] / 2.0];
            Ok(Some(RawObject::new(name.join(" "), corners, place)))
        }
        TextLine::Oid => {
            let split = words.len().checked_sub(4).filter(|n| *n > 0).ok_or("expected a name and 4 numbers")?;
            if words[..split].iter().any(|w| !is_name(w)) {
                return Err("expected a name and 4 numbers".into());
            }
            let n = numbers(&words[split..])?;
            Ok(Some(RawObject::new(words[..split].join(" "), [n[0], n[1], n[2], n[3]], place)))
        }
        TextLine::Dota => {
            let (points, rest) = words.split_at(words.len().min(8));
            let [name @ .., difficult] = rest else { return Err("too few fields".into()) };
            let n = numbers(points)?;
            if name.is_empty() || !name.iter().all(|w| is_name(w)) {
                return Err(format!("{} fields, expected the 10 of DOTA", words.len()));
            }
            let name = name.join(" ");
            let points: Vec<[f64; 2]> = n.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            let corners = around(&points).ok_or("no points")?;
            let difficult = number(difficult)? != 0.0;
            Ok(Some(RawObject { difficult, ..RawObject::new(name, corners, place) }))
        }
    }
}

/// True if the file lists photos, each followed by its boxes `x0,y0,x1,y1,class`.
fn is_keras_yolo(entry: &FileEntry) -> bool {
    let Ok(text) = entry.text("read the labels") else { return false };
    let mut lines = text.text.lines().filter(|l| !l.trim().is_empty()).take(LOOKED_AT).peekable();
    let mut boxes = 0;
    let good = lines.peek().is_some()
        && lines.all(|line| {
            let (name, rest) = photo_and_boxes(line);
            boxes += rest.len();
            is_image_extension(file_name(name)) && rest.iter().all(|b| read_box(b).is_ok())
        });
    good && boxes > 0
}

/// The photo may have spaces in its name: boxes are taken from the end.
fn photo_and_boxes(line: &str) -> (&str, Vec<&str>) {
    let mut rest = line.trim();
    let mut boxes = Vec::new();
    while let Some((before, last)) =
        rest.rsplit_once(char::is_whitespace).filter(|(_, last)| last.matches(',').count() == 4)
    {
        boxes.push(last);
        rest = before.trim_end();
    }
    boxes.reverse();
    (rest, boxes)
}

fn read_box(text: &str) -> Result<(usize, [f64; 4]), String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|w| w.parse().ok().filter(|n: &f64| n.is_finite())).collect();
    match numbers.as_deref() {
        Some(&[a, b, c, d, class]) if class >= 0.0 && class.fract() == 0.0 && class < 10_000.0 => {
            Ok((class as usize, [a, b, c, d]))
        }
        _ => Err(format!("{text:?}, expected x0,y0,x1,y1,class")),
    }
}

fn read_lists(folder: &Folder, lists: &[&FileEntry]) -> Result<Labels, DataError> {
    let mut labels = Labels::default();
    let names = class_list::numbered(folder, &mut labels)?;
    let mut largest = 0;
    let mut taken = BTreeSet::new();
    for entry in lists {
        let split = super::super::roles::split_in_file_name(&entry.name).or_else(|| split_of(&entry.name));
        let text = labels.text(entry, FileFate::Labels)?;
        for (line, content) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let place = FilePlace::line(&entry.name, line + 1);
            let (wanted, boxes) = photo_and_boxes(content);
            let image = match folder.matcher().find(wanted, &entry.name, split) {
                PhotoMatch::One(id) => &folder.entries()[id],
                other => {
                    labels.orphan(place, wanted, other);
                    continue;
                }
            };
            if !taken.insert(image.id) {
                labels.repeated(place, &image.name);
                continue;
            }
            if let Some(split) = split {
                labels.add_to_split(split, &image.name);
                let source = parent(&entry.name);
                labels.split_source =
                    if source.is_empty() { entry.name.clone() } else { "the names of folders".into() };
            }
            let mut annotation = Annotation::new(image, Units::Pixels, place.clone());
            for text in boxes {
                match read_box(text) {
                    Ok((class, corners)) => {
                        largest = largest.max(class);
                        let name = names.as_ref().map(|n| n.get(class).cloned());
                        let name = name.unwrap_or_else(|| Some(format!("class {class}")));
                        let name = name.unwrap_or_else(|| format!("class id {class}, which has no name"));
                        annotation.objects.push(RawObject::new(name, corners, place.clone()));
                    }
                    Err(fault) => labels.lost(place.clone(), fault),
                }
            }
            labels.found(annotation);
        }
    }
    labels.classes = names;
    labels.report_unlabelled(folder);
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: TextLine, line: &str) -> Option<(String, [f64; 4])> {
        read_line(kind, line, FilePlace::file("a")).expect(line).map(|o| (o.class, o.corners))
    }

    #[test]
    fn lines_of_each_tool_are_read() {
        let kitti = "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59";
        assert_eq!(one(TextLine::Kitti, kitti), Some(("Car".into(), [587.01, 173.33, 614.12, 200.12])));
        assert_eq!(one(TextLine::Kitti, &kitti.replace("Car", "DontCare")), None);
        let two_words = kitti.replace("Car", "traffic light") + " 1.0";
        assert_eq!(one(TextLine::Kitti, &two_words), Some(("traffic light".into(), [587.01, 173.33, 614.12, 200.12])));
        assert_eq!(one(TextLine::VisDrone, "32,35,174,125,1,4,0,0"), Some(("car".into(), [32.0, 35.0, 206.0, 160.0])));
        assert_eq!(one(TextLine::VisDrone, "32,35,174,125,0,0,0,0,"), None);
        assert_eq!(one(TextLine::Oid, "Traffic light 1 2 3.5 4"), Some(("Traffic light".into(), [1.0, 2.0, 3.5, 4.0])));
        assert_eq!(
            one(TextLine::Named, "red car 0.5 0.5 0.5 0.25"),
            Some(("red car".into(), [0.25, 0.375, 0.75, 0.625]))
        );
        assert!(read_line(TextLine::Named, "cat 1 2 3.5 4", FilePlace::file("a")).is_err());
        assert_eq!(one(TextLine::Dota, "1 1 5 1 5 4 1 4 plane 1"), Some(("plane".into(), [1.0, 1.0, 5.0, 4.0])));
        assert_eq!(
            one(TextLine::Dota, "1 1 5 1 5 4 1 4 small car 0"),
            Some(("small car".into(), [1.0, 1.0, 5.0, 4.0]))
        );
        assert!(read_line(TextLine::Dota, "1 1 5 1 5 4 1 4 1", FilePlace::file("a")).is_err());
        assert!(read_line(TextLine::VisDrone, "0 0.5 0.5 0.1 0.1", FilePlace::file("a")).is_err());
    }

    #[test]
    fn a_photo_may_have_spaces_in_its_name() {
        assert_eq!(
            photo_and_boxes("my yard/a 1.jpg 1,2,3,4,0 5,6,7,8,1"),
            ("my yard/a 1.jpg", vec!["1,2,3,4,0", "5,6,7,8,1"])
        );
        assert_eq!(photo_and_boxes("a.jpg"), ("a.jpg", vec![]));
    }
}
