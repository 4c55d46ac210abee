//! A TFLite model under construction, and its bytes: `Model` of TensorFlow Lite's schema, version 3, one subgraph.

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use tract_tflite::tflite as schema;
use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, BuiltinOptions, Padding, TensorType};

/// How stored whole numbers become real ones: `scale[c] · (q - zero[c])`, c along `axis`, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredScale {
    pub scales: Vec<f32>,
    pub zeros: Vec<i64>,
    pub axis: i32,
}

impl StoredScale {
    /// One scale for the whole tensor.
    pub fn whole(scale: f32, zero: i64) -> Self {
        Self { scales: vec![scale], zeros: vec![zero], axis: 0 }
    }
}

struct Tensor {
    name: String,
    shape: Vec<i32>,
    kind: TensorType,
    quantised: Option<StoredScale>,
    /// The number of the buffer; 0 is the empty one.
    buffer: u32,
}

/// An operator with its options.
#[derive(Clone, Debug)]
pub enum Operator {
    Conv {
        stride: i32,
        padding: Padding,
        relu6: bool,
    },
    Depthwise {
        stride: i32,
        padding: Padding,
        relu6: bool,
    },
    Add,
    Pad,
    Reshape(Vec<i32>),
    /// Along the given axis.
    Concatenation(i32),
    Softmax,
    Logistic,
    Quantize,
    Dequantize,
    /// `TFLite_Detection_PostProcess` with its options as a flexbuffer.
    PostProcess(Vec<u8>),
}

struct DraftNode {
    operator: Operator,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
    version: i32,
}

#[derive(Default)]
pub struct TfliteDraft {
    tensors: Vec<Tensor>,
    /// Without the empty buffer 0 that every model begins with.
    buffers: Vec<Vec<u8>>,
    nodes: Vec<DraftNode>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

/// Bytes that stored tensors are aligned to, counted from the file's start.
const ALIGNMENT: usize = 16;

impl TfliteDraft {
    /// A value that an operator computes, or an input.
    pub fn value(&mut self, name: &str, shape: &[usize], kind: TensorType, quantised: Option<StoredScale>) -> i32 {
        self.tensor(name, shape, kind, quantised, 0)
    }

