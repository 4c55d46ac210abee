//! The network of a state dict, by the names of its tensors, and its graph.

use std::path::Path;

use super::state_dict::StateDict;
use super::writer::PickleWriter;
use super::{archive, classifier, mb2_ssd_lite, safe};
use crate::interchange::InterchangeError;
use crate::interchange::graph::draft::GraphDraft;
use crate::interchange::graph::{AboutFile, Graph, GraphInput};

/// The name that the graph's input gets.
const IMAGE: &str = "image";

/// Side of the classifiers' input in pixels.
const CLASSIFIER_SIZE: usize = 224;

/// # Errors
/// If the file is damaged, holds anything but tensors, or they are those of a network that is not known here.
pub fn graph(path: &Path, bytes: &[u8]) -> Result<Graph, InterchangeError> {
    let unknown = |found: String, help: &'static str| InterchangeError::Format {
        path: path.into(),
        found,
        expected: "the tensors of torchvision's mobilenet_v2, timm's mobilenetv2 or pytorch-ssd's mb2-ssd-lite".into(),
        help,
    };
    if archive::is_legacy(bytes) {
        let help = "load it with a newer PyTorch and write it again with torch.save";
        return Err(unknown("a file of PyTorch before version 1.6".into(), help));
    }
    let dict = if safe::is_safetensors(bytes) { safe::read(path, bytes)? } else { archive::read(path, bytes)? };
    let dict = dict.without_prefix();
    let mut writer = PickleWriter { path, dict, draft: GraphDraft::default() };
    let (name, size, pixels, outputs);
    if writer.dict.has("features.0.0.weight") && writer.dict.has("features.18.0.weight") {
        outputs = vec![classifier::torchvision(&mut writer, IMAGE)?];
        (name, size, pixels) = ("torchvision's mobilenet_v2", CLASSIFIER_SIZE, None);
    } else if writer.dict.has("conv_stem.weight") && writer.dict.has("blocks.0.0.conv_dw.weight") {
        outputs = vec![classifier::timm(&mut writer, IMAGE)?];
        (name, size, pixels) = ("timm's mobilenetv2", CLASSIFIER_SIZE, None);
    } else if writer.dict.has("base_net.0.0.weight") && writer.dict.has("classification_headers.5.weight") {
        outputs = mb2_ssd_lite::detector(&mut writer, IMAGE)?;
        (name, size, pixels) = ("pytorch-ssd's mb2-ssd-lite", mb2_ssd_lite::SIZE, Some(mb2_ssd_lite::PIXELS));
    } else {
        return Err(unknown(told(&writer.dict), "export the network to ONNX and give that file"));
    }
    let input = GraphInput { name: IMAGE.into(), dims: vec![None, Some(3), Some(size), Some(size)], pixels };
    let about = AboutFile { dialect: format!("state dict of {name}"), ..AboutFile::default() };
    Ok(writer.draft.finish(vec![input], outputs, about))
}

/// A state dict in a few words.
fn told(dict: &StateDict) -> String {
    let printable =
        |name: &String| -> String { name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect() };
    match dict.tensors.keys().next().map(printable) {
        Some(first) => format!("{} tensors of another network (`{first}`, ...)", dict.tensors.len()),
        None => "a state dict without tensors".into(),
    }
}
