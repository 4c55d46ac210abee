//! Nodes of the graph: an operator with ONNX's meaning, named values in and out, attributes by type.
//!
//! Every reader puts its own operators into these words; nothing behind a reader sees an operator's name in a file.

use super::attribute::Attribute;

/// The operators that recognition understands, and [`Op::Other`] for the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Add,
    BatchNorm,
    Cast,
    Clip,
    Concat,
    Conv,
    Dequantize,
    /// Raw boxes, scores and anchors to detections, as TFLite's own operator does it. Inputs: boxes `[N, A, 4]`, scores
    /// `[N, A, K]`, anchors `[A, 4]` (may be left out). Attributes: `weights`, the box coder's for each column; `order`,
    /// `yx` (ty, tx, th, tw and cy, cx, h, w) or `xy` (x before y); `classes`, without the background; `rule`, the name
    /// of the rule for anchors that are left out.
    DetectionOutput,
    Div,
    Dropout,
    Exp,
    Identity,
    Max,
    Min,
    Mul,
    Neg,
    Pad,
    Quantize,
    Reciprocal,
    Relu,
    Reshape,
    Shape,
    Sigmoid,
    Softmax,
    Sqrt,
    Squeeze,
    Sub,
    Transpose,
    Unsqueeze,
    /// An operator that only its own program understands, by the name it has there.
    Other(String),
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            Self::BatchNorm => f.write_str("BatchNormalization"),
            Self::Dequantize => f.write_str("DequantizeLinear"),
            Self::Quantize => f.write_str("QuantizeLinear"),
            known => write!(f, "{known:?}"),
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// Its name, or its first output where it has none.
    pub name: String,
    pub op: Op,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<(String, Attribute)>,
}

impl GraphNode {
    /// A node with one output, named after it.
    pub fn new(op: Op, inputs: &[&str], output: &str) -> Self {
        let inputs = inputs.iter().map(|&i| i.into()).collect();
        Self { name: output.into(), op, inputs, outputs: vec![output.into()], attributes: Vec::new() }
    }

    /// The same node with one attribute more.
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The name of input `i`, `None` where it is left out.
    pub fn input(&self, i: usize) -> Option<&str> {
        self.inputs.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub fn output(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name)? {
            Attribute::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name)? {
            Attribute::Float(f) => Some(*f),
            _ => None,
        }
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attribute(name)? {
            Attribute::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.attribute(name)? {
            Attribute::Floats(floats) => Some(floats),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }
}