    /// A stored tensor.
    pub fn stored(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: TensorType,
        quantised: Option<StoredScale>,
        bytes: Vec<u8>,
    ) -> i32 {
        self.buffers.push(bytes);
        let buffer = self.buffers.len() as u32;
        self.tensor(name, shape, kind, quantised, buffer)
    }

    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> i32 {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.stored(name, shape, TensorType::FLOAT32, None, bytes)
    }

    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i32]) -> i32 {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.stored(name, shape, TensorType::INT32, None, bytes)
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: TensorType, q: Option<StoredScale>, buffer: u32) -> i32 {
        let shape = shape.iter().map(|&d| d as i32).collect();
        self.tensors.push(Tensor { name: name.into(), shape, kind, quantised: q, buffer });
        self.tensors.len() as i32 - 1
    }

    /// Adds an operator; its version is the first that knows the types of its first input and output.
    pub fn node(&mut self, operator: Operator, inputs: &[i32], outputs: &[i32]) {
        let kind = |list: &[i32]| list.first().map(|&t| self.tensors[t as usize].kind);
        let int8 = kind(inputs) == Some(TensorType::INT8);
        let version = match operator {
            Operator::Conv { .. } | Operator::Depthwise { .. } if int8 => 3,
            Operator::Dequantize if kind(inputs) == Some(TensorType::FLOAT16) => 3,
            Operator::Add | Operator::Pad | Operator::Concatenation(_) | Operator::Dequantize if int8 => 2,
            Operator::Softmax | Operator::Logistic if int8 => 2,
            _ => 1,
        };
        self.nodes.push(DraftNode { operator, inputs: inputs.into(), outputs: outputs.into(), version });
    }

    /// The file. `extra` are named buffers that say what the model is, metadata in the schema's words.
    pub fn encode(&self, description: &str, extra: &[(&str, Vec<u8>)]) -> Vec<u8> {
        // A flatbuffer grows from its end: the distances from the end are right at once, those from the start only if
        // the length is a multiple of the alignment, which is known afterwards.
        let trial = self.encode_with(description, extra, 0);
        let filler = (ALIGNMENT - trial.len() % ALIGNMENT) % ALIGNMENT;
        if filler == 0 { trial } else { self.encode_with(description, extra, filler) }
    }

    fn encode_with(&self, description: &str, extra: &[(&str, Vec<u8>)], filler: usize) -> Vec<u8> {
        let mut out = FlatBufferBuilder::new();
        let stored = self.buffers.iter().chain(extra.iter().map(|(_, bytes)| bytes)).map(Vec::as_slice);
        let buffers: Vec<_> = [&[][..]].into_iter().chain(stored).map(|bytes| buffer(&mut out, bytes)).collect();
        let named = extra.iter().zip(1 + self.buffers.len() as u32..);
        let metadata: Vec<_> = named
            .map(|((name, _), buffer)| {
                let name = Some(out.create_string(name));
                schema::Metadata::create(&mut out, &schema::MetadataArgs { name, buffer })
            })
            .collect();
        let tensors: Vec<_> = self.tensors.iter().map(|t| tensor(&mut out, t)).collect();
        let (mut codes, mut operators) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            let code = (node.operator.code(), node.version);
            let index = codes.iter().position(|c| *c == code).unwrap_or_else(|| {
                codes.push(code);
                codes.len() - 1
            });
            operators.push(node.write(&mut out, index as u32));
        }
        let codes: Vec<_> = codes.into_iter().map(|(code, version)| operator_code(&mut out, code, version)).collect();
        let args = schema::SubGraphArgs {
            tensors: Some(out.create_vector(&tensors)),
            inputs: Some(out.create_vector(&self.inputs)),
            outputs: Some(out.create_vector(&self.outputs)),
            operators: Some(out.create_vector(&operators)),
            name: Some(out.create_string("main")),
        };
        let subgraph = schema::SubGraph::create(&mut out, &args);
        for _ in 0..filler {
            out.push(0u8);
        }
        let args = schema::ModelArgs {
            version: 3,
            operator_codes: Some(out.create_vector(&codes)),
            subgraphs: Some(out.create_vector(&[subgraph])),
            description: Some(out.create_string(description)),
            buffers: Some(out.create_vector(&buffers)),
            metadata: Some(out.create_vector(&metadata)),
            ..Default::default()
        };
        let model = schema::Model::create(&mut out, &args);
        schema::finish_model_buffer(&mut out, model);
        out.finished_data().to_vec()
    }
}

type Offset<T> = WIPOffset<T>;

fn buffer<'a>(out: &mut FlatBufferBuilder<'a>, bytes: &[u8]) -> Offset<schema::Buffer<'a>> {
    if bytes.is_empty() {
        return schema::Buffer::create(out, &schema::BufferArgs { data: None });
    }
    while !(out.unfinished_data().len() + bytes.len()).is_multiple_of(ALIGNMENT) {
        out.push(0u8);
    }
    let data = Some(out.create_vector(bytes));
    schema::Buffer::create(out, &schema::BufferArgs { data })
}

fn tensor<'a>(out: &mut FlatBufferBuilder<'a>, tensor: &Tensor) -> Offset<schema::Tensor<'a>> {
    let quantization = tensor.quantised.as_ref().map(|q| {
        let args = schema::QuantizationParametersArgs {
            scale: Some(out.create_vector(&q.scales)),
            zero_point: Some(out.create_vector(&q.zeros)),
            quantized_dimension: q.axis,
            ..Default::default()
        };
        schema::QuantizationParameters::create(out, &args)
    });
    let args = schema::TensorArgs {
        shape: Some(out.create_vector(&tensor.shape)),
        type_: tensor.kind,
        buffer: tensor.buffer,
        name: Some(out.create_string(&tensor.name)),
        quantization,
        ..Default::default()
    };
    schema::Tensor::create(out, &args)
}

fn operator_code<'a>(
    out: &mut FlatBufferBuilder<'a>,
    code: BuiltinOperator,
    version: i32,
) -> Offset<schema::OperatorCode<'a>> {
    let custom = (code == BuiltinOperator::CUSTOM).then(|| out.create_string(POST_PROCESS));
    // Runtimes of before 2020 read this field; it has one byte.
    let deprecated_builtin_code = code.0.min(127) as i8;
    let args = schema::OperatorCodeArgs { deprecated_builtin_code, custom_code: custom, version, builtin_code: code };
    schema::OperatorCode::create(out, &args)
}

