//! Writes a network of ours as a TFLite file, in the forms that TensorFlow's converters give it.

use fieldtune::boxes::Anchors;
use fieldtune::model::{Activation, ConvKind, ConvWeights, Ssd};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use tract_onnx::prelude::f16;
use tract_tflite::tflite as tfl;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numbers {
    Float,
    /// Half floats behind a DEQUANTIZE each.
    Half,
    /// A byte for each weight, one scale a tensor; ReLU6 left to the range of the activations.
    Bytes,
    /// Signed bytes, a scale for each output channel of a weight.
    SignedBytes,
}

type Building<'a> = FlatBufferBuilder<'a>;

pub struct Writer<'a> {
    fbb: Building<'a>,
    numbers: Numbers,
    tensors: Vec<WIPOffset<tfl::Tensor<'a>>>,
    operators: Vec<WIPOffset<tfl::Operator<'a>>>,
    buffers: Vec<Vec<u8>>,
    codes: Vec<(tfl::BuiltinOperator, Option<&'static str>)>,
    /// Scale and zero of each activation.
    steps: Vec<Option<(f32, i64)>>,
}

/// A map's tensor, height and width.
type Map = (i32, [usize; 2]);

/// `{"y_scale": 5, "x_scale": 10, "h_scale": 5, "w_scale": 2.5, "num_classes": 5, ...}`, written by FlatBuffers' builder
/// for Python: box weights other than the usual ones.
pub const OPTIONS: [u8; 167] = [
    104, 95, 115, 99, 97, 108, 101, 0, 109, 97, 120, 95, 99, 108, 97, 115, 115, 101, 115, 95, 112, 101, 114, 95, 100,
    101, 116, 101, 99, 116, 105, 111, 110, 0, 109, 97, 120, 95, 100, 101, 116, 101, 99, 116, 105, 111, 110, 115, 0,
    110, 117, 109, 95, 99, 108, 97, 115, 115, 101, 115, 0, 117, 115, 101, 95, 114, 101, 103, 117, 108, 97, 114, 95,
    110, 109, 115, 0, 119, 95, 115, 99, 97, 108, 101, 0, 120, 95, 115, 99, 97, 108, 101, 0, 121, 95, 115, 99, 97, 108,
    101, 0, 8, 102, 95, 70, 56, 45, 30, 23, 16, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 160, 64, 1, 0, 0, 0,
    10, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 64, 0, 0, 32, 65, 0, 0, 160, 64, 14, 6, 6, 6, 106, 14, 14, 14, 40,
    38, 1,
];

/// The whole detector with its operator for detections.
pub fn written(network: &Ssd<ConvWeights>, size: [usize; 2], anchors: &Anchors, numbers: Numbers) -> Vec<u8> {
    let mut w = Writer {
        fbb: FlatBufferBuilder::with_capacity(1 << 20),
        numbers,
        tensors: vec![],
        operators: vec![],
        buffers: vec![vec![]],
        codes: vec![],
        steps: vec![],
    };
    let image_type = match numbers {
        Numbers::Bytes => tfl::TensorType::UINT8,
        Numbers::SignedBytes => tfl::TensorType::INT8,
        _ => tfl::TensorType::FLOAT32,
    };
    // (p - 128) / 128 for bytes.
    let step = w.is_quantised().then_some((1.0 / 128.0, if numbers == Numbers::Bytes { 128 } else { 0 }));
    let image =
        w.tensor("image", &[1, size[0], size[1], 3], image_type, None, step.map(|(s, z)| (vec![s], vec![z], 0)));
    w.steps[image as usize] = step;
    let maps = w.maps(network, (image, size));
    let (mut boxes, mut classes) = (vec![], vec![]);
    for (head, map) in network.heads.iter().zip(maps) {
        for (to, depthwise, predictor, columns) in [
            (&mut boxes, &head.box_depthwise, &head.box_predictor, 4),
            (&mut classes, &head.class_depthwise, &head.class_predictor, network.classes),
        ] {
            let inside = depthwise.iter().fold(map, |map, conv| w.conv(conv, map));
            let (end, [h, wd]) = w.conv(predictor, inside);
            let rows = h * wd * head.anchors_per_cell;
            to.push((w.reshaped(end, [1, rows, columns]), rows));
        }
    }
    let all = anchors.len();
    let boxes = w.joined(&boxes, all, 4);
    let classes = w.joined(&classes, all, network.classes);
    let scores = w.activation("scores", &[1, all, network.classes], false);
    w.operator(tfl::BuiltinOperator::LOGISTIC, &[classes], &[scores], None, None);
    let table: Vec<f32> = anchors.centers().iter().flat_map(|a| [a.cy, a.cx, a.h, a.w]).map(|v| v as f32).collect();
    let table = w.constant("anchors", &[all, 4], &table);
    let outputs: Vec<i32> = (0..4).map(|i| w.activation(&format!("detections:{i}"), &[1, 10, 4], true)).collect();
    w.operator(tfl::BuiltinOperator::CUSTOM, &[boxes, scores, table], &outputs, None, Some(&OPTIONS));
    w.finish(image, &outputs)
}

