//! Nodes with their operator as an enum and their attributes by type: the only place that reads operator strings.

use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// The operators that the importer understands, and [`Op::Other`] for the rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    Add,
    BatchNorm,
    Cast,
    Clip,
    Concat,
    Constant,
    Conv,
    Dequantize,
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
    Other(String),
}

impl Op {
    fn parse(domain: &str, op_type: &str) -> Self {
        if !matches!(domain, "" | "ai.onnx") {
            return Self::Other(format!("{domain}.{op_type}"));
        }
        match op_type {
            "Add" => Self::Add,
            "BatchNormalization" => Self::BatchNorm,
            "Cast" => Self::Cast,
            "Clip" => Self::Clip,
            "Concat" => Self::Concat,
            "Constant" => Self::Constant,
            "Conv" => Self::Conv,
            "DequantizeLinear" => Self::Dequantize,
            "Div" => Self::Div,
            "Dropout" => Self::Dropout,
            "Exp" => Self::Exp,
            "Identity" => Self::Identity,
            "Max" => Self::Max,
            "Min" => Self::Min,
            "Mul" => Self::Mul,
            "Neg" => Self::Neg,
            "Pad" => Self::Pad,
            "QuantizeLinear" => Self::Quantize,
            "Reciprocal" => Self::Reciprocal,
            "Relu" => Self::Relu,
            "Reshape" => Self::Reshape,
            "Shape" => Self::Shape,
            "Sigmoid" => Self::Sigmoid,
            "Softmax" => Self::Softmax,
            "Sqrt" => Self::Sqrt,
            "Squeeze" => Self::Squeeze,
            "Sub" => Self::Sub,
            "Transpose" => Self::Transpose,
            "Unsqueeze" => Self::Unsqueeze,
            other => Self::Other(other.into()),
        }
    }
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

/// One node of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its name, or its first output where it has none.
    pub name: String,
    pub op: Op,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    attributes: Vec<AttributeProto>,
}

impl Node {
    pub fn parse(node: NodeProto) -> Self {
        let name = if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name };
        Self {
            name,
            op: Op::parse(&node.domain, &node.op_type),
            inputs: node.input,
            outputs: node.output,
            attributes: node.attribute,
        }
    }

    /// The name of input `i`, `None` where it is left out.
    pub fn input(&self, i: usize) -> Option<&str> {
        self.inputs.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub fn output(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|a| a.name == name)
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|a| a.i)
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).map(|a| a.f)
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|a| a.floats.as_slice())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(|a| std::str::from_utf8(&a.s).ok())
    }

    pub fn take_tensor(&mut self, name: &str) -> Option<TensorProto> {
        self.attributes.iter_mut().find(|a| a.name == name).and_then(|a| a.t.take())
    }
}
