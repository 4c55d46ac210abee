//! From the nodes of a file to the normal form.
//!
//! A value is a layer's output seen through transposes and pads. Scale, shift and clamp that follow a convolution
//! are folded into it as long as nobody else reads what stands between them; whether they act on NCHW or NHWC
//! makes no difference, because every value knows which of its axes is which.

mod activation;
mod affine;
mod convolution;
mod view;

use std::collections::HashMap;

use super::layers::{Conv, DetectionLayer, FileLayer, LayerId, LayerKind, Layers, Order};
use crate::interchange::graph::Graph;
use crate::interchange::graph::node::{GraphNode, Op};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MapAxis {
    N,
    C,
    H,
    W,
}

const NCHW: [MapAxis; 4] = [MapAxis::N, MapAxis::C, MapAxis::H, MapAxis::W];
const NHWC: [MapAxis; 4] = [MapAxis::N, MapAxis::H, MapAxis::W, MapAxis::C];

/// A layer's output as some name in the file sees it.
#[derive(Clone)]
struct LayerOutput {
    layer: LayerId,
    /// The meaning of each axis; `None` once an opaque node has touched it.
    axes: Option<[MapAxis; 4]>,
    /// Zeros around it that a Pad node asked for: top, left, bottom, right.
    pad: [usize; 4],
    /// True if only the name at hand reads the layer.
    sole: bool,
    /// True if a QuantizeLinear stands before it and the DequantizeLinear is yet to come.
    quantized: bool,
}

/// The length of an input along one axis.
fn side(dims: &[Option<usize>], axes: [MapAxis; 4], axis: MapAxis) -> Option<usize> {
    axes.iter().zip(dims).find(|(a, _)| **a == axis).and_then(|(_, d)| *d)
}

/// The normal form of a graph.
pub fn layers(graph: &Graph) -> Layers {
    let mut normal = Normal { graph, all: Vec::new(), values: HashMap::new() };
    for input in &graph.inputs {
        let axes = match input.dims[..] {
            [_, Some(3), _, _] => Some(NCHW),
            [_, _, _, Some(3)] => Some(NHWC),
            _ => None,
        };
        let image = LayerKind::Image { scale: vec![1.0; 3], bias: vec![0.0; 3], pixels: input.pixels };
        let id = normal.push(&input.name, image, vec![]);
        normal.all[id].size = axes.and_then(|axes| {
            let [h, w] = [MapAxis::H, MapAxis::W].map(|axis| side(&input.dims, axes, axis));
            Some([h?, w?])
        });
        normal.all[id].channels = axes.map(|_| 3);
        normal.name(&input.name, id, axes);
    }
    for node in &graph.nodes {
        normal.add(node);
    }
    let outputs = graph.outputs.iter().filter_map(|n| Some((n.clone(), normal.values.get(n)?.layer))).collect();
    Layers::new(normal.all, outputs)
}

/// The normal form in the making.
struct Normal<'a> {
    graph: &'a Graph,
    all: Vec<FileLayer>,
    values: HashMap<String, LayerOutput>,
}

