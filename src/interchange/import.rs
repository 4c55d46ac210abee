//! From any readable file to a network: the bytes tell what reads them.

use std::fs;
use std::path::Path;

use super::imported::Imported;
use super::recognise::recognise;
use super::{InterchangeError, onnx, tflite, torch};

/// No network of this family has a file that large; what people hand in by mistake may.
const MOST_BYTES: u64 = 512 << 20;

/// Reads an SSD-MobileNet-V2, or the backbone of one, from an ONNX or TFLite file or a state dict.
///
/// Accepted: SSDLite and plain SSD, batch norm folded or not, NCHW or NHWC with transposes, quantised weights and
/// activations, separate Pad nodes, ReLU6 in its spellings, kernels trimmed to 2x2 or 1x1 on small maps, heads
/// without depthwise, classifiers (backbone only), and anything after the predictors.
///
/// # Errors
/// If the file is none of these, is damaged, or its backbone is not a MobileNetV2 from the stem to the last 1x1: what is
/// missing from a backbone is never filled in.
pub fn import(path: &Path) -> Result<Imported, InterchangeError> {
    let bytes = bytes(path)?;
    let graph = if tflite::is_tflite(&bytes) {
        tflite::graph(path, &bytes)?
    } else if torch::is_zip(&bytes) || torch::is_legacy(&bytes) || torch::is_safetensors(&bytes) {
        torch::graph(path, &bytes)?
    } else {
        onnx::read::graph(path, onnx::file::decode(path, bytes)?)?
    };
    recognise(path, &graph)
}

/// The whole file, if it is one and not absurdly large.
fn bytes(path: &Path) -> Result<Vec<u8>, InterchangeError> {
    let unreadable = |error| InterchangeError::Read { path: path.into(), error };
    let not_a_model = |found: String| InterchangeError::NotOnnx {
        path: path.into(),
        found,
        help: "give an .onnx, .tflite, .pth or .safetensors file of the network",
    };
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(not_a_model("something that is not a regular file".into()));
    }
    if about.len() == 0 {
        return Err(not_a_model("an empty file".into()));
    }
    if about.len() > MOST_BYTES {
        return Err(not_a_model(format!("a file of {} bytes, more than any such network has", about.len())));
    }
    fs::read(path).map_err(unreadable)
}
