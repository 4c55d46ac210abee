//! `fieldtune export`: writes a detector in the form that another program expects.

use super::export_photos::ExportPhotos;
use super::export_proof::{Exactness, ExportedFile, prove};
use super::export_tflite;
use crate::boxes::InputSize;
use crate::interchange::{ExportOptions, Form, Images, Opset, WrittenFile, export};
use crate::session::{LoadedDetector, LoadedTflite, check_size, set_threads, terminal};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArgument {
    /// `class_logits` and `box_encodings`, any number of images: what can be trained again
    Raw,
    /// `scores` (background first) and `boxes` (x1 y1 x2 y2 in 0..1): detectnet, OpenCV
    Jetson,
    /// Suppression inside: `detection_boxes`, `detection_scores`, `detection_classes`, `num_detections`
    Detections,
    /// Suppression inside, one output [1, 1, 100, 7]: OpenVINO, Frigate's openvino detector
    Ssd,
    /// Suppression inside, one output [100, 7] in pixels: Frigate's onnx detector (as yolonas)
    Flat,
    /// TensorFlow Lite, with its detection operator: Raspberry Pi, Frigate's cpu detector, Coral
    Tflite,
}

impl FormArgument {
    /// `None` for what is no ONNX.
    fn onnx(self) -> Option<(Images, Form)> {
        match self {
            Self::Raw => Some((Images::Any, Form::RawHeads)),
            Self::Jetson => Some((Images::Fixed(1), Form::Jetson)),
            Self::Detections => Some((Images::Fixed(1), Form::Detections)),
            Self::Ssd => Some((Images::Fixed(1), Form::Ssd)),
            Self::Flat => Some((Images::Fixed(1), Form::Flat)),
            Self::Tflite => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A trained detector (a run's weights/best.onnx), or the name of kept weights
    pub model: PathBuf,
    /// The file to write: .onnx or .tflite
    #[arg(short, long)]
    pub output: PathBuf,
    /// Names of the model's classes where its file has none: cat,dog or a file, one a line
    #[arg(long)]
    pub names: Option<String>,
    /// The form of the file's outputs [default: jetson, or tflite where the file is named so]
    #[arg(long, value_enum)]
    pub form: Option<FormArgument>,
    /// Version of ONNX's operators, 10 to 18; the oldest is read by most programs
    #[arg(long, default_value = "10", value_parser = parse_opset)]
    pub opset: Opset,
    /// Input size in pixels (320, or HEIGHTxWIDTH), if not the one that the network was trained at
    #[arg(long)]
    pub size: Option<InputSize>,
    /// Labelled photos (a folder, a label file, a pack): the written file is run on the validation split, and its AP stands
    /// beside that of the network
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub tflite: export_tflite::TfliteArguments,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
}

fn parse_opset(text: &str) -> Result<Opset, String> {
    let version = text.parse().ok().and_then(Opset::new);
    version.ok_or_else(|| format!("expected {} to {}", Opset::OLDEST, Opset::NEWEST))
}

pub fn run(arguments: ExportArguments) -> Result<u8> {
    let form = form(&arguments.output, arguments.form)?;
    set_threads(arguments.threads)?;
    let loaded = LoadedDetector::open(&arguments.model, arguments.names.as_deref())?;
    if let Some(size) = arguments.size {
        check_size(size)?;
    }
    let size = arguments.size.unwrap_or(loaded.size);
    let (output, lite) = (&arguments.output, &arguments.tflite);
    let onnx = form.onnx();
    if onnx.is_some() && lite.is_given() {
        bail!("{}: found options of TFLite\nhelp: name the file FILE.tflite", output.display());
    }
    lite.check(output)?;
    let photos = ExportPhotos::read(&loaded, size, arguments.data.as_deref(), lite.shown())?;
    let (labels, written, exactness) = match onnx {
        Some((images, form)) => {
            let options = ExportOptions {
                images,
                coder: loaded.detector.coder,
                form,
                opset: arguments.opset,
                thresholds: loaded.thresholds.as_ref().map(|(overall, classes)| (*overall, classes.as_slice())),
                trained_on: loaded.trained_on.as_ref(),
                ..ExportOptions::raw(size, &loaded.class_names)
            };
            let labels = export(&loaded.model.weights(), output, &options)?;
            (labels, ExportedFile::Onnx(WrittenFile::load(output, form, size)?), Exactness::Same)
        }
        None => {
            let labels = export_tflite::write(&loaded, size, output, lite, photos.calibration)?;
            (labels, ExportedFile::Tflite(Box::new(LoadedTflite::open(output)?)), lite.exactness())
        }
    };
    terminal::print_line(format_args!("{} and {} written", output.display(), labels.display()))?;
    prove(&loaded, &written, size, exactness, photos.validation.as_ref(), output)?;
    Ok(0)
}

/// The form asked for; a file's name must say what is inside, because programs go by it.
fn form(path: &Path, asked: Option<FormArgument>) -> Result<FormArgument> {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let (found, default) = match extension.as_deref() {
        Some("onnx") => (".onnx".to_string(), Some(FormArgument::Jetson)),
        Some("tflite") => (".tflite".to_string(), Some(FormArgument::Tflite)),
        Some(other) => (format!(".{other}"), None),
        None => ("no extension".to_string(), None),
    };
    let Some(default) = default else {
        bail!(
            "{}: found {found}, expected .onnx or .tflite\nhelp: name the file FILE.onnx or FILE.tflite",
            path.display()
        );
    };
    let form = asked.unwrap_or(default);
    if form.onnx().is_some() != default.onnx().is_some() {
        let expected = if form.onnx().is_some() { ".onnx" } else { ".tflite" };
        bail!(
            "{}: found {found}, expected {expected} for this form\nhelp: name the file FILE{expected}",
            path.display()
        );
    }
    Ok(form)
}
