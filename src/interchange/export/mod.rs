//! From the network to files, in the forms that other programs read.
//!
//! | form | input | outputs |
//! |---|---|---|
//! | raw heads | `input` [N, 3, H, W], `x / 127.5 - 1` | `box_encodings` [N, A, 4] (ty, tx, th, tw), `class_logits` [N, A, K] |
//! | jetson | `input_0`, the same | `scores` [N, A, K], `boxes` [N, A, 4]: x1 y1 x2 y2 in fractions of the image |
//! | detections, ssd, flat | `image` [1, 3, H, W], pixel values | boxes after suppression, see [`Form`] |
//!
//! The input is RGB, column 0 is the background everywhere. Padding is written as numbers, so a file is for one size.

mod decode;
mod label_file;
mod layout;
mod manual;
mod names;
mod onnx;
mod suppression;
mod tflite;

pub use tflite::{ByteInput, Calibration, Clipping, TfliteNumbers, TfliteOptions, TfliteOutputs, export_tflite};

use std::path::{Path, PathBuf};

use tract_onnx::pb::ModelProto;

pub use crate::interchange::onnx::builder::Opset;
pub(super) use layout::{ExportStep, Layout};

use crate::boxes::{BoxCoder, InputSize};
use crate::interchange::InterchangeError;
use crate::interchange::metadata::{Metadata, TrainedOn};
use crate::interchange::onnx::file;
use crate::interchange::table::roles;
use crate::model::{ConvWeights, Convention, Head, Ssd};
use label_file::FirstLine;

/// How many images the exported file takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// A symbolic dimension, `N`.
    Any,
    Fixed(usize),
}

/// The outputs of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    RawHeads,
    /// Scores and decoded boxes, as jetson-inference loads them.
    Jetson,
    /// `detection_boxes`, `detection_scores`, `detection_classes`, `num_detections`, as TensorFlow's detection API names
    /// them; one image.
    Detections,
    /// One output [1, 1, 100, 7], as OpenVINO's and Caffe's SSDs have it; one image.
    Ssd,
    /// One output [100, 7] in pixels, as flat YOLO-NAS files have it; one image.
    Flat,
}

