//! A graph under construction: nodes, initializers and their attributes as protobuf messages.
//!
//! Operators moved operands from attributes to inputs over the years; a builder writes them as its opset wants them.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::tensor;
use crate::model::{Activation, ConvKind, ConvSpec, ConvWeights};

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dim {
    Fixed(usize),
    Named(&'static str),
}

pub struct Builder {
    opset: Opset,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

/// The version of ONNX's operators that a file is written in.
///
/// 10 is the default: programs of 2019 read it (OpenCV 4.5 and 4.6, TensorRT 5), and newer ones still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opset(u8);

impl Opset {
    pub const OLDEST: u8 = 10;
    pub const NEWEST: u8 = 18;

    /// `None` outside [`Opset::OLDEST`] to [`Opset::NEWEST`].
    pub fn new(version: u8) -> Option<Self> {
        (Self::OLDEST..=Self::NEWEST).contains(&version).then_some(Self(version))
    }

    pub fn version(self) -> i64 {
        i64::from(self.0)
    }

    /// The version of the file format that ONNX was released with when this opset was new.
    pub fn ir_version(self) -> i64 {
        match self.0 {
            ..=10 => 5,
            11 => 6,
            12..=14 => 7,
            _ => 8,
        }
    }
}

impl Default for Opset {
    fn default() -> Self {
        Self(Self::OLDEST)
    }
}

impl Builder {
    pub fn new(opset: Opset) -> Self {
        Self { opset, nodes: Vec::new(), initializers: Vec::new() }
    }

    pub fn initializer(&mut self, tensor: TensorProto) {
        self.initializers.push(tensor);
    }

    /// Adds a list of whole numbers and returns its name.
    pub fn list(&mut self, name: &str, values: &[i64]) -> String {
        self.initializer(tensor::integers(name, values));
        name.into()
    }

    /// Adds a node and returns the name of its one output.
    pub fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        output: String,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.nodes.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    /// A node of two outputs or more.
    pub fn node_of(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[String],
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: outputs.into(),
            attribute,
            ..Default::default()
        });
    }

    /// A Split along `axis` into parts of given sizes, always written down: converters do not guess equal ones.
    pub fn split(&mut self, name: &str, axis: i64, sizes: &[i64], input: &str, outputs: &[String]) {
        if self.opset.0 < 13 {
            self.node_of("Split", name, &[input], outputs, vec![int("axis", axis), ints("split", sizes)]);
        } else {
            let sizes = self.list(&format!("{name}/sizes"), sizes);
            self.node_of("Split", name, &[input, &sizes], outputs, vec![int("axis", axis)]);
        }
    }

    /// `min(max(x, low), high)`.
    pub fn clip(&mut self, name: &str, input: &str, [low, high]: [f32; 2], output: String) -> String {
        if self.opset.0 < 11 {
            return self.node("Clip", name, &[input], output, vec![float("min", low), float("max", high)]);
        }
        let bounds = [low, high].map(|bound| format!("bound {bound}"));
        for (bound, value) in bounds.iter().zip([low, high]) {
            if self.initializers.iter().all(|t| t.name != *bound) {
                self.initializer(tensor::floats(bound, &[], &[value]));
            }
        }
        self.node("Clip", name, &[input, &bounds[0], &bounds[1]], output, vec![])
    }

    /// The sum along axis 0 of a list, as a list of one.
    pub fn total(&mut self, name: &str, input: &str) -> String {
        if self.opset.0 < 13 {
            return self.node("ReduceSum", name, &[input], name.into(), vec![ints("axes", &[0])]);
        }
        let axes = self.list(&format!("{name}/axes"), &[0]);
        self.node("ReduceSum", name, &[input, &axes], name.into(), vec![])
    }

    /// A convolution with its weights under `scope`, and its ReLU6; returns the output's name.
    ///
    /// `pads` are top, left, bottom, right. The scale is multiplied into the weight.
    pub fn conv(&mut self, scope: &str, input: &str, conv: &ConvWeights, pads: [usize; 4]) -> String {
        let spec = &conv.spec;
        let [kh, kw] = spec.kernel;
        let group = if spec.kind == ConvKind::Depthwise { spec.out_channels } else { 1 };
        let inner = inner_channels(spec);
        let (weights, biases) = (format!("{scope}/weights"), format!("{scope}/biases"));
        self.initializer(tensor::floats(&weights, &[spec.out_channels, inner, kh, kw], &oihw(conv, inner)));
        self.initializer(tensor::floats(&biases, &[spec.out_channels], &conv.bias));
        let ends = match spec.activation {
            Activation::Linear => "out",
            Activation::Relu6 => "conv",
        };
        let attributes = vec![
            ints("dilations", &[1, 1]),
            int("group", group as i64),
            ints("kernel_shape", &[kh as i64, kw as i64]),
            ints("pads", &pads.map(|p| p as i64)),
            ints("strides", &[spec.stride as i64; 2]),
        ];
        let output = self.node("Conv", scope, &[input, &weights, &biases], format!("{scope}/{ends}"), attributes);
        match spec.activation {
            Activation::Linear => output,
            Activation::Relu6 => self.clip(&format!("{scope}/Relu6"), &output, [0.0, 6.0], format!("{scope}/relu6")),
        }
    }

    pub fn finish(self, name: &str, input: ValueInfoProto, outputs: Vec<ValueInfoProto>) -> GraphProto {
        GraphProto {
            name: name.into(),
            node: self.nodes,
            initializer: self.initializers,
            input: vec![input],
            output: outputs,
            ..Default::default()
        }
    }
}

/// Input channels that one output channel reads.
pub fn inner_channels(spec: &ConvSpec) -> usize {
    if spec.kind == ConvKind::Depthwise { 1 } else { spec.in_channels }
}

/// Our layout, output channel fastest, back to OIHW, the scale multiplied in.
fn oihw(conv: &ConvWeights, inner: usize) -> Vec<f32> {
    let (out, taps) = (conv.spec.out_channels, conv.spec.kernel.iter().product::<usize>());
    let mut weight = vec![0.0; conv.weight.len()];
    for (o, filter) in weight.chunks_exact_mut(inner * taps).enumerate() {
        for (i, plane) in filter.chunks_exact_mut(taps).enumerate() {
            for (tap, w) in plane.iter_mut().enumerate() {
                *w = conv.weight[(tap * inner + i) * out + o] * conv.scale[o];
            }
        }
    }
    weight
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints: ints.into(), ..Default::default() }
}

/// A float input or output of the graph.
pub fn value(name: &str, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims.iter().map(|d| {
        let value = match *d {
            Dim::Fixed(n) => dimension::Value::DimValue(n as i64),
            Dim::Named(name) => dimension::Value::DimParam(name.into()),
        };
        Dimension { value: Some(value), ..Default::default() }
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}
