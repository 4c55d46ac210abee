//! TFLite's operators in the graph's words.

use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, Operator, Padding, TensorType};

use super::detections;
use super::tensors::{TfliteTensors, range};
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::draft::GraphDraft;
use crate::interchange::graph::node::{GraphNode, Op};

const TO_NCHW: [i64; 4] = [0, 3, 1, 2];
const TO_NHWC: [i64; 4] = [0, 2, 3, 1];

/// Writes operators into a draft.
pub struct OperatorWriter<'a> {
    pub tensors: &'a TfliteTensors<'a>,
    pub draft: GraphDraft,
}

/// The options that both kinds of convolution have.
struct Convolution {
    depthwise: bool,
    padding: Padding,
    strides: [i32; 2],
    dilations: [i32; 2],
    activation: ActivationFunctionType,
    /// Output channels per input channel of a depthwise convolution.
    multiplier: i32,
}

impl OperatorWriter<'_> {
    pub fn add(&mut self, operator: &Operator, code: BuiltinOperator, custom: &str) {
        let inputs: Vec<i32> = operator.inputs().map_or(vec![], |i| i.iter().collect());
        let outputs: Vec<i32> = operator.outputs().map_or(vec![], |o| o.iter().collect());
        let end = outputs.first().copied().unwrap_or(-1);
        let fused = |f: Option<ActivationFunctionType>| f.unwrap_or(ActivationFunctionType::NONE);
        match code {
            BuiltinOperator::CONV_2D | BuiltinOperator::DEPTHWISE_CONV_2D => match convolution(operator, code) {
                Some(convolution) => self.conv(&convolution, &inputs, end),
                None => self.plain(Op::Other("a convolution without options".into()), &inputs, &outputs),
            },
            BuiltinOperator::ADD => {
                let f = operator.builtin_options_as_add_options().map(|o| o.fused_activation_function());
                self.arithmetic(Op::Add, &inputs, end, fused(f));
            }
            BuiltinOperator::SUB => {
                let f = operator.builtin_options_as_sub_options().map(|o| o.fused_activation_function());
                self.arithmetic(Op::Sub, &inputs, end, fused(f));
            }
            BuiltinOperator::MUL => {
                let f = operator.builtin_options_as_mul_options().map(|o| o.fused_activation_function());
                self.arithmetic(Op::Mul, &inputs, end, fused(f));
            }
            BuiltinOperator::DIV => {
                let f = operator.builtin_options_as_div_options().map(|o| o.fused_activation_function());
                self.arithmetic(Op::Div, &inputs, end, fused(f));
            }
            BuiltinOperator::PAD | BuiltinOperator::PADV2 => self.pad(&inputs, &outputs),
            BuiltinOperator::RESHAPE => self.reshape(operator, &inputs, end),
            BuiltinOperator::CUSTOM if custom == detections::NAME => {
                let names = self.names(&inputs);
                let node = detections::node(operator, &names, self.tensors.name(end));
                self.draft.add(node);
            }
            BuiltinOperator::RELU6 => {
                let data = self.names(&inputs).first().cloned().unwrap_or_default();
                let node = activated(ActivationFunctionType::RELU6, &data, self.tensors.name(end));
                node.into_iter().for_each(|node| self.draft.add(node));
            }
            BuiltinOperator::CUSTOM => self.plain(Op::Other(custom.into()), &inputs, &outputs),
            // Constants have become real numbers already, and activations are real numbers throughout.
            BuiltinOperator::QUANTIZE | BuiltinOperator::DEQUANTIZE => {
                self.plain(Op::Identity, &inputs[..1.min(inputs.len())], &outputs)
            }
            other => self.plain(plain(other), &inputs, &outputs),
        }
    }

    fn names(&self, indices: &[i32]) -> Vec<String> {
        indices.iter().map(|&i| self.tensors.name(i).to_owned()).collect()
    }

    fn plain(&mut self, op: Op, inputs: &[i32], outputs: &[i32]) {
        let (inputs, outputs) = (self.names(inputs), self.names(outputs));
        let name = outputs.first().cloned().unwrap_or_default();
        self.draft.add(GraphNode { name, op, inputs, outputs, attributes: vec![] });
    }

    fn arithmetic(&mut self, op: Op, inputs: &[i32], end: i32, activation: ActivationFunctionType) {
        let (inputs, end) = (self.names(inputs), self.tensors.name(end).to_owned());
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        match activated(activation, &format!("{end}/sum"), &end) {
            None => self.draft.add(GraphNode::new(op, &inputs, &end)),
            Some(activation) => {
                self.draft.add(GraphNode { name: end.clone(), ..GraphNode::new(op, &inputs, &format!("{end}/sum")) });
                self.draft.add(activation);
            }
        }
    }

    fn pad(&mut self, inputs: &[i32], outputs: &[i32]) {
        let amounts = inputs.get(1).and_then(|&i| self.draft.constant(self.tensors.name(i))).map(|c| c.array.clone());
        let value = inputs.get(2).map_or(Some(0.0), |&i| self.draft.constant(self.tensors.name(i))?.array.single());
        let pairs = amounts.filter(|a| a.dims == [4, 2]).map(|a| a.integers());
        let (Some(pairs), Some(value)) = (pairs, value) else {
            return self.plain(Op::Other("PAD".into()), inputs, outputs);
        };
        let pads: Vec<i64> = pairs.iter().step_by(2).chain(pairs.iter().skip(1).step_by(2)).copied().collect();
        let names = self.names(&inputs[..1]);
        let end = self.tensors.name(outputs.first().copied().unwrap_or(-1));
        self.draft.add(GraphNode::new(Op::Pad, &[&names[0]], end).with("pads", pads).with("value", value));
    }

    fn reshape(&mut self, operator: &Operator, inputs: &[i32], end: i32) {
        let end = self.tensors.name(end);
        let given = inputs.get(1).map(|&i| self.tensors.name(i)).filter(|name| self.draft.constant(name).is_some());
        let target = given.map(String::from).unwrap_or_else(|| format!("{end}/shape"));
        if given.is_none() {
            let shape = operator.builtin_options_as_reshape_options().and_then(|o| o.new_shape());
            let shape: Vec<f32> = shape.map_or(vec![], |s| s.iter().map(|d| d as f32).collect());
            if let Some(array) = ConstantArray::new(vec![shape.len()], shape) {
                self.draft.literal(&target, array);
            }
        }
        let data = self.tensors.name(inputs.first().copied().unwrap_or(-1));
        self.draft.add(GraphNode::new(Op::Reshape, &[data, &target], end));
    }

    fn conv(&mut self, c: &Convolution, inputs: &[i32], end: i32) {
        let input = |i: usize| inputs.get(i).copied().unwrap_or(-1);
        let tensors = self.tensors;
        let (data, weight, out) = (tensors.name(input(0)), tensors.name(input(1)), tensors.name(end).to_owned());
        let dims = tensors.dims(input(1));
        let last = |dims: &[Option<usize>]| dims.last().copied().flatten().map_or(1, |n| n as i64);
        // [1, kh, kw, C] and [O, kh, kw, I] to OIHW.
        let (perm, group) = if c.depthwise {
            ([3i64, 0, 1, 2], last(&dims) / i64::from(c.multiplier.max(1)))
        } else {
            ([0i64, 3, 1, 2], last(&tensors.dims(input(0))) / last(&dims).max(1))
        };
        let part = |part: &str| format!("{out}/{part}");
        let oihw = format!("{weight}/oihw");
        if self.draft.constant(&oihw).is_none() {
            self.draft.add(GraphNode::new(Op::Transpose, &[weight], &oihw).with("perm", perm));
        }
        self.draft.add(GraphNode::new(Op::Transpose, &[data], &part("nchw")).with("perm", TO_NCHW));
        let bias = self.bias(input(0), input(1), input(2));
        let nchw = part("nchw");
        let read: Vec<&str> = [nchw.as_str(), &oihw].into_iter().chain(bias.as_deref()).collect();
        let padding = if c.padding == Padding::SAME { "SAME_UPPER" } else { "VALID" };
        let mut at = part("conv");
        let conv = GraphNode::new(Op::Conv, &read, &at)
            .with("auto_pad", padding)
            .with("group", group.max(1))
            .with("strides", c.strides.map(i64::from))
            .with("dilations", c.dilations.map(i64::from));
        self.draft.add(GraphNode { name: out.clone(), ..conv });
        if let Some(activation) = activated(c.activation, &at, &part("activation")) {
            self.draft.add(activation);
            at = part("activation");
        }
        at = self.quantised(end, at);
        self.draft.add(GraphNode::new(Op::Transpose, &[&at], &out).with("perm", TO_NHWC));
    }

    /// The name of a convolution's bias. One of integers without a scale counts in steps of input times weight.
    fn bias(&mut self, data: i32, weight: i32, bias: i32) -> Option<String> {
        let tensors = self.tensors;
        let name = Some(tensors.name(bias)).filter(|name| !name.is_empty())?.to_owned();
        if tensors.type_of(bias) != Some(TensorType::INT32) || tensors.quantisation(bias).is_some() {
            return Some(name);
        }
        let (Some(x), Some(w)) = (tensors.quantisation(data), tensors.quantisation(weight)) else { return Some(name) };
        let steps: Vec<f32> = w.scale.iter().map(|s| s * x.scale[0]).collect();
        let (steps_name, scaled) = (format!("{name}/steps"), format!("{name}/scaled"));
        self.draft.literal(&steps_name, ConstantArray::new(vec![steps.len()], steps)?);
        self.draft.add(GraphNode::new(Op::Mul, &[&name, &steps_name], &scaled));
        Some(scaled)
    }

    /// The range of a quantised activation as a pair of nodes; returns the name behind them.
    fn quantised(&mut self, end: i32, at: String) -> String {
        let tensors = self.tensors;
        let one = tensors.quantisation(end).filter(|q| q.scale.len() == 1);
        let (Some(q), Some(range)) = (one, tensors.type_of(end).and_then(range)) else { return at };
        let part = |part: &str| format!("{}/{part}", tensors.name(end));
        let [scale, zero, bytes, back] = ["scale", "zero", "bytes", "back"].map(part);
        for (name, values, range) in [(&scale, q.scale, None), (&zero, q.zero, Some(range))] {
            if let Some(array) = ConstantArray::new(vec![], values) {
                self.draft.store(name, array, range);
            }
        }
        self.draft.add(GraphNode::new(Op::Quantize, &[&at, &scale, &zero], &bytes));
        self.draft.add(GraphNode::new(Op::Dequantize, &[&bytes, &scale, &zero], &back));
        back
    }
}