impl<'a> Writer<'a> {
    fn is_quantised(&self) -> bool {
        matches!(self.numbers, Numbers::Bytes | Numbers::SignedBytes)
    }

    fn maps(&mut self, network: &Ssd<ConvWeights>, image: Map) -> Vec<Map> {
        let mut maps = vec![];
        let mut at = self.conv(&network.stem, image);
        for (i, block) in network.blocks.iter().enumerate() {
            let mut inner = at;
            if let Some(expand) = &block.expand {
                inner = self.conv(expand, inner);
                if i == network.tap {
                    maps.push(inner);
                }
            }
            inner = self.conv(&block.depthwise, inner);
            inner = self.conv(&block.project, inner);
            if block.residual {
                let [h, w] = inner.1;
                let sum = self.activation(&format!("sum{i}"), &[1, h, w, block.project.spec.out_channels], true);
                let options = tfl::AddOptions::create(&mut self.fbb, &tfl::AddOptionsArgs::default());
                let options = (tfl::BuiltinOptions::AddOptions, options.as_union_value());
                self.operator(tfl::BuiltinOperator::ADD, &[at.0, inner.0], &[sum], Some(options), None);
                inner.0 = sum;
            }
            at = inner;
        }
        at = self.conv(&network.last, at);
        maps.push(at);
        for extra in &network.extras {
            at = extra.layers().fold(at, |at, conv| self.conv(conv, at));
            maps.push(at);
        }
        maps
    }

    fn tensor(
        &mut self,
        name: &str,
        dims: &[usize],
        kind: tfl::TensorType,
        data: Option<Vec<u8>>,
        steps: Option<(Vec<f32>, Vec<i64>, i32)>,
    ) -> i32 {
        let name = self.fbb.create_string(&format!("{name}:{}", self.tensors.len()));
        let dims: Vec<i32> = dims.iter().map(|&d| d as i32).collect();
        let shape = Some(self.fbb.create_vector(&dims));
        let quantization = steps.map(|(scale, zero, axis)| {
            let (scale, zero) = (self.fbb.create_vector(&scale), self.fbb.create_vector(&zero));
            let args = tfl::QuantizationParametersArgs {
                scale: Some(scale),
                zero_point: Some(zero),
                quantized_dimension: axis,
                ..Default::default()
            };
            tfl::QuantizationParameters::create(&mut self.fbb, &args)
        });
        let buffer = data.map_or(0, |data| {
            self.buffers.push(data);
            self.buffers.len() as u32 - 1
        });
        let args = tfl::TensorArgs { shape, type_: kind, buffer, name: Some(name), quantization, ..Default::default() };
        self.tensors.push(tfl::Tensor::create(&mut self.fbb, &args));
        self.steps.push(None);
        self.tensors.len() as i32 - 1
    }

    fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) -> i32 {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, tfl::TensorType::FLOAT32, Some(data), None)
    }

    fn activation(&mut self, name: &str, dims: &[usize], linear: bool) -> i32 {
        let (kind, least) = match self.numbers {
            Numbers::Bytes => (tfl::TensorType::UINT8, 0),
            Numbers::SignedBytes => (tfl::TensorType::INT8, -128),
            _ => return self.tensor(name, dims, tfl::TensorType::FLOAT32, None, None),
        };
        let step = if linear { (0.1, least + 128) } else { (6.0 / 255.0, least) };
        let tensor = self.tensor(name, dims, kind, None, Some((vec![step.0], vec![step.1], 0)));
        self.steps[tensor as usize] = Some(step);
        tensor
    }

    fn operator(
        &mut self,
        code: tfl::BuiltinOperator,
        inputs: &[i32],
        outputs: &[i32],
        options: Option<(tfl::BuiltinOptions, WIPOffset<UnionWIPOffset>)>,
        custom: Option<&[u8]>,
    ) {
        let key = (code, custom.map(|_| "TFLite_Detection_PostProcess"));
        let at = self.codes.iter().position(|c| *c == key).unwrap_or_else(|| {
            self.codes.push(key);
            self.codes.len() - 1
        });
        let (inputs, outputs) = (self.fbb.create_vector(inputs), self.fbb.create_vector(outputs));
        let custom_options = custom.map(|bytes| self.fbb.create_vector(bytes));
        let (builtin_options_type, builtin_options) = options.unzip();
        let args = tfl::OperatorArgs {
            opcode_index: at as u32,
            inputs: Some(inputs),
            outputs: Some(outputs),
            builtin_options_type: builtin_options_type.unwrap_or_default(),
            builtin_options,
            custom_options,
            ..Default::default()
        };
        self.operators.push(tfl::Operator::create(&mut self.fbb, &args));
    }

    /// OHWI, or 1HWC for a depthwise.
    fn weight(&mut self, conv: &ConvWeights) -> (i32, Vec<f32>) {
        let spec = &conv.spec;
        let ([kh, kw], out) = (spec.kernel, spec.out_channels);
        let depthwise = spec.kind == ConvKind::Depthwise;
        let (dims, values) = if depthwise {
            ([1, kh, kw, out], conv.weight.clone())
        } else {
            let rows = conv.weight.len() / out;
            let moved = (0..conv.weight.len()).map(|i| conv.weight[i % rows * out + i / rows]).collect();
            ([out, kh, kw, spec.in_channels], moved)
        };
        let channel = |i: usize| if depthwise { i % out } else { i / (values.len() / out) };
        let largest = |of: &dyn Fn(usize) -> bool| {
            values.iter().enumerate().filter(|(i, _)| of(*i)).fold(1e-6f32, |m, (_, v)| m.max(v.abs()))
        };
        match self.numbers {
            Numbers::Float => (self.constant("w", &dims, &values), vec![]),
            Numbers::Half => {
                let data = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
                let half = self.tensor("half", &dims, tfl::TensorType::FLOAT16, Some(data), None);
                let full = self.tensor("w", &dims, tfl::TensorType::FLOAT32, None, None);
                self.operator(tfl::BuiltinOperator::DEQUANTIZE, &[half], &[full], None, None);
                (full, vec![])
            }
            Numbers::Bytes => {
                let scale = largest(&|_| true) / 127.0;
                let data = values.iter().map(|v| ((v / scale).round() + 128.0) as u8).collect();
                let steps = Some((vec![scale], vec![128], 0));
                (self.tensor("w", &dims, tfl::TensorType::UINT8, Some(data), steps), vec![scale])
            }
            Numbers::SignedBytes => {
                let scales: Vec<f32> = (0..out).map(|c| largest(&|i| channel(i) == c) / 127.0).collect();
                let data =
                    values.iter().enumerate().map(|(i, v)| (v / scales[channel(i)]).round() as i8 as u8).collect();
                let steps = Some((scales.clone(), vec![0; out], if depthwise { 3 } else { 0 }));
                (self.tensor("w", &dims, tfl::TensorType::INT8, Some(data), steps), scales)
            }
        }
    }

    fn conv(&mut self, conv: &ConvWeights, (input, size): Map) -> Map {
        let spec = &conv.spec;
        let (weight, scales) = self.weight(conv);
        let bias = match self.steps[input as usize] {
            None => self.constant("b", &[spec.out_channels], &conv.bias),
            Some((step, _)) => {
                let scales: Vec<f32> = scales.iter().map(|s| s * step).collect();
                let of = |c: usize| scales[c % scales.len()];
                let data = conv.bias.iter().enumerate().flat_map(|(c, b)| ((b / of(c)).round() as i32).to_le_bytes());
                let (data, zeros) = (data.collect(), vec![0; scales.len()]);
                self.tensor("b", &[spec.out_channels], tfl::TensorType::INT32, Some(data), Some((scales, zeros, 0)))
            }
        };
        let out = spec.output_size(size);
        let linear = spec.activation == Activation::Linear;
        let end = self.activation("map", &[1, out[0], out[1], spec.out_channels], linear);
        let fused = match (linear, self.numbers) {
            (false, Numbers::Float | Numbers::Half | Numbers::SignedBytes) => tfl::ActivationFunctionType::RELU6,
            _ => tfl::ActivationFunctionType::NONE,
        };
        let stride = spec.stride as i32;
        let options = if spec.kind == ConvKind::Depthwise {
            let args = tfl::DepthwiseConv2DOptionsArgs {
                padding: tfl::Padding::SAME,
                stride_w: stride,
                stride_h: stride,
                depth_multiplier: 1,
                fused_activation_function: fused,
                ..Default::default()
            };
            let options = tfl::DepthwiseConv2DOptions::create(&mut self.fbb, &args);
            (tfl::BuiltinOptions::DepthwiseConv2DOptions, options.as_union_value())
        } else {
            let args = tfl::Conv2DOptionsArgs {
                padding: tfl::Padding::SAME,
                stride_w: stride,
                stride_h: stride,
                fused_activation_function: fused,
                ..Default::default()
            };
            (tfl::BuiltinOptions::Conv2DOptions, tfl::Conv2DOptions::create(&mut self.fbb, &args).as_union_value())
        };
        let code = match spec.kind {
            ConvKind::Depthwise => tfl::BuiltinOperator::DEPTHWISE_CONV_2D,
            _ => tfl::BuiltinOperator::CONV_2D,
        };
        self.operator(code, &[input, weight, bias], &[end], Some(options), None);
        (end, out)
    }

    fn reshaped(&mut self, input: i32, dims: [usize; 3]) -> i32 {
        let data = dims.iter().flat_map(|&d| (d as i32).to_le_bytes()).collect();
        let shape = self.tensor("shape", &[3], tfl::TensorType::INT32, Some(data), None);
        let end = self.activation("flat", &dims, true);
        self.operator(tfl::BuiltinOperator::RESHAPE, &[input, shape], &[end], None, None);
        end
    }

    fn joined(&mut self, parts: &[(i32, usize)], rows: usize, columns: usize) -> i32 {
        assert_eq!(parts.iter().map(|(_, n)| n).sum::<usize>(), rows);
        let parts: Vec<i32> = parts.iter().map(|(part, _)| *part).collect();
        let end = self.activation("joined", &[1, rows, columns], true);
        self.operator(tfl::BuiltinOperator::CONCATENATION, &parts, &[end], None, None);
        end
    }

    fn finish(mut self, image: i32, outputs: &[i32]) -> Vec<u8> {
        let fbb = &mut self.fbb;
        let codes: Vec<_> = self
            .codes
            .iter()
            .map(|(code, custom)| {
                let custom_code = custom.map(|c| fbb.create_string(c));
                // Programs before 2021 know the code of one byte alone.
                let args = tfl::OperatorCodeArgs {
                    deprecated_builtin_code: code.0.min(127) as i8,
                    custom_code,
                    version: 1,
                    builtin_code: *code,
                };
                tfl::OperatorCode::create(fbb, &args)
            })
            .collect();
        let buffers: Vec<_> = self
            .buffers
            .iter()
            .map(|data| {
                let data = Some(fbb.create_vector(data));
                tfl::Buffer::create(fbb, &tfl::BufferArgs { data })
            })
            .collect();
        let (tensors, operators) = (fbb.create_vector(&self.tensors), fbb.create_vector(&self.operators));
        let (inputs, outputs) = (fbb.create_vector(&[image]), fbb.create_vector(outputs));
        let args = tfl::SubGraphArgs {
            tensors: Some(tensors),
            inputs: Some(inputs),
            outputs: Some(outputs),
            operators: Some(operators),
            name: None,
        };
        let subgraph = tfl::SubGraph::create(fbb, &args);
        let (subgraphs, codes, buffers) =
            (fbb.create_vector(&[subgraph]), fbb.create_vector(&codes), fbb.create_vector(&buffers));
        let args = tfl::ModelArgs {
            version: 3,
            operator_codes: Some(codes),
            subgraphs: Some(subgraphs),
            buffers: Some(buffers),
            ..Default::default()
        };
        let model = tfl::Model::create(fbb, &args);
        tfl::finish_model_buffer(fbb, model);
        fbb.finished_data().to_vec()
    }
}
