//! A cleaned data set on disk, as Pascal VOC, COCO or YOLO: what packing would use, and nothing else.
//!
//! Photos are copied byte for byte; where EXIF turns one, its boxes are those of the upright picture, and so are width
//! and height. Never writes into a folder that holds anything.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::annotation::Annotation;
use super::error::DataError;
use super::inspect::{Inspected, Inspector};
use super::label_text::{CocoText, voc_text, yolo_names, yolo_text};
use super::paths::{extension_of, stem};
use super::sample::Object;
use super::source::DataSet;
use super::split::{SplitList, SplitOptions};

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    Voc,
    Coco,
    Yolo,
}

/// One photo that was written.
struct WrittenPhoto {
    /// Without folders.
    file: String,
    size: [u32; 2],
    objects: Vec<Object>,
    /// Index of its annotation.
    index: usize,
}

/// Writes the usable photos and boxes of a set to `out`; returns the number of photos and boxes.
///
/// # Errors
/// If `out` is not empty, lies inside the set, or cannot be written.
pub fn export(
    dataset: &DataSet,
    out: &Path,
    format: ExportFormat,
    options: &SplitOptions,
) -> Result<[usize; 2], DataError> {
    let refuse = |found: &str, help: &str| DataError::Source {
        file: out.into(),
        found: found.into(),
        expected: "a new or empty folder outside the data set".into(),
        help: help.into(),
    };
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(refuse("a folder that is not empty", "name another folder"));
    }
    fs::create_dir_all(out).map_err(DataError::io(out, "make the folder"))?;
    let inside = out.canonicalize().ok().zip(dataset.root.canonicalize().ok()).is_some_and(|(o, r)| o.starts_with(r));
    if inside && dataset.root.is_dir() {
        // Nothing is in it, and only an empty folder is removed; where that fails, the message stands all the same.
        let _ = fs::remove_dir(out);
        return Err(refuse("a folder inside the data set", "name a folder beside it"));
    }
    let images = out.join(if format == ExportFormat::Voc { "JPEGImages" } else { "images" });
    fs::create_dir_all(&images).map_err(DataError::io(&images, "make the folder"))?;
    let splits = dataset.splits(options);
    let names = unique_names(dataset);
    let inspector = Inspector::new(dataset);
    let mut written = Vec::new();
    for (index, (annotation, file)) in dataset.annotations.iter().zip(&names).enumerate() {
        let Inspected { image, size, cleaned } = inspector.inspect(annotation);
        let in_split = splits.iter().any(|s| s.members.binary_search(&index).is_ok());
        if image.is_none() || !in_split {
            continue;
        }
        copy_photo(annotation, &images.join(file))?;
        written.push(WrittenPhoto { file: file.clone(), size, objects: cleaned.objects, index });
    }
    match format {
        ExportFormat::Voc => write_voc(dataset, out, &written, &splits)?,
        ExportFormat::Coco => write_coco(dataset, out, &written, &splits)?,
        ExportFormat::Yolo => write_yolo(dataset, out, &written, &splits)?,
    }
    Ok([written.len(), written.iter().map(|w| w.objects.len()).sum()])
}

/// A file name for each photo: its own, with its folders before it where two photos have one.
fn unique_names(dataset: &DataSet) -> Vec<String> {
    let plain = |a: &Annotation| a.source.rsplit('/').next().unwrap_or(&a.source).to_string();
    let mut stems: BTreeMap<String, usize> = BTreeMap::new();
    for annotation in &dataset.annotations {
        *stems.entry(stem(&annotation.source).to_lowercase()).or_default() += 1;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut name = |annotation: &Annotation| {
        let alone = stems[&stem(&annotation.source).to_lowercase()] == 1;
        let name = if alone { plain(annotation) } else { annotation.source.replace('/', "_") };
        let count = taken.entry(stem(&name).to_lowercase()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{}-{count}.{}", stem(&name), extension_of(&name)) }
    };
    dataset.annotations.iter().map(&mut name).collect()
}

fn copy_photo(annotation: &Annotation, to: &Path) -> Result<(), DataError> {
    let from = annotation.stored.on_disk();
    let bytes = annotation.stored.read(u64::MAX).map_err(DataError::io(from, "read the image"))?;
    fs::write(to, bytes).map_err(DataError::io(to, "write the photo"))
}

fn write(path: PathBuf, text: &str) -> Result<(), DataError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(DataError::io(folder, "make the folder"))?;
    }
    fs::write(&path, text).map_err(DataError::io(&path, "write the labels"))
}

fn write_voc(dataset: &DataSet, out: &Path, written: &[WrittenPhoto], splits: &[SplitList]) -> Result<(), DataError> {
    for photo in written {
        let xml = voc_text(&photo.file, photo.size, &photo.objects, &dataset.classes);
        write(out.join("Annotations").join(format!("{}.xml", stem(&photo.file))), &xml)?;
    }
    for split in splits {
        let of = written.iter().filter(|w| split.members.binary_search(&w.index).is_ok());
        let list: String = of.map(|w| format!("{}\n", stem(&w.file))).collect();
        write(out.join(format!("ImageSets/Main/{}.txt", split.name)), &list)?;
    }
    let names: String = dataset.classes.iter().map(|c| format!("{c}\n")).collect();
    write(out.join("labels.txt"), &names)
}

fn write_coco(dataset: &DataSet, out: &Path, written: &[WrittenPhoto], splits: &[SplitList]) -> Result<(), DataError> {
    for split in narrow(splits) {
        let mut file = CocoText::new(&dataset.classes);
        for photo in written.iter().filter(|w| split.members.binary_search(&w.index).is_ok()) {
            file.add(photo.index + 1, &photo.file, photo.size, &photo.objects, &[]);
        }
        write(out.join(format!("annotations/instances_{}.json", split.name)), &file.finish())?;
    }
    Ok(())
}

fn write_yolo(dataset: &DataSet, out: &Path, written: &[WrittenPhoto], splits: &[SplitList]) -> Result<(), DataError> {
    for photo in written {
        let text = yolo_text(&photo.objects);
        write(out.join("labels").join(format!("{}.txt", stem(&photo.file))), &text)?;
    }
    let mut yaml = String::from("path: .\n");
    for split in narrow(splits) {
        let of = written.iter().filter(|w| split.members.binary_search(&w.index).is_ok());
        let list: String = of.map(|w| format!("./images/{}\n", w.file)).collect();
        write(out.join(format!("{}.txt", split.name)), &list)?;
        let _ = writeln!(yaml, "{0}: {0}.txt", split.name);
    }
    write(out.join("data.yaml"), &(yaml + &yolo_names(&dataset.classes)))
}

/// Splits without their unions: trainval and `default` say nothing that train and val do not.
fn narrow(splits: &[SplitList]) -> Vec<&SplitList> {
    splits.iter().filter(|s| matches!(super::roles::split_name(&s.name), Some("train" | "val" | "test"))).collect()
}
