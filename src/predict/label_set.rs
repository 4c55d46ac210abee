//! Detections as a labelled data set, to be corrected in a labelling tool and trained on: photos beside their labels.

use super::finder::SearchedPicture;
use super::output_folder::with_ending;
use super::picture_source::PictureSource;
use crate::data::{CocoText, ExportFormat, Object, voc_text, yolo_names, yolo_text};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct LabelSet {
    format: ExportFormat,
    folder: PathBuf,
    class_names: Vec<String>,
    /// Photos so far.
    count: usize,
    /// Of COCO alone, whose labels are one file.
    coco: CocoText,
}

impl LabelSet {
    /// Begins a set in a folder of its own.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(format: ExportFormat, folder: PathBuf, class_names: &[String]) -> Result<Self> {
        let folders: &[&str] = match format {
            ExportFormat::Voc => &["JPEGImages", "Annotations"],
            ExportFormat::Yolo => &["images", "labels"],
            ExportFormat::Coco => &["images", "annotations"],
        };
        for name in folders {
            let path = folder.join(name);
            fs::create_dir(&path).with_context(|| format!("{}: cannot make the folder", path.display()))?;
        }
        let set =
            Self { format, class_names: class_names.to_vec(), count: 0, coco: CocoText::new(class_names), folder };
        match format {
            ExportFormat::Voc => {
                let names: String = class_names.iter().map(|name| format!("{name}\n")).collect();
                set.write("labels.txt", &names)?;
            }
            ExportFormat::Yolo => {
                set.write("data.yaml", &format!("path: .\ntrain: images\n{}", yolo_names(class_names)))?
            }
            ExportFormat::Coco => {}
        }
        Ok(set)
    }

    /// Adds a photo and what was found in it, under a name that no other photo has.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, name: &OsStr, source: PictureSource, sighting: &SearchedPicture) -> Result<()> {
        // Labels name their photo in UTF-8.
        let name = name.to_string_lossy().into_owned();
        let file = with_ending(name.as_ref(), &source.extension()).to_string_lossy().into_owned();
        let photos = if self.format == ExportFormat::Voc { "JPEGImages" } else { "images" };
        source.copy_to(&sighting.image, &self.folder.join(photos).join(&file))?;
        let size = sighting.size;
        let found = &sighting.detections;
        let object = |d: &crate::eval::Detection| Object {
            class: d.class,
            bbox: d.bbox,
            difficult: false,
            crowd: false,
            area: None,
        };
        let objects: Vec<Object> = found.iter().map(object).collect();
        self.count += 1;
        match self.format {
            ExportFormat::Voc => {
                let text = voc_text(&file, size, &objects, &self.class_names);
                self.write(&format!("Annotations/{name}.xml"), &text)
            }
            ExportFormat::Yolo => self.write(&format!("labels/{name}.txt"), &yolo_text(&objects)),
            ExportFormat::Coco => {
                let scores: Vec<f64> = found.iter().map(|d| d.score).collect();
                self.coco.add(self.count, &file, size, &objects, &scores);
                Ok(())
            }
        }
    }

    /// Writes what can only be written at the end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if self.format == ExportFormat::Coco {
            let text = std::mem::replace(&mut self.coco, CocoText::new(&[])).finish();
            self.write("annotations/instances.json", &text)?;
        }
        Ok(())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{}: cannot write the labels", path.display()))
    }
}
