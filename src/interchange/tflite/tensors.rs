//! Tensors of a model: their names, shapes, numbers and quantisation, each checked against its buffer.

use std::collections::HashMap;
use std::path::Path;

use tract_onnx::prelude::f16;
use tract_tflite::tflite::{Model, QuantizationParameters, Tensor, TensorType};

use crate::interchange::InterchangeError;
use crate::interchange::graph::array::{ConstantArray, product};

const DAMAGED: &str = "the file is damaged; download or convert it again";

/// How integers of a tensor become numbers: `scale·(q - zero)`, one pair or one for each slice of `axis`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantisation {
    pub scale: Vec<f32>,
    pub zero: Vec<f32>,
    pub axis: i64,
}

/// The tensors of the model's graph.
pub struct TfliteTensors<'a> {
    path: &'a Path,
    model: Model<'a>,
    all: Vec<Tensor<'a>>,
    names: Vec<String>,
}

impl<'a> TfliteTensors<'a> {
    pub fn of(path: &'a Path, model: Model<'a>) -> Self {
        let tensors = model.subgraphs().filter(|s| !s.is_empty()).and_then(|s| s.get(0).tensors());
        let all: Vec<Tensor> = tensors.map_or(vec![], |t| t.iter().collect());
        let mut count: HashMap<&str, usize> = HashMap::new();
        all.iter().for_each(|t| *count.entry(t.name().unwrap_or_default()).or_default() += 1);
        // A graph's values are told apart by their names.
        let name = |(i, t): (usize, &Tensor)| match t.name().unwrap_or_default() {
            name if !name.is_empty() && count[name] == 1 => name.to_owned(),
            name => format!("{name}#{i}"),
        };
        let names = all.iter().enumerate().map(name).collect();
        Self { path, model, all, names }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The name of tensor `index`; empty for one that is left out (-1) or is not there.
    pub fn name(&self, index: i32) -> &str {
        usize::try_from(index).ok().and_then(|i| self.names.get(i)).map_or("", String::as_str)
    }

    pub fn get(&self, index: i32) -> Option<Tensor<'a>> {
        self.all.get(usize::try_from(index).ok()?).copied()
    }

    pub fn type_of(&self, index: i32) -> Option<TensorType> {
        Some(self.get(index)?.type_())
    }

    /// The dimensions; `None` for one that is open.
    pub fn dims(&self, index: i32) -> Vec<Option<usize>> {
        let shape = self.get(index).and_then(|t| t.shape_signature().filter(|s| !s.is_empty()).or_else(|| t.shape()));
        shape.map_or(vec![], |s| s.iter().map(|d| usize::try_from(d).ok().filter(|&d| d > 0)).collect())
    }

    pub fn quantisation(&self, index: i32) -> Option<Quantisation> {
        quantisation(&self.get(index)?.quantization()?)
    }

    pub fn wrong(&self, index: i32, found: &str, expected: &str) -> InterchangeError {
        InterchangeError::tensor(self.path, self.name(index), found, expected, DAMAGED)
    }

    /// The numbers that the file holds for a tensor, as they are stored; `None` for one that is computed.
    ///
    /// # Errors
    /// If shape and buffer disagree, or the type is one that no weight has.
    pub fn stored(&self, index: i32) -> Result<Option<ConstantArray>, InterchangeError> {
        let Some(tensor) = self.get(index) else { return Ok(None) };
        let buffer = self.model.buffers().and_then(|all| {
            let at = usize::try_from(tensor.buffer()).ok().filter(|&at| at > 0 && at < all.len())?;
            all.get(at).data().filter(|data| !data.is_empty())
        });
        let Some(buffer) = buffer else { return Ok(None) };
        let wrong = |found: String, expected: String| self.wrong(index, &found, &expected);
        let dims: Option<Vec<usize>> =
            tensor.shape().map_or(Some(vec![]), |s| s.iter().map(|d| usize::try_from(d).ok()).collect());
        let sized = dims.and_then(|dims| Some((product(&dims)?, dims)));
        let (count, dims) = sized.ok_or_else(|| wrong("impossible dimensions".into(), "a size that fits".into()))?;
        let Some(width) = width(tensor.type_()) else { return Ok(None) };
        let bytes = buffer.bytes();
        if count.checked_mul(width) != Some(bytes.len()) {
            let expected = format!("{count} values of {width} bytes for dimensions {dims:?}");
            return Err(wrong(format!("{} bytes", bytes.len()), expected));
        }
        Ok(ConstantArray::new(dims, decode(tensor.type_(), bytes)))
    }
}

/// `None` where nothing is quantised or what is said makes no sense.
fn quantisation(parameters: &QuantizationParameters) -> Option<Quantisation> {
    let scale: Vec<f32> = parameters.scale()?.iter().collect();
    let zero: Vec<f32> = match parameters.zero_point() {
        Some(zero) if zero.len() == scale.len() => zero.iter().map(|z| z as f32).collect(),
        Some(zero) if !zero.is_empty() => return None,
        _ => vec![0.0; scale.len()],
    };
    let sound = !scale.is_empty() && scale.iter().all(|s| s.is_finite() && *s > 0.0);
    sound.then(|| Quantisation { scale, zero, axis: i64::from(parameters.quantized_dimension()) })
}

/// Least and greatest number of an integer type.
pub fn range(kind: TensorType) -> Option<[f32; 2]> {
    match kind {
        TensorType::UINT8 => Some([0.0, 255.0]),
        TensorType::INT8 => Some([-128.0, 127.0]),
        TensorType::INT16 => Some([-32768.0, 32767.0]),
        _ => None,
    }
}

fn width(kind: TensorType) -> Option<usize> {
    match kind {
        TensorType::UINT8 | TensorType::INT8 | TensorType::BOOL => Some(1),
        TensorType::FLOAT16 | TensorType::INT16 => Some(2),
        TensorType::FLOAT32 | TensorType::INT32 | TensorType::UINT32 => Some(4),
        TensorType::FLOAT64 | TensorType::INT64 => Some(8),
        _ => None,
    }
}

fn decode(kind: TensorType, bytes: &[u8]) -> Vec<f32> {
    match kind {
        TensorType::INT8 => numbers(bytes, |b| f32::from(i8::from_le_bytes(b))),
        TensorType::FLOAT16 => numbers(bytes, |b| f16::from_le_bytes(b).to_f32()),
        TensorType::INT16 => numbers(bytes, |b| f32::from(i16::from_le_bytes(b))),
        TensorType::FLOAT32 => numbers(bytes, f32::from_le_bytes),
        TensorType::INT32 => numbers(bytes, |b| i32::from_le_bytes(b) as f32),
        TensorType::UINT32 => numbers(bytes, |b| u32::from_le_bytes(b) as f32),
        TensorType::FLOAT64 => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
        TensorType::INT64 => numbers(bytes, |b| i64::from_le_bytes(b) as f32),
        _ => numbers(bytes, |[b]| f32::from(b)),
    }
}

fn numbers<const B: usize>(bytes: &[u8], number: impl Fn([u8; B]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<B>();
    chunks.iter().map(|&b| number(b)).collect()
}
