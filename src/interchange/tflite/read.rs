//! From a TFLite model to the graph.

use std::path::Path;

use tract_tflite::tflite::{BuiltinOperator, Model, Operator, SubGraph, TensorType};

use super::file;
use super::labels::labels;
use super::metadata;
use super::operators::OperatorWriter;
use super::tensors::{TfliteTensors, range};
use crate::interchange::InterchangeError;
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::draft::GraphDraft;
use crate::interchange::graph::node::{GraphNode, Op};
use crate::interchange::graph::{AboutFile, Graph, GraphInput};

/// The operator that Coral's compiler hides a network in.
const EDGE_TPU: &str = "edgetpu-custom-op";

/// # Errors
/// If the file is damaged, has no graph, or hides its network from others.
pub fn graph(path: &Path, bytes: &[u8]) -> Result<Graph, InterchangeError> {
    let model = file::model(path, bytes)?;
    let Some(subgraph) = model.subgraphs().filter(|s| !s.is_empty()).map(|s| s.get(0)) else {
        return Err(InterchangeError::Format {
            path: path.into(),
            found: "a TFLite model without a graph".into(),
            expected: "one with a network".into(),
            help: "give the model file that the converter wrote",
        });
    };
    let compiled = |o: &Operator| custom(&model, o) == EDGE_TPU;
    if subgraph.operators().iter().flat_map(|all| all.iter()).any(|o| compiled(&o)) {
        let found = format!("a model compiled for the Edge TPU (its operator {EDGE_TPU})");
        return Err(InterchangeError::OtherForm { path: path.into(), found });
    }
    let tensors = TfliteTensors::of(path, model);
    let mut draft = GraphDraft::default();
    for index in 0..tensors.len() as i32 {
        constant(&tensors, index, &mut draft)?;
    }
    let mut writer = OperatorWriter { tensors: &tensors, draft };
    for operator in subgraph.operators().iter().flat_map(|all| all.iter()) {
        writer.add(&operator, code(&model, &operator), custom(&model, &operator));
    }
    let entries = metadata::own_texts(&model);
    let about = AboutFile { dialect: dialect(&model), labels: labels(bytes), entries };
    let names =
        |indices: Option<flatbuffers::Vector<i32>>| -> Vec<i32> { indices.map_or(vec![], |i| i.iter().collect()) };
    let inputs = names(subgraph.inputs()).into_iter().map(|i| input(&tensors, i, &model)).collect();
    let outputs = outputs(&subgraph, &tensors);
    Ok(writer.draft.finish(inputs, outputs, about))
}

fn outputs(subgraph: &SubGraph, tensors: &TfliteTensors) -> Vec<String> {
    subgraph.outputs().map_or(vec![], |all| all.iter().map(|i| tensors.name(i).to_owned()).collect())
}

fn dialect(model: &Model) -> String {
    match model.description().unwrap_or_default() {
        "" => "TensorFlow Lite".into(),
        description => format!("TensorFlow Lite ({})", description.chars().take(60).collect::<String>()),
    }
}

/// The operator's code; old files have it in a field of one byte.
fn code(model: &Model, operator: &Operator) -> BuiltinOperator {
    let codes = model.operator_codes().filter(|codes| (operator.opcode_index() as usize) < codes.len());
    codes.map_or(BuiltinOperator::PLACEHOLDER_FOR_GREATER_OP_CODES, |codes| {
        let code = codes.get(operator.opcode_index() as usize);
        let old = BuiltinOperator(i32::from(code.deprecated_builtin_code()));
        if code.builtin_code().0 > old.0 { code.builtin_code() } else { old }
    })
}

fn custom<'a>(model: &Model<'a>, operator: &Operator) -> &'a str {
    let codes = model.operator_codes().filter(|codes| (operator.opcode_index() as usize) < codes.len());
    codes.and_then(|codes| codes.get(operator.opcode_index() as usize).custom_code()).unwrap_or_default()
}

/// A stored tensor, as real numbers where it is quantised.
fn constant(tensors: &TfliteTensors, index: i32, draft: &mut GraphDraft) -> Result<(), InterchangeError> {
    let Some(array) = tensors.stored(index)? else { return Ok(()) };
    let name = tensors.name(index);
    let quantisation = tensors.quantisation(index);
    let integers = !matches!(tensors.type_of(index), Some(TensorType::FLOAT32 | TensorType::FLOAT16));
    let Some(q) = quantisation.filter(|_| integers) else {
        draft.store(name, array, tensors.type_of(index).and_then(range));
        return Ok(());
    };
    // Shapes and paddings are integers, too, but not quantised.
    let stored = format!("{name}/integers");
    let parts = [("scale", q.scale), ("zero", q.zero)].map(|(part, values)| {
        let part = format!("{name}/{part}");
        let dims = if values.len() == 1 { vec![] } else { vec![values.len()] };
        if let Some(array) = ConstantArray::new(dims, values) {
            draft.literal(&part, array);
        }
        part
    });
    let dims = array.dims.clone();
    draft.store(&stored, array, tensors.type_of(index).and_then(range));
    let node = GraphNode::new(Op::Dequantize, &[&stored, &parts[0], &parts[1]], name).with("axis", q.axis);
    draft.add(node);
    if draft.constant(name).is_none() {
        let expected = format!("scales that go with dimensions {dims:?}");
        return Err(tensors.wrong(index, "a quantisation that does not", &expected));
    }
    Ok(())
}

/// An input, with what the graph sees for a pixel's byte where its quantisation or the metadata say so.
fn input(tensors: &TfliteTensors, index: i32, model: &Model) -> GraphInput {
    let one =
        tensors.quantisation(index).filter(|q| q.scale.len() == 1).map(|q| [q.scale[0], q.zero[0]].map(f64::from));
    let pixels = match (tensors.type_of(index), one) {
        (Some(TensorType::UINT8), Some([scale, zero])) => Some([scale, -scale * zero]),
        (Some(TensorType::UINT8), None) => Some([1.0, 0.0]),
        // The runtimes hand over a byte less 128.
        (Some(TensorType::INT8), Some([scale, zero])) => Some([scale, -scale * (128.0 + zero)]),
        (Some(TensorType::FLOAT32), _) => metadata::pixels(model),
        _ => None,
    };
    GraphInput { name: tensors.name(index).into(), dims: tensors.dims(index), pixels }
}
