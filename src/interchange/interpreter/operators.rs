//! A TFLite file's operators as operations: types, shapes and scales are checked here, once.

use std::collections::HashMap;

use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, Model, Operator, Padding as Rule, TensorType};

use super::convolution::{Bytes, Channels, ConvolutionShape, InputWindow, Real};
use super::elementwise::{Rescaled, Sum};
use super::fixed_point::Factor;
use super::operation::{Operation, OperationStep};
use super::tensors::ProgramTensors;
use crate::interchange::InterchangeError;
use crate::model::Padding;

/// The context in which a file's operators are read.
pub struct OperatorReader<'a> {
    pub tensors: ProgramTensors<'a>,
    /// Stored weights that an operator widens: their numbers.
    pub wide: HashMap<usize, Vec<f32>>,
    pub steps: Vec<OperationStep>,
    /// Scores by the logits they are made from.
    pub logits: HashMap<usize, usize>,
    /// Boxes and scores of the detection operator.
    pub detected: Option<[usize; 2]>,
}

impl<'a> OperatorReader<'a> {
    /// Reads the next operator.
    ///
    /// # Errors
    /// If it is not one that the interpreter knows.
    pub fn operator(&mut self, model: &Model<'a>, operator: &Operator<'a>) -> Result<(), InterchangeError> {
        let codes = model.operator_codes().filter(|c| (operator.opcode_index() as usize) < c.len());
        let code = codes.map(|c| c.get(operator.opcode_index() as usize));
        let kind = code.map_or(BuiltinOperator::CUSTOM, |c| c.builtin_code());
        let index = |i: i32| usize::try_from(i).unwrap_or(usize::MAX);
        let inputs: Vec<usize> = operator.inputs().map_or(vec![], |all| all.iter().map(index).collect());
        let outputs: Vec<usize> = operator.outputs().map_or(vec![], |all| all.iter().map(index).collect());
        let (Some(&first), Some(&output)) = (inputs.first(), outputs.first()) else {
            return Err(self.tensors.refused("graph", "an operator without inputs or outputs", "one with both"));
        };
        if inputs.iter().chain(&outputs).any(|&i| i >= self.tensors.len()) {
            return Err(self.tensors.refused("graph", "an operator on absent tensors", "tensors of the file"));
        }
        let byte = self.tensors.kind(first)? == TensorType::INT8;
        let (operation, inputs) = match kind {
            BuiltinOperator::CONV_2D => (self.convolution(operator, Channels::Mixed, &inputs, output)?, vec![first]),
            BuiltinOperator::DEPTHWISE_CONV_2D => {
                (self.convolution(operator, Channels::Apart, &inputs, output)?, vec![first])
            }
            BuiltinOperator::ADD => (self.sum(operator, &inputs, output)?, inputs),
            BuiltinOperator::PAD => (self.padded(&inputs, output)?, vec![first]),
            BuiltinOperator::RESHAPE => (self.joined(&[first], output)?, vec![first]),
            BuiltinOperator::CONCATENATION => (self.joined(&inputs, output)?, inputs),
            BuiltinOperator::QUANTIZE => {
                let rescaled = Rescaled::new(self.tensors.scale(first)?, self.tensors.scale(output)?);
                self.same_count(first, output)?;
                (Operation::Rescaled(rescaled), inputs)
            }
            BuiltinOperator::DEQUANTIZE if byte => {
                self.same_count(first, output)?;
                (Operation::Dequantised(self.tensors.scale(first)?), inputs)
            }
            BuiltinOperator::DEQUANTIZE => {
                self.same_count(first, output)?;
                self.wide.insert(output, self.tensors.halves(first)?);
                return Ok(());
            }
            BuiltinOperator::SOFTMAX | BuiltinOperator::LOGISTIC => {
                self.logits.insert(output, first);
                return Ok(());
            }
            BuiltinOperator::CUSTOM if code.and_then(|c| c.custom_code()) == Some("TFLite_Detection_PostProcess") => {
                let &[boxes, scores, _] = inputs.as_slice() else {
                    return Err(self.tensors.refused("TFLite_Detection_PostProcess", "other inputs", "three"));
                };
                self.detected = Some([boxes, scores]);
                return Ok(());
            }
            other => {
                return Err(self.tensors.refused(
                    self.tensors.name(output),
                    format!("{other:?}"),
                    "an operator of an SSD",
                ));
            }
        };
        self.check_kinds(&operation, &inputs, output)?;
        self.steps.push(OperationStep { operation, inputs, output });
        Ok(())
    }