impl Form {
    /// The name of the input.
    pub fn input(self) -> &'static str {
        match self {
            Form::RawHeads => "input",
            Form::Jetson => "input_0",
            Form::Detections | Form::Ssd | Form::Flat => "image",
        }
    }

    /// The names of the outputs, in order.
    pub fn outputs(self) -> &'static [&'static str] {
        match self {
            Form::RawHeads => &[BOX_ENCODINGS, CLASS_LOGITS],
            Form::Jetson => &[SCORES, BOXES],
            Form::Detections => &suppression::DETECTIONS,
            Form::Ssd => &[suppression::SSD],
            Form::Flat => &[suppression::FLAT],
        }
    }

    /// True if the file normalises pixel values itself.
    pub fn takes_pixels(self) -> bool {
        self.suppresses()
    }

    /// True if non-maximum suppression is inside.
    pub fn suppresses(self) -> bool {
        matches!(self, Form::Detections | Form::Ssd | Form::Flat)
    }

    fn first_line(self) -> FirstLine {
        if self == Form::Flat { FirstLine::FirstClass } else { FirstLine::Background }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    pub size: InputSize,
    pub images: Images,
    /// Without the background: name `i` is class column `i + 1`.
    pub class_names: &'a [String],
    /// The meaning of the box predictors' deltas.
    pub coder: BoxCoder,
    pub form: Form,
    pub opset: Opset,
    /// The scores of best F1, where they are known: overall and for each class.
    pub thresholds: Option<(f64, &'a [Option<f64>])>,
    /// The data set that the network was trained on, where there is one.
    pub trained_on: Option<&'a TrainedOn>,
}

impl<'a> ExportOptions<'a> {
    /// The raw heads for any number of images, which can be trained again: nothing is known of the network's training.
    pub fn raw(size: impl Into<InputSize>, class_names: &'a [String]) -> Self {
        Self {
            size: size.into(),
            images: Images::Any,
            class_names,
            coder: BoxCoder::default(),
            form: Form::RawHeads,
            opset: Opset::default(),
            thresholds: None,
            trained_on: None,
        }
    }
}

/// Writes `path`, and the class names beside it in the lines that the form's consumers count, each replaced in one
/// step. Scales are folded into the weights on the way. Returns where the names are: `labels.txt`, unless another file
/// has it.
///
/// # Errors
/// If the network has no heads, names, anchors or classes disagree, a weight is not finite, or the disk refuses.
pub fn export(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<PathBuf, InterchangeError> {
    Document::new(network, path, options)?.write()
}

/// A file that is made and only has to be written: the network it was made from can be let go before.
pub struct Document {
    model: ModelProto,
    path: PathBuf,
    labels: String,
}

impl Document {
    /// # Errors
    /// As [`export`], but for the disk.
    pub fn new(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<Self, InterchangeError> {
        check(network, path, options)?;
        let model = onnx::model(network, path, options)?;
        let labels = label_file::text(options.class_names, options.form.first_line());
        Ok(Self { model, path: path.into(), labels })
    }

    /// Returns where the names are.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(self) -> Result<PathBuf, InterchangeError> {
        file::replace(&self.path, |to| file::encode(self.model, to))?;
        label_file::write(&self.path, &self.labels)
    }
}

pub const BOX_ENCODINGS: &str = "box_encodings";
pub const CLASS_LOGITS: &str = "class_logits";
pub const SCORES: &str = "scores";
pub const BOXES: &str = "boxes";

fn metadata(convention: &Convention, options: &ExportOptions) -> Metadata {
    Metadata {
        producer: Some(concat!("fieldtune ", env!("CARGO_PKG_VERSION")).into()),
        class_names: Some(options.class_names.to_vec()),
        input_size: Some(options.size),
        normalisation: Some("rgb / 127.5 - 1".into()),
        anchors: Some(convention.anchors.clone()),
        scores: Some(convention.scores),
        variances: Some(options.coder.weights.map(f64::recip)),
        trained_on: options.trained_on.cloned(),
        threshold: options.thresholds.map(|(overall, _)| overall),
        class_thresholds: options.thresholds.map(|(_, classes)| classes.to_vec()),
    }
}

fn refused(path: &Path, place: &str, found: impl Into<String>, expected: impl Into<String>) -> InterchangeError {
    InterchangeError::Export { path: path.into(), place: place.into(), found: found.into(), expected: expected.into() }
}

fn check(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<(), InterchangeError> {
    if options.form.suppresses() && options.images != Images::Fixed(1) {
        let expected = "one, for a form with suppression inside";
        return Err(refused(path, "images", format!("{:?}", options.images), expected));
    }
    if options.size.pixels() == 0 {
        return Err(refused(path, "input size", "0", "1 or more pixels"));
    }
    check_network(network, path, options.class_names)
}

fn check_network(network: &Ssd<ConvWeights>, path: &Path, class_names: &[String]) -> Result<(), InterchangeError> {
    let maps = 2 + network.extras.len();
    if network.heads.len() != maps {
        return Err(refused(path, "heads", network.heads.len().to_string(), format!("one per feature map, {maps}")));
    }
    if network.blocks.get(network.tap).is_none_or(|block| block.expand.is_none()) {
        return Err(refused(path, "tap", format!("block {}", network.tap), "a block with an expansion"));
    }
    if class_names.len() + 1 != network.classes {
        let expected = format!("{}, one per class column but the background's", network.classes.saturating_sub(1));
        return Err(refused(path, "class names", class_names.len().to_string(), expected));
    }
    if let Some(name) = class_names.iter().find(|name| name.contains(['\n', '\r'])) {
        return Err(refused(path, "class names", format!("{name:?}"), "names of one line"));
    }
    for (i, head) in network.heads.iter().enumerate() {
        check_head(i, head, network.classes, path)?;
    }
    for (stage, role, conv) in roles(network) {
        let channels = conv.spec.out_channels;
        let place = || format!("{stage:?} {role}");
        let lengths = [conv.weight.len(), conv.scale.len(), conv.bias.len()];
        if lengths != [conv.spec.weight_len(), channels, channels] {
            return Err(refused(path, &place(), format!("{lengths:?} numbers"), "those of its shape"));
        }
        if conv.weight.iter().chain(&conv.scale).chain(&conv.bias).any(|v| !v.is_finite()) {
            return Err(refused(path, &place(), "a weight that is not a finite number", "finite weights"));
        }
    }
    Ok(())
}

fn check_head(i: usize, head: &Head<ConvWeights>, classes: usize, path: &Path) -> Result<(), InterchangeError> {
    let widths = [head.box_predictor.spec.out_channels, head.class_predictor.spec.out_channels];
    let expected = [head.anchors_per_cell * 4, head.anchors_per_cell * classes];
    if widths == expected {
        return Ok(());
    }
    Err(refused(path, &format!("head {i}"), format!("{widths:?} channels"), format!("{expected:?}")))
}
