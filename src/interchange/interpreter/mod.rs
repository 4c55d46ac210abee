//! Running a TFLite file: float and 8-bit convolutions of our own, with the whole-number arithmetic of TensorFlow
//! Lite's reference kernels, so that a file can be judged where no runtime is installed.
//!
//! The operators are those that [`super::export`] writes. A run ends at the raw heads: scores, decoding and
//! suppression are the judge's own, as for every other network.

mod convolution;
mod elementwise;
mod fixed_point;
mod operation;
mod operators;
mod program;
mod tensors;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use flatbuffers::VerifierOptions;
use tract_tflite::tflite::{Model, TensorType, root_as_model_with_opts};

use super::InterchangeError;
use super::metadata::{Metadata, TrainedOn};
use super::outputs::Outputs;
use super::tflite::own_texts;
use crate::boxes::{AnchorError, AnchorRule, Anchors, InputSize, ScoreFunction};
use operation::{Operation, OperationStep};
use program::FileProgram;
use tensors::ProgramTensors;

/// A loaded file.
pub struct Interpreter {
    program: FileProgram,
    names: Vec<String>,
    kind: TensorType,
    /// How often each tensor is read.
    readers: Vec<usize>,
    /// Rows and columns of the class logits.
    outputs: [usize; 2],
    /// Rows and columns of the feature maps, in the order of the anchors.
    maps: Vec<[usize; 2]>,
    pub size: InputSize,
    /// The file's statements about itself.
    pub about: AboutProgram,
}

/// The statements of a file of ours about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AboutProgram {
    /// Without the background.
    pub class_names: Option<Vec<String>>,
    pub anchors: Option<AnchorRule>,
    pub scores: Option<ScoreFunction>,
    pub trained_on: Option<TrainedOn>,
}

/// The numbers of a tensor.
#[derive(Clone, Debug)]
enum TensorValue {
    Real(Vec<f32>),
    Bytes(Vec<i8>),
    Pixels(Vec<u8>),
}

/// Sees every computed tensor of real numbers by name.
pub type TensorObserver<'a> = &'a mut dyn FnMut(&str, &[f32]);

impl Interpreter {
    /// # Errors
    /// If the file cannot be read, is damaged, or is not a detector in operators that Fieldtune writes.
    pub fn open(path: &Path) -> Result<Self, InterchangeError> {
        let bytes = fs::read(path).map_err(|error| InterchangeError::Read { path: path.into(), error })?;
        Self::load(path, &bytes)
    }

    /// As [`Interpreter::open`], from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Interpreter::open`].
    pub fn load(path: &Path, bytes: &[u8]) -> Result<Self, InterchangeError> {
        let limits = VerifierOptions {
            max_depth: 32,
            max_tables: 100_000,
            max_apparent_size: bytes.len().saturating_mul(4),
            ignore_missing_null_terminator: false,
        };
        let damaged = |found: String| InterchangeError::Format {
            path: path.into(),
            found,
            expected: "a TFLite model".into(),
            help: "the file is damaged or something else; make it again",
        };
        if bytes.get(4..8) != Some(b"TFL3") {
            return Err(damaged("something else".into()));
        }
        let model = root_as_model_with_opts(&limits, bytes)
            .map_err(|e| damaged(format!("a damaged one ({})", e.to_string().lines().next().unwrap_or_default())))?;
        let Some(graph) = model.subgraphs().filter(|s| !s.is_empty()).map(|s| s.get(0)) else {
            return Err(damaged("one without a graph".into()));
        };
        let (program, tensors) = program::read(ProgramTensors::of(path, model, &graph), &model, &graph)?;
        let [height, width, channels] = tensors.map(program.input)?;
        let kind = tensors.kind(program.input)?;
        if channels != 3 || ![TensorType::FLOAT32, TensorType::UINT8, TensorType::INT8].contains(&kind) {
            let found = format!("an input of {kind:?} with {channels} channels");
            return Err(tensors.refused(tensors.name(program.input), found, "RGB in floats or bytes"));
        }
        let mut readers = vec![0; tensors.len()];
        let read = program.steps.iter().flat_map(|s| &s.inputs).chain(&program.ends);
        read.for_each(|&i| readers[i] += 1);
        let names = (0..tensors.len()).map(|i| tensors.name(i).to_owned()).collect();
        let outputs = match tensors.shape(program.ends[1])?[..] {
            [_, rows, columns] => [rows, columns],
            _ => [0; 2],
        };
        let maps = program.maps(&tensors)?;
        Ok(Self {
            program,
            names,
            kind,
            readers,
            outputs,
            maps,
            size: InputSize::new(height, width),
            about: about(&model),
        })
    }

    /// Rows and columns of the class logits.
    pub fn outputs(&self) -> [usize; 2] {
        self.outputs
    }