    /// An operation reads and makes numbers of its own kind.
    fn check_kinds(&self, operation: &Operation, inputs: &[usize], output: usize) -> Result<(), InterchangeError> {
        const REAL: TensorType = TensorType::FLOAT32;
        const BYTE: TensorType = TensorType::INT8;
        let made = self.tensors.kind(output)?;
        let (read, expected): (&[TensorType], TensorType) = match operation {
            Operation::Real(_) | Operation::RealSum => (&[REAL], REAL),
            Operation::Bytes(_) | Operation::Sum(_) => (&[BYTE], BYTE),
            Operation::Rescaled(_) => (&[BYTE, TensorType::UINT8], BYTE),
            Operation::Dequantised(_) => (&[BYTE], REAL),
            Operation::Joined | Operation::Padded { .. } if made == REAL => (&[REAL], REAL),
            Operation::Joined | Operation::Padded { .. } => (&[BYTE], BYTE),
        };
        for &input in inputs {
            let kind = self.tensors.kind(input)?;
            if !read.contains(&kind) || made != expected {
                let found = format!("{kind:?} to {made:?}");
                return Err(self.tensors.refused(
                    self.tensors.name(output),
                    found,
                    format!("{read:?} to {expected:?}"),
                ));
            }
        }
        Ok(())
    }

    fn same_count(&self, from: usize, to: usize) -> Result<(), InterchangeError> {
        let (found, expected) = (self.tensors.count(from)?, self.tensors.count(to)?);
        if found == expected {
            return Ok(());
        }
        Err(self.tensors.refused(self.tensors.name(to), format!("{expected} numbers"), found.to_string()))
    }

    fn joined(&self, inputs: &[usize], output: usize) -> Result<Operation, InterchangeError> {
        let counts: Result<Vec<usize>, _> = inputs.iter().map(|&i| self.tensors.count(i)).collect();
        let total = counts?.iter().fold(0usize, |all, n| all.saturating_add(*n));
        if total != self.tensors.count(output)? {
            return Err(self.tensors.refused(self.tensors.name(output), "another number of values", total.to_string()));
        }
        for &input in inputs {
            // Values behind each other are rows below each other where the rows are equally long.
            let row = |i: usize| Ok::<_, InterchangeError>(self.tensors.shape(i)?.last().copied());
            if inputs.len() > 1 && (row(input)? != row(output)? || self.tensors.shape(input)?.len() != 3) {
                return Err(self.tensors.refused(self.tensors.name(output), "rows of other lengths", "equal ones"));
            }
            let equal = self.tensors.kind(input)? == self.tensors.kind(output)?;
            let scaled = self.tensors.kind(output)? == TensorType::INT8;
            if !equal || scaled && self.tensors.scale(input)? != self.tensors.scale(output)? {
                return Err(self.tensors.refused(self.tensors.name(output), "inputs of other scales", "equal ones"));
            }
        }
        Ok(Operation::Joined)
    }

