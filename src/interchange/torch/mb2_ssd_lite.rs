//! pytorch-ssd's `mb2-ssd-lite`: a whole detector, its boxes and scores written down as that project decodes them.

use super::writer::{Normed, PickleWriter, STRIDES};
use crate::interchange::InterchangeError;
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::node::{GraphNode, Op};

/// Side of its input in pixels.
pub const SIZE: usize = 300;

/// Its input for a pixel's byte p is `(p - 127) / 128`.
pub const PIXELS: [f64; 2] = [1.0 / 128.0, -127.0 / 128.0];

/// The block whose expansion is map 0, counted from 0.
const TAP: usize = 13;

const MAPS: usize = 6;
const ANCHORS: usize = 6;

/// Adds the network behind `image`; returns the outputs' names.
pub fn detector(writer: &mut PickleWriter, image: &str) -> Result<Vec<String>, InterchangeError> {
    let mut maps = Vec::new();
    let stem = Normed { conv: "base_net.0.0", norm: "base_net.0.1", stride: 2, relu6: true };
    let (mut at, mut channels) = writer.normed(image, stem)?;
    for (i, stride) in STRIDES.into_iter().enumerate() {
        let names = writer.torchvision_names(&format!("base_net.{}", i + 1));
        let expanded;
        (at, channels, expanded) = writer.block(&at, channels, &names, stride)?;
        maps.extend(expanded.filter(|_| i == TAP));
    }
    let last = Normed { conv: "base_net.18.0", norm: "base_net.18.1", stride: 1, relu6: true };
    (at, channels) = writer.normed(&at, last)?;
    maps.push(at.clone());
    for i in 0..MAPS - 2 {
        let names = writer.torchvision_names(&format!("extras.{i}"));
        (at, channels, _) = writer.block(&at, channels, &names, 2)?;
        maps.push(at.clone());
    }
    let (boxes, _) = heads(writer, "regression_headers", &maps)?;
    let (logits, columns) = heads(writer, "classification_headers", &maps)?;
    writer.draft.add(GraphNode::new(Op::Softmax, &[&logits], "scores"));
    let decode = GraphNode::new(Op::DetectionOutput, &[&boxes, "scores"], "boxes")
        .with("weights", vec![10.0f32, 10.0, 5.0, 5.0])
        .with("order", "xy")
        .with("rule", "pytorch-ssd")
        .with("classes", columns.saturating_sub(1) as i64);
    writer.draft.add(decode);
    Ok(vec!["scores".into(), "boxes".into()])
}

/// The predictors of one kind on all maps, joined; returns their name and the columns for each anchor.
fn heads(writer: &mut PickleWriter, kind: &str, maps: &[String]) -> Result<(String, usize), InterchangeError> {
    let (mut parts, mut columns) = (Vec::new(), 0);
    for (i, map) in maps.iter().enumerate() {
        let prefix = format!("{kind}.{i}");
        let separable = writer.dict.has(&format!("{prefix}.0.weight"));
        let (end, channels) = if separable {
            let [conv, norm] = ["0", "1"].map(|part| format!("{prefix}.{part}"));
            let depthwise = Normed { conv: &conv, norm: &norm, stride: 1, relu6: true };
            let inside = writer.normed(map, depthwise)?.0;
            writer.conv(&inside, &format!("{prefix}.3"), 1)?
        } else {
            writer.conv(map, &prefix, 1)?
        };
        columns = channels / ANCHORS;
        let [moved, flat, shape] = ["nhwc", "flat", "shape"].map(|part| format!("{prefix}/{part}"));
        writer.draft.add(GraphNode::new(Op::Transpose, &[&end], &moved).with("perm", [0i64, 2, 3, 1]));
        let target = vec![1.0, -1.0, columns as f32];
        if let Some(array) = ConstantArray::new(vec![3], target) {
            writer.draft.literal(&shape, array);
        }
        writer.draft.add(GraphNode::new(Op::Reshape, &[&moved, &shape], &flat));
        parts.push(flat);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let joined = format!("{kind}/joined");
    writer.draft.add(GraphNode::new(Op::Concat, &parts, &joined).with("axis", 1i64));
    Ok((joined, columns))
}