    /// The anchors of a rule on the file's feature maps.
    ///
    /// # Errors
    /// If the rule is not one for so many maps.
    pub fn anchors(&self, rule: &AnchorRule) -> Result<Anchors, AnchorError> {
        Anchors::of(rule, &self.maps, self.size.dims())
    }

    /// The raw heads for one image, `[H, W, 3]` pixel values, RGB.
    ///
    /// # Panics
    /// If the image has another size.
    pub fn run(&self, pixels: &[u8]) -> Outputs {
        self.run_observed(pixels, &mut |_, _| {})
    }

    /// As [`Interpreter::run`], and `observe` sees what the operators compute.
    ///
    /// # Panics
    /// As [`Interpreter::run`].
    pub fn run_observed(&self, pixels: &[u8], observe: TensorObserver) -> Outputs {
        assert_eq!(pixels.len(), self.size.numbers(), "an image of the input's size");
        let image = match self.kind {
            TensorType::UINT8 => TensorValue::Pixels(pixels.to_vec()),
            TensorType::INT8 => TensorValue::Bytes(pixels.iter().map(|&p| (i16::from(p) - 128) as i8).collect()),
            _ => TensorValue::Real(pixels.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect()),
        };
        let (mut values, mut left) = (HashMap::from([(self.program.input, image)]), self.readers.clone());
        for OperationStep { operation, inputs, output } in &self.program.steps {
            let read: Vec<&TensorValue> = inputs.iter().map(|i| &values[i]).collect();
            let value = operation.run(&read);
            if let TensorValue::Real(numbers) = &value {
                observe(&self.names[*output], numbers);
            }
            for input in inputs {
                left[*input] -= 1;
                if left[*input] == 0 {
                    values.remove(input);
                }
            }
            values.insert(*output, value);
        }
        let end = |i: usize| match (&values[&self.program.ends[i]], self.program.scales[i]) {
            (TensorValue::Bytes(bytes), Some(scale)) => scale.real(bytes),
            (value, _) => value.as_real().to_vec(),
        };
        Outputs { logits: end(1), deltas: end(0) }
    }
}

impl TensorValue {
    fn as_real(&self) -> &[f32] {
        match self {
            TensorValue::Real(numbers) => numbers,
            _ => panic!("an operation of real numbers reads real numbers"),
        }
    }

    fn as_bytes(&self) -> &[i8] {
        match self {
            TensorValue::Bytes(bytes) => bytes,
            _ => panic!("an operation of bytes reads bytes"),
        }
    }
}

impl Operation {
    fn run(&self, inputs: &[&TensorValue]) -> TensorValue {
        match self {
            Operation::Real(conv) => TensorValue::Real(conv.run(inputs[0].as_real())),
            Operation::Bytes(conv) => TensorValue::Bytes(conv.run(inputs[0].as_bytes())),
            Operation::RealSum => {
                let [a, b] = [inputs[0], inputs[1]].map(TensorValue::as_real);
                TensorValue::Real(a.iter().zip(b).map(|(a, b)| a + b).collect())
            }
            Operation::Sum(sum) => TensorValue::Bytes(sum.run(inputs[0].as_bytes(), inputs[1].as_bytes())),
            Operation::Rescaled(rescaled) => TensorValue::Bytes(match inputs[0] {
                TensorValue::Pixels(pixels) => rescaled.run(pixels.iter().map(|&p| i32::from(p))),
                other => rescaled.run(other.as_bytes().iter().map(|&b| i32::from(b))),
            }),
            Operation::Dequantised(scale) => TensorValue::Real(scale.real(inputs[0].as_bytes())),
            Operation::Joined => match inputs[0] {
                TensorValue::Real(_) => TensorValue::Real(inputs.iter().flat_map(|v| v.as_real()).copied().collect()),
                _ => TensorValue::Bytes(inputs.iter().flat_map(|v| v.as_bytes()).copied().collect()),
            },
            Operation::Padded { map, pads, zero } => match inputs[0] {
                TensorValue::Real(numbers) => TensorValue::Real(padded(numbers, *map, *pads, 0.0)),
                other => TensorValue::Bytes(padded(other.as_bytes(), *map, *pads, *zero)),
            },
        }
    }
}

fn padded<T: Copy>(map: &[T], [h, w, c]: [usize; 3], [top, left, bottom, right]: [usize; 4], zero: T) -> Vec<T> {
    let columns = w + left + right;
    let mut out = vec![zero; (h + top + bottom) * columns * c];
    for (y, row) in map.chunks_exact(w * c).enumerate() {
        out[((y + top) * columns + left) * c..][..w * c].copy_from_slice(row);
    }
    out
}

fn about(model: &Model) -> AboutProgram {
    let Metadata { class_names, anchors, scores, trained_on, .. } = Metadata::read(&own_texts(model));
    AboutProgram { class_names, anchors, scores, trained_on }
}