    fn sum(&self, operator: &Operator, inputs: &[usize], output: usize) -> Result<Operation, InterchangeError> {
        let fused = operator.builtin_options_as_add_options().map(|o| o.fused_activation_function());
        if fused.is_some_and(|f| f != ActivationFunctionType::NONE) {
            return Err(self.tensors.refused(self.tensors.name(output), format!("{fused:?}"), "a plain sum"));
        }
        let &[a, b] = inputs else {
            return Err(self.tensors.refused(self.tensors.name(output), format!("{} summands", inputs.len()), "two"));
        };
        self.same_count(a, output)?;
        self.same_count(b, output)?;
        if self.tensors.kind(a)? == TensorType::FLOAT32 {
            return Ok(Operation::RealSum);
        }
        let scale = |i| self.tensors.scale(i);
        Ok(Operation::Sum(Sum::new([scale(a)?, scale(b)?], scale(output)?)))
    }

    fn padded(&self, inputs: &[usize], output: usize) -> Result<Operation, InterchangeError> {
        let name = self.tensors.name(output);
        let &[input, pads] = inputs else { return Err(self.tensors.refused(name, "a Pad of other inputs", "two")) };
        let map = self.tensors.map(input)?;
        let &[0, 0, top, bottom, left, right, 0, 0] = self.tensors.integers(pads)?.as_slice() else {
            return Err(self.tensors.refused(name, "padding of other axes", "of height and width"));
        };
        let pads = [top, left, bottom, right].map(|p| usize::try_from(p).unwrap_or(usize::MAX));
        let grown = [
            map[0].saturating_add(pads[0]).saturating_add(pads[2]),
            map[1].saturating_add(pads[1]).saturating_add(pads[3]),
            map[2],
        ];
        if grown != self.tensors.map(output)? {
            return Err(self.tensors.refused(name, format!("a padded map {grown:?}"), "the output's size"));
        }
        let byte = self.tensors.kind(input)? == TensorType::INT8;
        let zero = if byte { self.tensors.scale(input)?.zero.clamp(-128, 127) as i8 } else { 0 };
        Ok(Operation::Padded { map, pads, zero })
    }

    fn convolution(
        &mut self,
        operator: &Operator<'a>,
        kind: Channels,
        inputs: &[usize],
        output: usize,
    ) -> Result<Operation, InterchangeError> {
        let name = self.tensors.name(output);
        let &[input, weight, bias] = inputs else {
            return Err(self.tensors.refused(name, "a convolution without bias", "input, weight and bias"));
        };
        let options = options(operator, kind);
        let Some((strides, rule, activation)) = options else {
            return Err(self.tensors.refused(name, "a convolution without options, or dilated", "stride and padding"));
        };
        let shape = self.shape(kind, [input, weight, output], strides, rule)?;
        let relu6 = match activation {
            ActivationFunctionType::NONE => false,
            ActivationFunctionType::RELU6 => true,
            other => return Err(self.tensors.refused(name, format!("{other:?}"), "ReLU6 or nothing")),
        };
        if self.tensors.count(bias)? != shape.channels[1] {
            return Err(self.tensors.refused(name, "a bias of another length", "one number a channel"));
        }
        if self.tensors.kind(input)? == TensorType::FLOAT32 {
            let weight = by_row(&self.real(weight)?, &shape);
            return Ok(Operation::Real(Real { shape, weight, bias: self.real(bias)?, relu6 }));
        }
        let (from, to) = (self.tensors.scale(input)?, self.tensors.scale(output)?);
        let scales = self.tensors.scales(weight, shape.channels[1])?;
        let factors: Vec<f64> =
            scales.iter().map(|s| f64::from(from.scale) * f64::from(*s) / f64::from(to.scale)).collect();
        if factors.iter().any(|f| *f >= f64::from(1 << 30)) {
            return Err(self.tensors.refused(name, "scales too far from each other", "scales of a network"));
        }
        let bytes: Vec<i16> = self.tensors.bytes_of(weight)?.into_iter().map(i16::from).collect();
        let bounds = if relu6 { [to.step(0.0).max(-128), to.step(6.0).min(127)] } else { [-128, 127] };
        Ok(Operation::Bytes(Bytes {
            weight: by_row(&bytes, &shape),
            shape,
            bias: self.tensors.integers(bias)?,
            factors: factors.into_iter().map(Factor::of).collect(),
            input_zero: from.zero,
            output_zero: to.zero,
            bounds: [bounds[0].min(bounds[1]), bounds[1]],
        }))
    }

