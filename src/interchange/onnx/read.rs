//! From an ONNX model to the graph: the only place that reads ONNX's operator names.

use std::path::Path;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

use super::tensor;
use crate::interchange::InterchangeError;
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::attribute::Attribute;
use crate::interchange::graph::draft::GraphDraft;
use crate::interchange::graph::node::{GraphNode, Op};
use crate::interchange::graph::{AboutFile, Graph, GraphInput};

/// Operators of onnxruntime that hold a convolution in a form of its own, and the file to give instead.
const FUSED_AWAY: [(&str, &str); 5] = [
    ("QLinearConv", "a quantised model in QOperator form; give the float model, or the same one quantised in QDQ form"),
    ("ConvInteger", "a dynamically quantised model; give the float model it was made from"),
    ("nchwc", "a model that onnxruntime optimised for one processor; give the model before, or save it at level basic"),
    ("nhwc", "a model that onnxruntime optimised for one processor; give the model before, or save it at level basic"),
    ("QGemm", "a quantised model in QOperator form; give the float model, or the same one quantised in QDQ form"),
];

/// # Errors
/// If a tensor is damaged, or the file's convolutions are in a form that only one runtime reads.
pub fn graph(path: &Path, model: ModelProto) -> Result<Graph, InterchangeError> {
    let opset = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
    let by = format!("{} {}", model.producer_name, model.producer_version);
    let about = AboutFile {
        dialect: match (opset, by.trim()) {
            (Some(opset), "") => format!("ONNX opset {opset}"),
            (Some(opset), by) => format!("ONNX opset {opset} by {by}"),
            (None, _) => "ONNX".into(),
        },
        entries: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        labels: None,
    };
    let GraphProto { node, initializer, input, output, .. } = model.graph.unwrap_or_default();
    let mut draft = GraphDraft::default();
    for t in initializer {
        let name = t.name.clone();
        store(path, &mut draft, &name, t)?;
    }
    if let Some((op, what)) = node.iter().find_map(fused_away) {
        let (path, found) = (path.into(), format!("{what} (its operator {op})"));
        return Err(InterchangeError::OtherForm { path, found });
    }
    for node in node {
        add(path, &mut draft, node)?;
    }
    let inputs = input.into_iter().map(read_input).collect();
    Ok(draft.finish(inputs, output.into_iter().map(|o| o.name).collect(), about))
}

fn fused_away(node: &NodeProto) -> Option<(String, &'static str)> {
    let named = |word: &&(&str, &str)| node.op_type == word.0 || node.domain.split('.').any(|part| part == word.0);
    FUSED_AWAY.iter().find(named).map(|(_, what)| (node.op_type.clone(), *what))
}

fn read_input(info: ValueInfoProto) -> GraphInput {
    let tensor = info.r#type.and_then(|t| t.value).map(|type_proto::Value::TensorType(t)| t).unwrap_or_default();
    let dims = tensor.shape.unwrap_or_default().dim.into_iter().map(|d| match d.value {
        Some(Dimension::DimValue(v)) if v > 0 => usize::try_from(v).ok(),
        _ => None,
    });
    let pixels = (tensor.elem_type == DataType::Uint8 as i32).then_some([1.0, 0.0]);
    GraphInput { name: info.name, dims: dims.collect(), pixels }
}

fn store(path: &Path, draft: &mut GraphDraft, name: &str, proto: TensorProto) -> Result<(), InterchangeError> {
    let range = match DataType::try_from(proto.data_type) {
        Ok(DataType::Uint8) => Some([0.0, 255.0]),
        Ok(DataType::Int8) => Some([-128.0, 127.0]),
        Ok(DataType::Uint16) => Some([0.0, 65535.0]),
        Ok(DataType::Int16) => Some([-32768.0, 32767.0]),
        _ => None,
    };
    if let Some(array) = tensor::array(path, name, proto)? {
        draft.store(name, array, range);
    }
    Ok(())
}

fn add(path: &Path, draft: &mut GraphDraft, mut proto: NodeProto) -> Result<(), InterchangeError> {
    let own = matches!(proto.domain.as_str(), "" | "ai.onnx");
    if own && proto.op_type == "Constant" {
        let name = proto.output.first().cloned().unwrap_or_default();
        if let Some(tensor) = proto.attribute.iter_mut().find(|a| a.name == "value").and_then(|a| a.t.take()) {
            return store(path, draft, &name, tensor);
        }
        if let Some(array) = literal(&proto) {
            draft.literal(&name, array);
        }
        return Ok(());
    }
    if proto.op_type == "FusedConv" && proto.input.get(3).is_none_or(String::is_empty) {
        fused_conv(draft, proto);
        return Ok(());
    }
    let op = if own { op(&proto.op_type) } else { Op::Other(format!("{}.{}", proto.domain, proto.op_type)) };
    draft.add(node(op, proto));
    Ok(())
}

