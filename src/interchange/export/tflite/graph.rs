//! A layout as TensorFlow Lite's operators, in one of three kinds of numbers.

use half::f16;
use tract_tflite::tflite::{Padding as Rule, TensorType};

use super::draft::{Operator, StoredScale, TfliteDraft};
use super::quantise::{ActivationScale, QuantisedConv};
use super::{ByteInput, Calibration, TfliteNumbers, TfliteOptions, TfliteOutputs, post_process};
use crate::boxes::{Anchors, ScoreFunction};
use crate::interchange::export::layout::{ExportStep, HeadOutput, Layout};
use crate::model::{Activation, ConvKind, ConvWeights, Padding, Ssd};

const INPUT: &str = "normalized_input_image_tensor";
const BOXES: &str = "raw_outputs/box_encodings";
const CLASSES: &str = "raw_outputs/class_predictions";

/// Step and middle of a whole-number input: the pixel value minus 128 is the real number times 127.5.
const PIXEL: ActivationScale = ActivationScale { scale: 1.0 / 127.5, zero: 0 };
/// A pixel is `x / 127.5 - 1`, its byte stands for `(x - 128) / 127.5`: what the byte lacks.
const LACKING: f32 = 0.5 / 127.5;

pub fn draft(network: &Ssd<ConvWeights>, layout: &Layout, anchors: &Anchors, options: &TfliteOptions) -> TfliteDraft {
    let mut writer =
        TfliteGraphWriter { draft: TfliteDraft::default(), layout, numbers: options.numbers, values: Vec::new() };
    writer.input(options.size.dims());
    for step in &layout.steps {
        match step {
            ExportStep::Conv { scope, conv, pads, input, output, .. } => {
                let bias = if *input == 0 { writer.complete(conv) } else { conv.bias.clone() };
                writer.conv(scope, conv, &bias, *pads, [*input, *output]);
            }
            ExportStep::Add { inputs: [a, b], output, .. } => {
                let to = writer.value(*output);
                let inputs = [writer.values[*a], writer.values[*b]];
                writer.draft.node(Operator::Add, &inputs, &[to]);
            }
        }
    }
    let boxes = writer.joined(&layout.boxes, BOXES, 4);
    let classes = writer.joined(&layout.classes, CLASSES, network.classes);
    let mut draft = writer.draft;
    if options.detections == TfliteOutputs::Raw {
        draft.outputs = vec![boxes, classes];
        return draft;
    }
    // The kernel takes float boxes and scores; both are small.
    let int8 = matches!(options.numbers, TfliteNumbers::Int8 { .. });
    let mut float = |from: i32, name: &str, columns: usize| {
        if !int8 {
            return from;
        }
        let to = draft.value(name, &[1, anchors.len(), columns], TensorType::FLOAT32, None);
        draft.node(Operator::Dequantize, &[from], &[to]);
        to
    };
    let boxes = float(boxes, "box_encodings", 4);
    let classes = float(classes, "class_predictions", network.classes);
    let scores = draft.value("convert_scores", &[1, anchors.len(), network.classes], TensorType::FLOAT32, None);
    let function = match network.convention.scores {
        ScoreFunction::Softmax => Operator::Softmax,
        ScoreFunction::Sigmoid => Operator::Logistic,
    };
    draft.node(function, &[classes], &[scores]);
    post_process::add(&mut draft, [boxes, scores], anchors.centers(), network.classes, &options.coder);
    draft
}

struct TfliteGraphWriter<'a> {
    draft: TfliteDraft,
    layout: &'a Layout<'a>,
    numbers: TfliteNumbers<'a>,
    /// The tensor of each of the layout's values, in order.
    values: Vec<i32>,
}