    fn real(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        if self.tensors.is_stored(index) {
            return self.tensors.floats(index);
        }
        let name = self.tensors.name(index);
        self.wide.remove(&index).ok_or_else(|| self.tensors.refused(name, "computed weights", "stored ones"))
    }

    fn shape(
        &self,
        kind: Channels,
        [input, weight, output]: [usize; 3],
        [down, across]: [i32; 2],
        rule: Rule,
    ) -> Result<ConvolutionShape, InterchangeError> {
        let ([h, w, inner], [rows, columns, outer]) = (self.tensors.map(input)?, self.tensors.map(output)?);
        let dims = self.tensors.shape(weight)?;
        let name = self.tensors.name(output);
        let kernel = match (kind, &dims[..]) {
            (Channels::Mixed, &[o, kh, kw, i]) if [o, i] == [outer, inner] => [kh, kw],
            (Channels::Apart, &[1, kh, kw, c]) if [c, c] == [outer, inner] => [kh, kw],
            _ => {
                return Err(self.tensors.refused(
                    name,
                    format!("a weight of {dims:?}"),
                    format!("{inner} to {outer} channels"),
                ));
            }
        };
        let stride = usize::try_from(down).ok().filter(|s| down == across && (1..=8).contains(s));
        let stride =
            stride.ok_or_else(|| self.tensors.refused(name, format!("strides {down}, {across}"), "equal ones"))?;
        let same = rule == Rule::SAME;
        let size =
            |n: usize, k: usize| if same { Some(n.div_ceil(stride)) } else { Some(n.checked_sub(k)? / stride + 1) };
        if [size(h, kernel[0]), size(w, kernel[1])] != [Some(rows), Some(columns)] {
            return Err(self.tensors.refused(name, format!("a {rows}x{columns} map"), "the size that its input gives"));
        }
        let before = |n: usize, k: usize| if same { Padding::TfSame.vertical(n, k, stride).0 } else { 0 };
        let window = InputWindow {
            kernel,
            stride,
            before: [before(h, kernel[0]), before(w, kernel[1])],
            input: [h, w],
            output: [rows, columns],
        };
        Ok(ConvolutionShape { window, kind, channels: [inner, outer] })
    }
}

/// Strides, padding and activation; `None` if there are none, or it is dilated.
fn options(operator: &Operator, kind: Channels) -> Option<([i32; 2], Rule, ActivationFunctionType)> {
    match kind {
        Channels::Mixed => {
            let o = operator.builtin_options_as_conv_2_doptions()?;
            let plain = o.dilation_h_factor() == 1 && o.dilation_w_factor() == 1;
            plain.then(|| ([o.stride_h(), o.stride_w()], o.padding(), o.fused_activation_function()))
        }
        Channels::Apart => {
            let o = operator.builtin_options_as_depthwise_conv_2_doptions()?;
            let plain = o.dilation_h_factor() == 1 && o.dilation_w_factor() == 1 && o.depth_multiplier() == 1;
            plain.then(|| ([o.stride_h(), o.stride_w()], o.padding(), o.fused_activation_function()))
        }
    }
}

/// `[O, kh, kw, I]` with the output channel fastest; depthwise weights are so already.
fn by_row<T: Copy>(weight: &[T], shape: &ConvolutionShape) -> Vec<T> {
    if shape.kind == Channels::Apart {
        return weight.to_vec();
    }
    let outer = shape.channels[1];
    let rows = weight.len() / outer;
    (0..weight.len()).map(|i| weight[i % outer * rows + i / outer]).collect()
}