fn node(op: Op, proto: NodeProto) -> GraphNode {
    let name = if proto.name.is_empty() { proto.output.first().cloned().unwrap_or_default() } else { proto.name };
    let attributes = proto.attribute.into_iter().filter_map(|a| Some((a.name.clone(), attribute(a)?))).collect();
    GraphNode { name, op, inputs: proto.input, outputs: proto.output, attributes }
}

/// onnxruntime's convolution with its activation inside, as the two nodes that it was.
fn fused_conv(draft: &mut GraphDraft, proto: NodeProto) {
    let mut conv = node(Op::Conv, proto);
    let bounds: [f32; 2] = conv.floats("activation_params").and_then(|p| p.try_into().ok()).unwrap_or([0.0, 6.0]);
    let ends = match conv.text("activation").unwrap_or_default() {
        "" => return draft.add(conv),
        "Relu" => GraphNode::new(Op::Relu, &[], ""),
        "Clip" => GraphNode::new(Op::Clip, &[], "").with("min", bounds[0]).with("max", bounds[1]),
        other => GraphNode::new(Op::Other(other.into()), &[], ""),
    };
    let outputs = std::mem::take(&mut conv.outputs);
    let inside = format!("{}/before_activation", outputs.first().map_or("", String::as_str));
    conv.outputs = vec![inside.clone()];
    let name = conv.name.clone();
    draft.add(conv);
    draft.add(GraphNode { name, inputs: vec![inside], outputs, ..ends });
}

fn attribute(a: AttributeProto) -> Option<Attribute> {
    Some(match AttributeType::try_from(a.r#type) {
        Ok(AttributeType::Int) => Attribute::Int(a.i),
        Ok(AttributeType::Float) => Attribute::Float(a.f),
        Ok(AttributeType::Ints) => Attribute::Ints(a.ints),
        Ok(AttributeType::Floats) => Attribute::Floats(a.floats),
        Ok(AttributeType::String) => Attribute::Text(String::from_utf8(a.s).ok()?),
        // The first version of the format named no types.
        Ok(AttributeType::Undefined) if !a.ints.is_empty() => Attribute::Ints(a.ints),
        Ok(AttributeType::Undefined) if !a.floats.is_empty() => Attribute::Floats(a.floats),
        Ok(AttributeType::Undefined) if !a.s.is_empty() => Attribute::Text(String::from_utf8(a.s).ok()?),
        Ok(AttributeType::Undefined) if a.f != 0.0 => Attribute::Float(a.f),
        Ok(AttributeType::Undefined) => Attribute::Int(a.i),
        _ => return None,
    })
}

/// The value of a Constant node that carries numbers instead of a tensor.
fn literal(node: &NodeProto) -> Option<ConstantArray> {
    node.attribute.iter().find_map(|a| match a.name.as_str() {
        "value_float" => ConstantArray::new(vec![], vec![a.f]),
        "value_int" => ConstantArray::new(vec![], vec![a.i as f32]),
        "value_floats" => ConstantArray::new(vec![a.floats.len()], a.floats.clone()),
        "value_ints" => ConstantArray::new(vec![a.ints.len()], a.ints.iter().map(|&i| i as f32).collect()),
        _ => None,
    })
}

fn op(op_type: &str) -> Op {
    match op_type {
        "Add" => Op::Add,
        "BatchNormalization" => Op::BatchNorm,
        "Cast" => Op::Cast,
        "Clip" => Op::Clip,
        "Concat" => Op::Concat,
        "Conv" => Op::Conv,
        "DequantizeLinear" => Op::Dequantize,
        "Div" => Op::Div,
        "Dropout" => Op::Dropout,
        "Exp" => Op::Exp,
        "Identity" => Op::Identity,
        "Max" => Op::Max,
        "Min" => Op::Min,
        "Mul" => Op::Mul,
        "Neg" => Op::Neg,
        "Pad" => Op::Pad,
        "QuantizeLinear" => Op::Quantize,
        "Reciprocal" => Op::Reciprocal,
        "Relu" => Op::Relu,
        "Reshape" => Op::Reshape,
        "Shape" => Op::Shape,
        "Sigmoid" => Op::Sigmoid,
        "Softmax" => Op::Softmax,
        "Sqrt" => Op::Sqrt,
        "Squeeze" => Op::Squeeze,
        "Sub" => Op::Sub,
        "Transpose" => Op::Transpose,
        "Unsqueeze" => Op::Unsqueeze,
        other => Op::Other(other.into()),
    }
}
