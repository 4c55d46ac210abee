//! The ONNX graph of a layout in one of its forms.

use std::path::Path;

use tract_onnx::pb::{ModelProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto};

use super::layout::{ExportStep, HeadOutput, Layout};
use super::{
    BOX_ENCODINGS, BOXES, CLASS_LOGITS, ExportOptions, Form, Images, SCORES, decode, manual, metadata, refused,
    suppression,
};
use crate::boxes::{Anchors, CenterBox, ScoreFunction};
use crate::interchange::InterchangeError;
use crate::interchange::onnx::builder::{Builder, Dim, int, ints, value};
use crate::interchange::onnx::tensor;
use crate::model::{ConvWeights, Ssd};

/// # Errors
/// If a kernel does not fit into its map, or the anchors are not those of the heads.
pub fn model(network: &Ssd<ConvWeights>, path: &Path, options: &ExportOptions) -> Result<ModelProto, InterchangeError> {
    let layout = Layout::of(network, options.size.dims(), path)?;
    let anchors = anchors(network, options.size.dims(), path)?;
    let mut graph = Builder::new(options.opset);
    body(&mut graph, &layout, options, network.classes);
    let outputs = tail(&mut graph, options, network.convention.scores, anchors.centers(), network.classes);
    let [height, width] = options.size.dims().map(Dim::Fixed);
    let input = value(options.form.input(), &[images(options), Dim::Fixed(3), height, width]);
    let mut metadata_props = metadata(&network.convention, options).entries();
    let grid = manual::anchor_grid(anchors.centers(), &layout.maps);
    metadata_props.push(StringStringEntryProto { key: manual::ANCHOR_GRID.into(), value: grid });
    Ok(ModelProto {
        ir_version: options.opset.ir_version(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: options.opset.version() }],
        producer_name: "fieldtune".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: manual::text(options, network.convention.scores, anchors.len(), network.classes),
        graph: Some(graph.finish("ssdlite_mobilenet_v2", input, outputs)),
        metadata_props,
        ..Default::default()
    })
}

/// The anchors that the heads' outputs are coded against.
///
/// # Errors
/// If the heads have other anchors per cell than the network's rule.
pub fn anchors(network: &Ssd<ConvWeights>, size: [usize; 2], path: &Path) -> Result<Anchors, InterchangeError> {
    network.specs().anchors(size).map_err(|e| refused(path, "anchors", e.found, e.expected))
}

fn images(options: &ExportOptions) -> Dim {
    match options.images {
        Images::Any => Dim::Named("N"),
        Images::Fixed(n) => Dim::Fixed(n),
    }
}

/// From the image to `box_encodings` and `class_logits`.
fn body(graph: &mut Builder, layout: &Layout, options: &ExportOptions, classes: usize) {
    let image =
        if options.form.takes_pixels() { normalised(graph, options.form.input()) } else { options.form.input().into() };
    // The builder names a convolution's output as the layout does.
    let name = |value: usize| if value == 0 { image.as_str() } else { layout.values[value].name.as_str() };
    for step in &layout.steps {
        match step {
            ExportStep::Conv { scope, conv, pads, input, .. } => {
                graph.conv(scope, name(*input), conv, *pads);
            }
            ExportStep::Add { scope, inputs: [a, b], .. } => {
                graph.node("Add", scope, &[name(*a), name(*b)], scope.clone(), vec![]);
            }
        }
    }
    let ends = [("shape_box", 4, &layout.boxes, BOX_ENCODINGS), ("shape_cls", classes, &layout.classes, CLASS_LOGITS)];
    for (target, columns, branches, joined) in ends {
        graph.list(target, &[0, -1, columns as i64]);
        let mut flat = |branch: &HeadOutput| {
            let [nhwc, flat] = ["nhwc", "flat"].map(|part| format!("{}/{part}", branch.scope));
            graph.node("Transpose", &nhwc, &[name(branch.value)], nhwc.clone(), vec![ints("perm", &[0, 2, 3, 1])]);
            graph.node("Reshape", &flat, &[&nhwc, target], flat.clone(), vec![])
        };
        let parts: Vec<String> = branches.iter().map(&mut flat).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        graph.node("Concat", joined, &parts, joined.into(), vec![int("axis", 1)]);
    }
}

/// Pixel values to `x / 127.5 - 1`.
fn normalised(graph: &mut Builder, input: &str) -> String {
    graph.initializer(tensor::floats("normalise/scale", &[1], &[1.0 / 127.5]));
    graph.initializer(tensor::floats("normalise/offset", &[1], &[-1.0]));
    let scaled = graph.node("Mul", "normalise/scaled", &[input, "normalise/scale"], "normalise/scaled".into(), vec![]);
    graph.node("Add", "normalise/out", &[&scaled, "normalise/offset"], "normalise/out".into(), vec![])
}

/// The form's nodes behind the raw heads, and the outputs.
fn tail(
    graph: &mut Builder,
    options: &ExportOptions,
    scores: ScoreFunction,
    anchors: &[CenterBox],
    classes: usize,
) -> Vec<ValueInfoProto> {
    let images = images(options);
    let row = |name: &str, columns: usize| value(name, &[images, Dim::Fixed(anchors.len()), Dim::Fixed(columns)]);
    if options.form == Form::RawHeads {
        return vec![row(BOX_ENCODINGS, 4), row(CLASS_LOGITS, classes)];
    }
    decode::scores(graph, scores, SCORES);
    let corners = decode::corners(graph, anchors, &options.coder);
    if options.form == Form::Jetson {
        let columns: Vec<&str> = corners.iter().map(String::as_str).collect();
        graph.node("Concat", BOXES, &columns, BOXES.into(), vec![int("axis", 2)]);
        return vec![row(SCORES, classes), row(BOXES, 4)];
    }
    let rows = suppression::rows(graph, SCORES, &corners, anchors.len(), classes);
    let [one, seven, many] = [1, 7, suppression::ROWS].map(Dim::Fixed);
    match options.form {
        Form::Detections => {
            suppression::detections(graph, &rows);
            let [boxes, scores, classes, count] = suppression::DETECTIONS;
            let list = [one, many];
            let boxes = value(boxes, &[one, many, Dim::Fixed(4)]);
            vec![boxes, value(scores, &list), value(classes, &list), value(count, &[one])]
        }
        Form::Ssd => {
            suppression::ssd(graph, &rows);
            vec![value(suppression::SSD, &[one, one, many, seven])]
        }
        _ => {
            suppression::flat(graph, &rows, options.size.dims());
            vec![value(suppression::FLAT, &[many, seven])]
        }
    }
}