impl TfliteGraphWriter<'_> {
    fn calibration(&self) -> Option<&Calibration> {
        match self.numbers {
            TfliteNumbers::Int8 { calibration, .. } => Some(calibration),
            _ => None,
        }
    }

    /// The factor of the layout's value in 8 bits.
    fn scale(&self, value: usize) -> Option<ActivationScale> {
        self.calibration().map(|c| if value == 0 { PIXEL } else { ActivationScale::of(c.range(value)) })
    }

    fn kind(&self) -> TensorType {
        if self.calibration().is_some() { TensorType::INT8 } else { TensorType::FLOAT32 }
    }

    fn input(&mut self, [height, width]: [usize; 2]) {
        let shape = [1, height, width, 3];
        let (signed, float) = (Some(PIXEL.quantised()), TensorType::FLOAT32);
        let (read, first) = match self.numbers {
            TfliteNumbers::Int8 { input: ByteInput::Unsigned, .. } => {
                let unsigned = Some(StoredScale::whole(PIXEL.scale, 128));
                let given = self.draft.value(INPUT, &shape, TensorType::UINT8, unsigned);
                let read = self.draft.value("input_int8", &shape, TensorType::INT8, signed);
                self.draft.node(Operator::Quantize, &[given], &[read]);
                (read, given)
            }
            TfliteNumbers::Int8 { input: ByteInput::Signed, .. } => {
                let given = self.draft.value(INPUT, &shape, TensorType::INT8, signed);
                (given, given)
            }
            _ => {
                let given = self.draft.value(INPUT, &shape, float, None);
                (given, given)
            }
        };
        self.draft.inputs = vec![first];
        self.values.push(read);
    }

    /// The tensor of the layout's next value.
    fn value(&mut self, index: usize) -> i32 {
        let value = &self.layout.values[index];
        let [h, w] = value.size;
        let quantised = self.scale(index).map(ActivationScale::quantised);
        let tensor = self.draft.value(&value.name, &[1, h, w, value.channels], self.kind(), quantised);
        assert_eq!(self.values.len(), index, "values are computed in order");
        self.values.push(tensor);
        tensor
    }

    /// The first layer's bias, with what the bytes of a whole-number input lack.
    fn complete(&self, conv: &ConvWeights) -> Vec<f32> {
        let mut bias = conv.bias.clone();
        if self.calibration().is_none() {
            return bias;
        }
        for row in conv.weight.chunks_exact(conv.spec.out_channels) {
            for ((b, w), s) in bias.iter_mut().zip(row).zip(&conv.scale) {
                *b += w * s * LACKING;
            }
        }
        bias
    }

    fn conv(&mut self, scope: &str, conv: &ConvWeights, bias: &[f32], pads: [usize; 4], [input, output]: [usize; 2]) {
        let spec = &conv.spec;
        let (rule, read) = self.padded(scope, conv, pads, input);
        let depthwise = spec.kind == ConvKind::Depthwise;
        let (shape, weight) = reordered(conv);
        let [weights, biases] = ["weights", "biases"].map(|part| format!("{scope}/{part}"));
        let channels = [spec.out_channels];
        let (weight, bias) = match (self.numbers, self.scale(input)) {
            (TfliteNumbers::Int8 { .. }, Some(scale)) => {
                let per_channel = weight.len() / spec.out_channels;
                let channel = |i: usize| if depthwise { i % spec.out_channels } else { i / per_channel };
                let means = self.calibration().map_or(&[][..], |c| c.means(input));
                let q = QuantisedConv::of(&weight, bias, scale.scale, means, channel);
                let zeros = vec![0; spec.out_channels];
                let axis = if depthwise { 3 } else { 0 };
                let products = q.scales.iter().map(|s| s * scale.scale).collect();
                let of_bias = StoredScale { scales: products, zeros: zeros.clone(), axis: 0 };
                let of_weight = StoredScale { scales: q.scales, zeros, axis };
                let bytes = q.weight.iter().map(|&w| w as u8).collect();
                let weight = self.draft.stored(&weights, &shape, TensorType::INT8, Some(of_weight), bytes);
                let bytes = q.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
                (weight, self.draft.stored(&biases, &channels, TensorType::INT32, Some(of_bias), bytes))
            }
            (TfliteNumbers::Float16, _) => {
                (self.halves(&weights, &shape, &weight), self.halves(&biases, &channels, bias))
            }
            _ => (self.draft.floats(&weights, &shape, &weight), self.draft.floats(&biases, &channels, bias)),
        };
        let to = self.value(output);
        let (stride, padding, relu6) = (spec.stride as i32, rule, spec.activation == Activation::Relu6);
        let operator = match depthwise {
            true => Operator::Depthwise { stride, padding, relu6 },
            false => Operator::Conv { stride, padding, relu6 },
        };
        self.draft.node(operator, &[read, weight, bias], &[to]);
    }

    /// Padding as TensorFlow's rule where it is that, else as an operator before a convolution without padding.
    fn padded(&mut self, scope: &str, conv: &ConvWeights, pads: [usize; 4], input: usize) -> (Rule, i32) {
        let (spec, same, size) = (&conv.spec, Padding::TfSame, self.layout.values[input].size);
        let (top, bottom) = same.vertical(size[0], spec.kernel[0], spec.stride);
        let (left, right) = same.horizontal(size[1], spec.kernel[1], spec.stride);
        if pads == [top, left, bottom, right] {
            return (Rule::SAME, self.values[input]);
        }
        if pads == [0; 4] {
            return (Rule::VALID, self.values[input]);
        }
        let [top, left, bottom, right] = pads.map(|p| p as i32);
        let numbers = [0, 0, top, bottom, left, right, 0, 0];
        let numbers = self.draft.integers(&format!("{scope}/paddings"), &[4, 2], &numbers);
        let shape = [1, size[0] + pads[0] + pads[2], size[1] + pads[1] + pads[3], self.layout.values[input].channels];
        let quantised = self.scale(input).map(ActivationScale::quantised);
        let to = self.draft.value(&format!("{scope}/padded"), &shape, self.kind(), quantised);
        self.draft.node(Operator::Pad, &[self.values[input], numbers], &[to]);
        (Rule::VALID, to)
    }

    /// Weights of 16 bits, widened when the file is loaded.
    fn halves(&mut self, name: &str, shape: &[usize], values: &[f32]) -> i32 {
        let bytes = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let stored = self.draft.stored(&format!("{name}/half"), shape, TensorType::FLOAT16, None, bytes);
        let wide = self.draft.value(name, shape, TensorType::FLOAT32, None);
        self.draft.node(Operator::Dequantize, &[stored], &[wide]);
        wide
    }

    /// The predictors of all maps below each other, `[1, A, columns]`.
    fn joined(&mut self, branches: &[HeadOutput], name: &str, columns: usize) -> i32 {
        let quantised = branches.first().and_then(|b| self.scale(b.value)).map(ActivationScale::quantised);
        let (mut parts, mut rows) = (Vec::new(), 0);
        for branch in branches {
            let value = &self.layout.values[branch.value];
            let count = value.size[0] * value.size[1] * value.channels / columns;
            let shape = [1, count as i32, columns as i32];
            let target = self.draft.integers(&format!("{}/shape", branch.scope), &[3], &shape);
            let flat = format!("{}/flat", branch.scope);
            let to = self.draft.value(&flat, &[1, count, columns], self.kind(), quantised.clone());
            self.draft.node(Operator::Reshape(shape.to_vec()), &[self.values[branch.value], target], &[to]);
            parts.push(to);
            rows += count;
        }
        let to = self.draft.value(name, &[1, rows, columns], self.kind(), quantised);
        self.draft.node(Operator::Concatenation(1), &parts, &[to]);
        to
    }
}

/// The weight with its scale multiplied in, as TensorFlow Lite has it: `[O, kh, kw, I]`, depthwise `[1, kh, kw, C]`.
fn reordered(conv: &ConvWeights) -> ([usize; 4], Vec<f32>) {
    let (spec, out) = (&conv.spec, conv.spec.out_channels);
    let [kh, kw] = spec.kernel;
    let scaled = |i: usize| conv.weight[i] * conv.scale[i % out];
    if spec.kind == ConvKind::Depthwise {
        return ([1, kh, kw, out], (0..conv.weight.len()).map(scaled).collect());
    }
    let rows = conv.weight.len() / out;
    let weight = (0..conv.weight.len()).map(|i| scaled(i % rows * out + i / rows)).collect();
    ([out, kh, kw, spec.in_channels], weight)
}
