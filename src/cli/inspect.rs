//! `fieldtune inspect`: what a model file is, before anything is done with it.

use crate::interchange::{Imported, Scope, import};
use crate::model::{ConvKind, ConvWeights, Padding, Ssd};
use crate::session::terminal;
use crate::weights::{Store, class_names, resolve};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// An .onnx, .tflite, .pth or .safetensors file, or the name of kept weights
    pub model: PathBuf,
    /// Names of the model's classes where its file has none: cat,dog or a file, one a line
    #[arg(long)]
    pub names: Option<String>,
    /// As JSON, with all figures
    #[arg(long)]
    pub json: bool,
}

/// The input on which maps are counted where a file leaves its size open.
const OPEN_SIZE: [usize; 2] = [300, 300];

pub fn run(arguments: InspectArguments) -> Result<u8> {
    let path = resolve(&arguments.model, Store::of_user().as_ref())?;
    let mut imported = import(&path)?;
    match class_names(&path, &imported, arguments.names.as_deref()) {
        Ok(named) => imported.class_names = named.map(|named| named.names),
        // Labels that happen to lie beside the model do not keep it from being looked at.
        Err(error) if arguments.names.is_none() => {
            imported.warnings.push(error.to_string().lines().next().unwrap_or_default().into());
        }
        Err(error) => return Err(error.into()),
    }
    let about = about(&imported);
    if arguments.json {
        terminal::print_json(&about)?;
    } else {
        terminal::print(text(&about))?;
    }
    Ok(0)
}

/// A description of an imported network in the lines that `fieldtune inspect` prints.
pub fn described(imported: &Imported) -> String {
    text(&about(imported))
}

/// Everything worth knowing about an imported network; its keys are those of `--json`.
fn about(imported: &Imported) -> Value {
    let network = &imported.network;
    let size = imported.input_size.unwrap_or(OPEN_SIZE);
    let convs = network.convs();
    let numbers = |of: &ConvWeights| of.weight.len() + of.bias.len();
    let backbone: usize = convs.iter().filter(|(stage, _)| stage.is_backbone()).map(|(_, c)| numbers(c)).sum();
    let all: usize = convs.iter().map(|(_, c)| numbers(c)).sum();
    let normalisation = &imported.normalisation;
    let mut about = json!({
        "dialect": imported.dialect,
        "what": what(imported),
        "input": {
            "size": imported.input_size,
            "factor": normalisation.factor,
            "offset": normalisation.offset,
            "stated": normalisation.stated,
        },
        "padding": match network.stem.spec.padding {
            Padding::TfSame => "tensorflow",
            Padding::Explicit { .. } => "explicit",
        },
        "stem_channels": network.stem.spec.out_channels,
        "last_channels": network.last.spec.out_channels,
        "parameters": { "all": all, "backbone": backbone, "extras_and_heads": all - backbone },
        "tensors": { "matched": imported.tensor_count(), "without_a_place": imported.unused.len() },
        "trains": trains(imported),
        "repaired": imported.repairs,
        "warnings": imported.warnings,
    });
    if imported.scope == Scope::Detector {
        let cells = network.specs().map_sizes(size);
        let channels = map_channels(network);
        let maps = cells.iter().zip(channels).zip(&network.heads);
        let maps: Vec<Value> = maps
            .map(|((cells, channels), head)| {
                json!({ "cells": cells, "channels": channels, "anchors_per_cell": head.anchors_per_cell })
            })
            .collect();
        let anchors: usize = cells.iter().zip(&network.heads).map(|([h, w], head)| h * w * head.anchors_per_cell).sum();
        about["maps"] = json!(maps);
        about["anchors"] = json!({ "count": anchors, "rule": network.convention.anchors.to_string() });
        about["scores"] = json!(network.convention.scores.to_string());
        about["classes"] = json!({ "count": network.classes - 1, "names": imported.class_names });
    }
    about
}

fn what(imported: &Imported) -> String {
    let network = &imported.network;
    if let Scope::Backbone { why } = &imported.scope {
        return format!("the backbone of a MobileNetV2 ({why})");
    }
    let dense = network.extras.iter().any(|extra| extra.spatial.spec.kind == ConvKind::Dense);
    let lite = network.heads.iter().any(|head| head.box_depthwise.is_some());
    match (dense, lite) {
        (true, false) => "a detector, SSD-MobileNet-V2 (dense extras, 1x1 predictors)".into(),
        (false, true) => "a detector, SSDLite-MobileNet-V2".into(),
        (true, true) => "a detector, SSD-MobileNet-V2 (dense extras, depthwise predictors)".into(),
        (false, false) => "a detector, SSDLite-MobileNet-V2 (1x1 predictors)".into(),
    }
}

fn trains(imported: &Imported) -> String {
    match imported.scope {
        Scope::Detector => {
            "the whole network, on two of three measured sets a better start than its backbone alone; class \
                            predictors start fresh where the classes differ"
                .into()
        }
        Scope::Backbone { .. } => "the backbone; extras and heads start fresh".into(),
    }
}

fn map_channels(network: &Ssd<ConvWeights>) -> Vec<usize> {
    let tapped = network.blocks[network.tap].expand.iter().map(|conv| conv.spec.out_channels);
    let extras = network.extras.iter().map(|extra| extra.output().spec.out_channels);
    tapped.chain([network.last.spec.out_channels]).chain(extras).collect()
}

/// The same for people: a line for each fact.
fn text(about: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([h, w]) => format!("{h}x{w}"),
        _ => "open".into(),
    };
    let three = |value: &Value| {
        let numbers = value.as_array().into_iter().flatten().map(|n| format!("{:.5}", n.as_f64().unwrap_or_default()));
        numbers.collect::<Vec<_>>().join(" ")
    };
    let input = &about["input"];
    let known = if input["stated"] == true { "" } else { " (assumed)" };
    let mut lines = vec![
        ("file", word(&about["dialect"])),
        ("network", word(&about["what"])),
        (
            "input",
            format!(
                "{} pixels, byte p as p * [{}] + [{}]{known}",
                pair(&input["size"]),
                three(&input["factor"]),
                three(&input["offset"])
            ),
        ),
        ("padding", word(&about["padding"])),
    ];
    if let Some(maps) = about["maps"].as_array() {
        let maps = maps.iter().map(|m| format!("{}x{}", pair(&m["cells"]), m["channels"]));
        lines.push(("maps", maps.collect::<Vec<_>>().join(", ")));
        lines.push((
            "anchors",
            format!("{} by the rule {}", about["anchors"]["count"], word(&about["anchors"]["rule"])),
        ));
        let names = about["classes"]["names"].as_array();
        let names = names.map_or("no names".into(), |all| all.iter().map(word).collect::<Vec<_>>().join(", "));
        lines.push(("classes", format!("{}: {names}", about["classes"]["count"])));
        lines.push(("scores", word(&about["scores"])));
    }
    let parameters = &about["parameters"];
    lines.push(("parameters", format!("{}, {} of them the backbone's", parameters["all"], parameters["backbone"])));
    lines.push(("trains", word(&about["trains"])));
    for (title, key) in [("repaired", "repaired"), ("warning", "warnings")] {
        lines.extend(about[key].as_array().into_iter().flatten().map(|line| (title, word(line))));
    }
    lines.iter().map(|(title, line)| format!("{title:<11}{}\n", shown(line))).collect()
}

/// Text from a file, without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
