//! A graph under construction: nodes, initializers and their attributes as protobuf messages.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::tensor;
use crate::model::{Activation, ConvKind, ConvWeights};

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dim {
    Fixed(usize),
    Named(&'static str),
}

#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Builder {
    pub fn initializer(&mut self, tensor: TensorProto) {
        self.initializers.push(tensor);
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

    /// A Split into equal parts along the last of three axes.
    pub fn split(&mut self, name: &str, input: &str, outputs: &[String]) {
        let attribute = vec![int("axis", 2)];
        let (op_type, input) = ("Split".into(), vec![input.into()]);
        self.nodes.push(NodeProto {
            op_type,
            name: name.into(),
            input,
            output: outputs.into(),
            attribute,
            ..Default::default()
        });
    }

    /// A convolution with its weights under `scope`, and its ReLU6; returns the output's name.
    ///
    /// `pads` are top, left, bottom, right. The scale is multiplied into the weight.
    pub fn conv(&mut self, scope: &str, input: &str, conv: &ConvWeights, pads: [usize; 4]) -> String {
        let spec = &conv.spec;
        let [kh, kw] = spec.kernel;
        let (group, inner) = match spec.kind {
            ConvKind::Depthwise => (spec.out_channels, 1),
            ConvKind::Pointwise | ConvKind::Dense => (1, spec.in_channels),
        };
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
            Activation::Relu6 => {
                let clip = [output.as_str(), ZERO, SIX];
                self.node("Clip", &format!("{scope}/Relu6"), &clip, format!("{scope}/relu6"), vec![])
            }
        }
    }

    /// The bounds of ReLU6, shared by all Clip nodes.
    pub fn relu6_bounds(&mut self) {
        self.initializer(tensor::floats(ZERO, &[], &[0.0]));
        self.initializer(tensor::floats(SIX, &[], &[6.0]));
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

const ZERO: &str = "zero";
const SIX: &str = "six";

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

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints: ints.into(), ..Default::default() }
}

/// A float input or output of the graph.
pub(super) fn value(name: &str, dims: &[Dim]) -> ValueInfoProto {
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
