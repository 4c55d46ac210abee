//! A TFLite file as a list of operations in an order in which they can be run.

use std::collections::{HashMap, HashSet};

use tract_tflite::tflite::{Model, SubGraph, TensorType};

use super::elementwise::TensorScale;
use super::operation::{Operation, OperationStep};
use super::operators::OperatorReader;
use super::tensors::ProgramTensors;
use crate::interchange::InterchangeError;

pub struct FileProgram {
    pub steps: Vec<OperationStep>,
    pub input: usize,
    /// The values of the box deltas `[A, 4]` and the class logits `[A, K]`.
    pub ends: [usize; 2],
    /// Their scales, where they are bytes.
    pub scales: [Option<TensorScale>; 2],
}

impl FileProgram {
    /// Rows and columns of the maps whose predictors are joined to the class logits, in that order.
    ///
    /// # Errors
    /// If the logits are not joined from predictors.
    pub fn maps(&self, tensors: &ProgramTensors) -> Result<Vec<[usize; 2]>, InterchangeError> {
        let maker = |value: usize| self.steps.iter().find(|s| s.output == value);
        let mut end = self.ends[1];
        while let Some(OperationStep { operation: Operation::Dequantised(_), inputs, .. }) = maker(end) {
            end = inputs[0];
        }
        let joined = maker(end).filter(|s| matches!(s.operation, Operation::Joined));
        let joined =
            joined.ok_or_else(|| tensors.refused(tensors.name(end), "no concatenation", "joined predictors"))?;
        joined
            .inputs
            .iter()
            .map(|&flat| {
                let map =
                    maker(flat).filter(|s| matches!(s.operation, Operation::Joined)).map_or(flat, |s| s.inputs[0]);
                let [rows, columns, _] = tensors.map(map)?;
                Ok([rows, columns])
            })
            .collect()
    }
}

/// # Errors
/// If the graph has an operator, a type or a shape that the interpreter does not know.
pub fn read<'a>(
    tensors: ProgramTensors<'a>,
    model: &Model<'a>,
    graph: &SubGraph<'a>,
) -> Result<(FileProgram, ProgramTensors<'a>), InterchangeError> {
    let mut reader =
        OperatorReader { tensors, wide: HashMap::new(), steps: Vec::new(), logits: HashMap::new(), detected: None };
    for operator in graph.operators().iter().flatten() {
        reader.operator(model, &operator)?;
    }
    let indices = |all: Option<flatbuffers::Vector<'a, i32>>| -> Vec<usize> {
        all.map_or(vec![], |all| all.iter().map(|i| usize::try_from(i).unwrap_or(usize::MAX)).collect())
    };
    let (inputs, outputs) = (indices(graph.inputs()), indices(graph.outputs()));
    let tensors = &reader.tensors;
    let &[input] = inputs.as_slice() else {
        return Err(tensors.refused("graph", format!("{} inputs", inputs.len()), "one image"));
    };
    let ends = match (reader.detected, outputs.as_slice()) {
        (Some(ends), _) => ends,
        (None, &[boxes, classes]) => [boxes, classes],
        _ => {
            return Err(tensors.refused(
                "graph",
                format!("{} outputs", outputs.len()),
                "boxes and classes, or detections",
            ));
        }
    };
    let ends = ends.map(|end| reader.logits.get(&end).copied().unwrap_or(end));
    let rows = |end: usize| -> Result<[usize; 2], InterchangeError> {
        match reader.tensors.shape(end)?[..] {
            [1, rows, columns] => Ok([rows, columns]),
            _ => Err(reader.tensors.refused(reader.tensors.name(end), "another shape", "1, anchors, columns")),
        }
    };
    let [boxes, classes] = [rows(ends[0])?, rows(ends[1])?];
    if boxes != [classes[0], 4] || classes[1] < 2 {
        let found = format!("boxes {boxes:?} and classes {classes:?}");
        return Err(reader.tensors.refused("outputs", found, "four deltas and two columns or more for each anchor"));
    }
    let mut known = HashSet::from([input]);
    for step in &reader.steps {
        let absent = step.inputs.iter().find(|i| !known.contains(i));
        if let Some(&twice_or_never) = absent.or((!known.insert(step.output)).then_some(&step.output)) {
            let name = reader.tensors.name(twice_or_never);
            return Err(reader.tensors.refused(
                name,
                "a value that is computed twice or too late",
                "an order to run in",
            ));
        }
    }
    if ends.iter().any(|end| !known.contains(end)) {
        return Err(reader.tensors.refused("outputs", "a value that nothing computes", "computed ones"));
    }
    let mut scales = [None; 2];
    for (scale, end) in scales.iter_mut().zip(ends) {
        if reader.tensors.kind(end)? == TensorType::INT8 {
            *scale = Some(reader.tensors.scale(end)?);
        }
    }
    Ok((FileProgram { steps: reader.steps, input, ends, scales }, reader.tensors))
}
