//! TensorFlow Lite files, written without TensorFlow: float32, float16 or int8, with detections or raw heads.
//!
//! `normalized_input_image_tensor` [1, H, W, 3] is RGB, `x / 127.5 - 1`; whole-number inputs are the pixel values
//! themselves (uint8) or those minus 128 (int8). Maps are NHWC, which is anchor-major already.

mod calibration;
mod draft;
mod flexbuffer;
mod graph;
mod metadata;
mod post_process;
mod quantise;

use std::path::{Path, PathBuf};

pub use calibration::{Calibration, Clipping};

use super::label_file::FirstLine;
use super::{label_file, layout, refused};
use crate::boxes::{BoxCoder, InputSize};
use crate::interchange::InterchangeError;
use crate::interchange::metadata::TrainedOn;
use crate::interchange::onnx::file;
use crate::model::{ConvWeights, Ssd};

/// The numbers that the file computes with.
#[derive(Clone, Copy, Debug)]
pub enum TfliteNumbers<'a> {
    Float32,
    /// Weights of 16 bits, computed with 32.
    Float16,
    /// Everything but scores and boxes in 8 bits.
    Int8 {
        calibration: &'a Calibration,
        input: ByteInput,
    },
}

/// The type of a whole-number input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteInput {
    /// The pixel value.
    Unsigned,
    /// The pixel value minus 128.
    Signed,
}

/// The outputs of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TfliteOutputs {
    /// Boxes, classes, scores and their number, by the operator TFLite_Detection_PostProcess.
    PostProcess,
    /// `raw_outputs/box_encodings` [1, A, 4] and `raw_outputs/class_predictions` [1, A, K] (logits).
    Raw,
}

#[derive(Clone, Copy, Debug)]
pub struct TfliteOptions<'a> {
    pub size: InputSize,
    /// Without the background.
    pub class_names: &'a [String],
    pub coder: BoxCoder,
    pub numbers: TfliteNumbers<'a>,
    pub detections: TfliteOutputs,
    /// The score below which the metadata call a detection unsure.
    pub threshold: Option<f32>,
    /// The data set that the network was trained on, where there is one.
    pub trained_on: Option<&'a TrainedOn>,
}

/// Writes `path` with names and normalisation inside, and the names beside it, one a line without the background.
/// Returns where the names are.
///
/// # Errors
/// If the network cannot be written as asked, or the disk refuses.
pub fn export_tflite(
    network: &Ssd<ConvWeights>,
    path: &Path,
    options: &TfliteOptions,
) -> Result<PathBuf, InterchangeError> {
    let bytes = tflite_bytes(network, path, options)?;
    file::replace(path, |to| to.write_all(&bytes))?;
    label_file::write(path, &label_file::text(options.class_names, FirstLine::FirstClass))
}

/// The file as bytes; `path` is for messages.
///
/// # Errors
/// As [`export_tflite`], but for the disk.
pub fn tflite_bytes(
    network: &Ssd<ConvWeights>,
    path: &Path,
    options: &TfliteOptions,
) -> Result<Vec<u8>, InterchangeError> {
    super::check_network(network, path, options.class_names)?;
    if options.size.pixels() == 0 {
        return Err(refused(path, "input size", "0", "1 or more pixels"));
    }
    let layout = layout::Layout::of(network, options.size.dims(), path)?;
    let anchors = super::onnx::anchors(network, options.size.dims(), path)?;
    if let TfliteNumbers::Int8 { calibration, .. } = options.numbers
        && calibration.values() != layout.values.len()
    {
        let expected = format!("{}, those of the network", layout.values.len());
        return Err(refused(path, "calibrated values", calibration.values().to_string(), expected));
    }
    let draft = graph::draft(network, &layout, &anchors, options);
    let grid = super::manual::anchor_grid(anchors.centers(), &layout.maps);
    let about = [
        ("fieldtune.producer", concat!("fieldtune ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("fieldtune.class_names", serde_json::Value::from(options.class_names.to_vec()).to_string()),
        ("fieldtune.scores", network.convention.scores.to_string()),
        ("fieldtune.anchors", network.convention.anchors.to_string()),
        (super::manual::ANCHOR_GRID, grid),
    ];
    let description = format!(
        "SSD-MobileNet-V2 detector of {} classes, written by fieldtune {}",
        options.class_names.len(),
        env!("CARGO_PKG_VERSION")
    );
    // The runtime of 2020 has all these operators in these versions.
    let mut extra = vec![("min_runtime_version", b"2.3.0\0\0\0\0\0\0\0\0\0\0\0".to_vec())];
    extra.push(("TFLITE_METADATA", metadata::bytes(options.detections, &description, options.threshold)));
    if let Some(text) = options.trained_on.and_then(|t| serde_json::to_string(t).ok()) {
        extra.push(("fieldtune.trained_on", text.into_bytes()));
    }
    if let Some(threshold) = options.threshold {
        extra.push(("fieldtune.threshold", format!("{threshold:.3}").into_bytes()));
    }
    extra.extend(about.map(|(name, text)| (name, text.into_bytes())));
    let model = draft.encode(&description, &extra);
    let labels = label_file::text(options.class_names, FirstLine::FirstClass);
    metadata::with_labels(model, &labels).map_err(|error| InterchangeError::Write { path: path.into(), error })
}