fn convolution(operator: &Operator, code: BuiltinOperator) -> Option<Convolution> {
    if code == BuiltinOperator::DEPTHWISE_CONV_2D {
        let o = operator.builtin_options_as_depthwise_conv_2_doptions()?;
        return Some(Convolution {
            depthwise: true,
            padding: o.padding(),
            strides: [o.stride_h(), o.stride_w()],
            dilations: [o.dilation_h_factor(), o.dilation_w_factor()],
            activation: o.fused_activation_function(),
            multiplier: o.depth_multiplier(),
        });
    }
    let o = operator.builtin_options_as_conv_2_doptions()?;
    Some(Convolution {
        depthwise: false,
        padding: o.padding(),
        strides: [o.stride_h(), o.stride_w()],
        dilations: [o.dilation_h_factor(), o.dilation_w_factor()],
        activation: o.fused_activation_function(),
        multiplier: 1,
    })
}

/// The node of a fused activation from `input` to `output`, if there is one.
fn activated(activation: ActivationFunctionType, input: &str, output: &str) -> Option<GraphNode> {
    let clip = |lo: f32, hi: f32| GraphNode::new(Op::Clip, &[input], output).with("min", lo).with("max", hi);
    match activation {
        ActivationFunctionType::NONE => None,
        ActivationFunctionType::RELU => Some(GraphNode::new(Op::Relu, &[input], output)),
        ActivationFunctionType::RELU6 => Some(clip(0.0, 6.0)),
        ActivationFunctionType::RELU_N1_TO_1 => Some(clip(-1.0, 1.0)),
        other => Some(GraphNode::new(Op::Other(format!("fused activation {}", other.0)), &[input], output)),
    }
}

/// Operators whose inputs and outputs are those of the graph's own.
fn plain(code: BuiltinOperator) -> Op {
    match code {
        BuiltinOperator::CONCATENATION => Op::Concat,
        BuiltinOperator::LOGISTIC => Op::Sigmoid,
        BuiltinOperator::SOFTMAX => Op::Softmax,
        BuiltinOperator::RELU => Op::Relu,
        BuiltinOperator::MAXIMUM => Op::Max,
        BuiltinOperator::MINIMUM => Op::Min,
        BuiltinOperator::CAST => Op::Cast,
        BuiltinOperator::EXP => Op::Exp,
        BuiltinOperator::SQUEEZE => Op::Squeeze,
        BuiltinOperator::SHAPE => Op::Shape,
        other => Op::Other(other.variant_name().map_or_else(|| format!("operator {}", other.0), String::from)),
    }
}
