//! The destinations of detections: to the terminal as JSON, and into a folder as pictures, lists and labels.

use super::finder::{Finder, SearchedPicture};
use super::label_set::LabelSet;
use super::output_folder::{OutputFolder, with_ending};
use super::photo_list::LISTS;
use super::picture_source::PictureSource;
use crate::data::ExportFormat;
use crate::eval::Detection;
use crate::report::{Marker, draw_markers, write_jpeg, write_png};
use crate::session::terminal;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The files saved in the folder besides the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Saved {
    /// Annotated pictures
    Pictures,
    /// The list alone
    Json,
    /// Photos with Pascal VOC labels
    Voc,
    /// Photos with YOLO labels
    Yolo,
    /// Photos with COCO labels
    Coco,
}

/// The text that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// A sentence at the end.
    Summary,
    /// One JSON value at the end.
    Whole,
    /// A line of JSON for each picture at once.
    Lines,
}

#[derive(Clone, Debug)]
pub struct ResultOptions {
    pub output: PathBuf,
    pub saved: Vec<Saved>,
    pub printed: Printed,
    /// PNG instead of JPEG.
    pub png: bool,
    /// True if the end may be long in coming: the list is written line by line.
    pub endless: bool,
}

/// See [`PredictionResults::open`].
pub struct PredictionResults {
    options: ResultOptions,
    folder: Option<OutputFolder>,
    labels: Vec<LabelSet>,
    /// The list of an endless source.
    lines: Option<File>,
    /// The list of a source with an end.
    all: Vec<Value>,
}

impl PredictionResults {
    /// Makes the folder, where there is something to save.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(options: ResultOptions, class_names: &[String]) -> Result<Self> {
        let folder = (!options.saved.is_empty()).then(|| OutputFolder::make(&options.output)).transpose()?;
        let (mut labels, mut lines) = (Vec::new(), None);
        if let Some(folder) = &folder {
            for saved in &options.saved {
                let Some((format, name)) = label_format(*saved) else { continue };
                labels.push(LabelSet::begin(format, folder.make_inside(name)?, class_names)?);
            }
            let path = folder.path().join(LISTS[1]);
            let file = options.endless.then(|| File::create_new(&path)).transpose();
            lines = file.with_context(|| format!("{}: cannot write", path.display()))?;
        }
        Ok(Self { options, folder, labels, lines, all: Vec::new() })
    }

    /// The folder that results are written to.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(OutputFolder::path)
    }

    /// Takes a picture that was looked at.
    ///
    /// # Errors
    /// If something cannot be written, or the reader of standard output has left.
    pub fn take(&mut self, finder: &Finder, source: PictureSource, mut sighting: SearchedPicture) -> Result<()> {
        let mut value = finder.json(&source.label(), &sighting);
        if let Some(folder) = &mut self.folder {
            let name = match source {
                PictureSource::File(_) => folder.free_name(&source.stem()),
                PictureSource::Frame(_) => folder.free_frame_name(&source.stem()),
            };
            for set in &mut self.labels {
                set.add(&name, source, &sighting)?;
            }
            if self.options.saved.contains(&Saved::Pictures) {
                let file = with_ending(&name, if self.options.png { "png" } else { "jpg" });
                let path = folder.path().join(&file);
                let marker =
                    |d: &Detection| Marker::detection(d.bbox, d.class, &finder.class_names()[d.class], d.score);
                let markers: Vec<Marker> = sighting.detections.iter().map(marker).collect();
                draw_markers(&mut sighting.image, &markers);
                let write = if self.options.png { write_png } else { write_jpeg };
                write(&sighting.image, &path)?;
                value["picture"] = file.to_string_lossy().into();
            }
        }
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{value}").context("detections.jsonl: cannot write")?;
        }
        if self.options.printed == Printed::Lines {
            terminal::stream_json(&value)?;
        }
        let whole = self.options.printed == Printed::Whole || self.folder.is_some();
        if whole && !self.options.endless {
            self.all.push(value);
        }
        Ok(())
    }

    /// Writes and prints what can only be written at the end. Returns what was saved and where, in words.
    ///
    /// # Errors
    /// If it cannot be written, or another call has done so meanwhile.
    pub fn finish(self) -> Result<Option<String>> {
        let all = Value::Array(self.all);
        if self.options.printed == Printed::Whole {
            terminal::print_json(&all)?;
        }
        let Some(folder) = self.folder else { return Ok(None) };
        let mut saved = Vec::new();
        if self.options.saved.contains(&Saved::Pictures) {
            saved.push("pictures".to_string());
        }
        for set in self.labels {
            let name = set.folder().file_name().unwrap_or_default().to_string_lossy().into_owned();
            set.finish()?;
            saved.push(name);
        }
        if !self.options.endless {
            let path = folder.path().join(LISTS[0]);
            let text = serde_json::to_string_pretty(&all)?;
            let made = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
            made.with_context(|| format!("{}: cannot write", path.display()))?;
        }
        let list = LISTS[usize::from(self.options.endless)];
        let saved = if saved.is_empty() { list.to_string() } else { format!("{} and {list}", saved.join(", ")) };
        Ok(Some(format!("{saved} in {}", folder.path().display())))
    }
}

fn label_format(saved: Saved) -> Option<(ExportFormat, &'static str)> {
    match saved {
        Saved::Voc => Some((ExportFormat::Voc, "voc")),
        Saved::Yolo => Some((ExportFormat::Yolo, "yolo")),
        Saved::Coco => Some((ExportFormat::Coco, "coco")),
        Saved::Pictures | Saved::Json => None,
    }
}