pub const POST_PROCESS: &str = "TFLite_Detection_PostProcess";

impl Operator {
    fn code(&self) -> BuiltinOperator {
        match self {
            Operator::Conv { .. } => BuiltinOperator::CONV_2D,
            Operator::Depthwise { .. } => BuiltinOperator::DEPTHWISE_CONV_2D,
            Operator::Add => BuiltinOperator::ADD,
            Operator::Pad => BuiltinOperator::PAD,
            Operator::Reshape(_) => BuiltinOperator::RESHAPE,
            Operator::Concatenation(_) => BuiltinOperator::CONCATENATION,
            Operator::Softmax => BuiltinOperator::SOFTMAX,
            Operator::Logistic => BuiltinOperator::LOGISTIC,
            Operator::Quantize => BuiltinOperator::QUANTIZE,
            Operator::Dequantize => BuiltinOperator::DEQUANTIZE,
            Operator::PostProcess(_) => BuiltinOperator::CUSTOM,
        }
    }

    fn options(&self, out: &mut FlatBufferBuilder) -> (BuiltinOptions, Option<Offset<UnionWIPOffset>>) {
        let fused = |relu6| if relu6 { ActivationFunctionType::RELU6 } else { ActivationFunctionType::NONE };
        match *self {
            Operator::Conv { stride, padding, relu6 } => {
                let args = schema::Conv2DOptionsArgs {
                    padding,
                    stride_w: stride,
                    stride_h: stride,
                    fused_activation_function: fused(relu6),
                    ..Default::default()
                };
                let options = schema::Conv2DOptions::create(out, &args);
                (BuiltinOptions::Conv2DOptions, Some(options.as_union_value()))
            }
            Operator::Depthwise { stride, padding, relu6 } => {
                let args = schema::DepthwiseConv2DOptionsArgs {
                    padding,
                    stride_w: stride,
                    stride_h: stride,
                    depth_multiplier: 1,
                    fused_activation_function: fused(relu6),
                    ..Default::default()
                };
                let options = schema::DepthwiseConv2DOptions::create(out, &args);
                (BuiltinOptions::DepthwiseConv2DOptions, Some(options.as_union_value()))
            }
            Operator::Add => {
                let options = schema::AddOptions::create(out, &Default::default());
                (BuiltinOptions::AddOptions, Some(options.as_union_value()))
            }
            Operator::Pad => {
                let options = schema::PadOptions::create(out, &Default::default());
                (BuiltinOptions::PadOptions, Some(options.as_union_value()))
            }
            Operator::Reshape(ref shape) => {
                let new_shape = Some(out.create_vector(shape));
                let options = schema::ReshapeOptions::create(out, &schema::ReshapeOptionsArgs { new_shape });
                (BuiltinOptions::ReshapeOptions, Some(options.as_union_value()))
            }
            Operator::Concatenation(axis) => {
                let args = schema::ConcatenationOptionsArgs { axis, ..Default::default() };
                let options = schema::ConcatenationOptions::create(out, &args);
                (BuiltinOptions::ConcatenationOptions, Some(options.as_union_value()))
            }
            Operator::Softmax => {
                let options = schema::SoftmaxOptions::create(out, &schema::SoftmaxOptionsArgs { beta: 1.0 });
                (BuiltinOptions::SoftmaxOptions, Some(options.as_union_value()))
            }
            Operator::Logistic | Operator::Quantize | Operator::Dequantize | Operator::PostProcess(_) => {
                (BuiltinOptions::NONE, None)
            }
        }
    }
}

impl DraftNode {
    fn write<'a>(&self, out: &mut FlatBufferBuilder<'a>, opcode_index: u32) -> Offset<schema::Operator<'a>> {
        let (builtin_options_type, builtin_options) = self.operator.options(out);
        let custom_options = match &self.operator {
            Operator::PostProcess(options) => Some(out.create_vector(options)),
            _ => None,
        };
        let args = schema::OperatorArgs {
            opcode_index,
            inputs: Some(out.create_vector(&self.inputs)),
            outputs: Some(out.create_vector(&self.outputs)),
            builtin_options_type,
            builtin_options,
            custom_options,
            ..Default::default()
        };
        schema::Operator::create(out, &args)
    }
}