impl Normal<'_> {
    fn push(&mut self, node: &str, kind: LayerKind, inputs: Vec<LayerId>) -> LayerId {
        let before = |i: usize| inputs.get(i).map(|&id| &self.all[id]);
        let (channels, size) = match &kind {
            LayerKind::Sum => {
                let [a, b] = [before(0), before(1)];
                (
                    a.and_then(|l| l.channels).or(b.and_then(|l| l.channels)),
                    a.and_then(|l| l.size).or(b.and_then(|l| l.size)),
                )
            }
            LayerKind::Conv(conv) => {
                (Some(conv.out_channels()), before(0).and_then(|l| l.size).and_then(|size| conv.output_size(size)))
            }
            _ => (None, None),
        };
        self.all.push(FileLayer { node: node.into(), kind, inputs, channels, size });
        self.all.len() - 1
    }

    fn name(&mut self, output: &str, layer: LayerId, axes: Option<[MapAxis; 4]>) {
        self.values.insert(output.into(), LayerOutput { layer, axes, pad: [0; 4], sole: true, quantized: false });
    }

    fn add(&mut self, node: &GraphNode) {
        let seen = match node.op {
            Op::Identity | Op::Cast | Op::Dropout => self.value(node, 0),
            Op::Quantize => self.saturated(node),
            Op::Dequantize => self.dequantized(node),
            Op::Reshape => self.viewed(node),
            Op::Transpose => self.transposed(node),
            Op::Pad => self.padded(node),
            Op::BatchNorm => self.normalised(node),
            Op::Clip | Op::Relu | Op::Min | Op::Max => self.clamped(node),
            Op::Add | Op::Sub | Op::Mul | Op::Div => self.shifted(node),
            _ => None,
        };
        match (seen, &node.op) {
            (Some(value), _) => {
                self.values.insert(node.output().into(), value);
            }
            (None, Op::Conv) => self.conv(node),
            (None, Op::Add) => self.sum(node),
            (None, Op::DetectionOutput) => self.detections(node),
            (None, _) => self.opaque(node),
        }
    }

    /// The value that input `i` of `node` reads.
    fn value(&self, node: &GraphNode, i: usize) -> Option<LayerOutput> {
        let name = node.input(i)?;
        let mut value = self.values.get(name)?.clone();
        value.sole &= self.graph.uses.get(name) == Some(&1);
        Some(value)
    }

    fn opaque(&mut self, node: &GraphNode) {
        let columns = match node.op {
            Op::Reshape => self.graph.constant(node, 1).and_then(|c| c.array.integers().last().copied()),
            _ => None,
        };
        // Asking for a shape does not read the data.
        let inputs = if node.op == Op::Shape { vec![] } else { self.inputs(node) };
        let constants = (0..node.inputs.len()).filter_map(|i| Some(self.graph.constant(node, i)?.array.clone()));
        let kind = LayerKind::Opaque { op: node.op.clone(), columns, constants: constants.collect() };
        let id = self.push(&node.name, kind, inputs);
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            self.name(output, id, None);
        }
    }

    fn inputs(&self, node: &GraphNode) -> Vec<LayerId> {
        (0..node.inputs.len()).filter_map(|i| Some(self.value(node, i)?.layer)).collect()
    }

    /// The convolution behind a value, if what follows may still be folded into it.
    fn foldable(&mut self, value: &LayerOutput) -> Option<&mut Conv> {
        let free = value.sole && value.pad == [0; 4];
        match &mut self.all.get_mut(value.layer)?.kind {
            LayerKind::Conv(conv) if free => Some(conv),
            _ => None,
        }
    }

    fn detections(&mut self, node: &GraphNode) {
        let ends = [0, 1].map(|i| self.value(node, i).map(|v| v.layer));
        let weights = node.floats("weights").and_then(|w| w.try_into().ok());
        let (&[Some(boxes), Some(scores)], Some(weights)) = (&ends, weights) else { return self.opaque(node) };
        let found = DetectionLayer {
            boxes,
            scores,
            anchors: self.graph.constant(node, 2).map(|c| c.array.clone()),
            rule: node.text("rule").map(String::from),
            weights,
            order: if node.text("order") == Some("xy") { Order::Xy } else { Order::Yx },
            classes: node.int("classes").and_then(|k| usize::try_from(k).ok()),
        };
        let id = self.push(&node.name, LayerKind::Detections(Box::new(found)), vec![boxes, scores]);
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            self.name(output, id, None);
        }
    }

    fn sum(&mut self, node: &GraphNode) {
        match (self.value(node, 0), self.value(node, 1)) {
            (Some(a), Some(b)) if a.axes == b.axes && a.pad == [0; 4] && b.pad == [0; 4] => {
                let id = self.push(&node.name, LayerKind::Sum, vec![a.layer, b.layer]);
                self.name(node.output(), id, a.axes);
            }
            _ => self.opaque(node),
        }
    }
}
