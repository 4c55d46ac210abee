//! The tensors of a TFLite file: shapes, scales, and the numbers of those that are stored.

use std::path::{Path, PathBuf};

use half::f16;
use tract_tflite::tflite::{Model, SubGraph, Tensor, TensorType};

use super::elementwise::TensorScale;
use crate::interchange::InterchangeError;

/// A tensor has no more numbers than this: 640 x 640 x 96 and some room.
const MOST: usize = 1 << 26;

pub struct ProgramTensors<'a> {
    path: PathBuf,
    model: Model<'a>,
    all: Vec<Tensor<'a>>,
}

/// A network is run only if it is understood whole.
const HELP: &str = "only networks that Fieldtune wrote as TFLite are run; convert another to ONNX";

impl<'a> ProgramTensors<'a> {
    pub fn of(path: &Path, model: Model<'a>, graph: &SubGraph<'a>) -> Self {
        let all = graph.tensors().map_or(vec![], |tensors| tensors.iter().collect());
        Self { path: path.into(), model, all }
    }

    pub fn refused(&self, place: &str, found: impl Into<String>, expected: impl Into<String>) -> InterchangeError {
        InterchangeError::node(&self.path, place, found, expected, HELP)
    }

    fn get(&self, index: usize) -> Result<Tensor<'a>, InterchangeError> {
        let found = self.all.get(index).copied();
        found.ok_or_else(|| self.refused("graph", format!("tensor {index}"), format!("one of {}", self.all.len())))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn name(&self, index: usize) -> &'a str {
        self.all.get(index).and_then(|t| t.name()).unwrap_or("a tensor without a name")
    }

    pub fn kind(&self, index: usize) -> Result<TensorType, InterchangeError> {
        Ok(self.get(index)?.type_())
    }

    /// Dimensions, all of 1 and more.
    pub fn shape(&self, index: usize) -> Result<Vec<usize>, InterchangeError> {
        let dims: Vec<i32> = self.get(index)?.shape().map_or(vec![], |s| s.iter().collect());
        let shape: Vec<usize> = dims.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
        let count = shape.iter().try_fold(1usize, |all, &d| all.checked_mul(d));
        match count {
            Some(1..=MOST) => Ok(shape),
            _ => Err(self.refused(self.name(index), format!("dimensions {dims:?}"), "some, of bounded size")),
        }
    }

    /// Height, width and channels of a map of one image.
    pub fn map(&self, index: usize) -> Result<[usize; 3], InterchangeError> {
        match self.shape(index)?[..] {
            [1, h, w, c] => Ok([h, w, c]),
            ref other => {
                Err(self.refused(self.name(index), format!("dimensions {other:?}"), "1, height, width, channels"))
            }
        }
    }

    pub fn count(&self, index: usize) -> Result<usize, InterchangeError> {
        Ok(self.shape(index)?.iter().product())
    }

    /// The one scale of an activation.
    pub fn scale(&self, index: usize) -> Result<TensorScale, InterchangeError> {
        let q = self.get(index)?.quantization();
        let scale = q.and_then(|q| q.scale()).filter(|s| s.len() == 1).map(|s| s.get(0));
        let zero = q.and_then(|q| q.zero_point()).filter(|z| z.len() == 1).map(|z| z.get(0));
        match (scale, zero) {
            (Some(scale), Some(zero)) if scale.is_finite() && scale > 1e-20 && (-128..=255).contains(&zero) => {
                Ok(TensorScale { scale, zero: zero as i32 })
            }
            _ => Err(self.refused(self.name(index), "no scale and zero point", "one of each")),
        }
    }

    /// The scales of a weight along its output channels.
    pub fn scales(&self, index: usize, channels: usize) -> Result<Vec<f32>, InterchangeError> {
        let q = self.get(index)?.quantization();
        let scales: Vec<f32> = q.and_then(|q| q.scale()).map_or(vec![], |s| s.iter().collect());
        if scales.len() == channels && scales.iter().all(|s| s.is_finite() && *s >= 0.0) {
            return Ok(scales);
        }
        Err(self.refused(self.name(index), format!("{} scales", scales.len()), format!("{channels}, one a channel")))
    }

    /// The bytes of a stored tensor, `None` for one that is computed.
    fn bytes(&self, index: usize) -> Result<Option<&'a [u8]>, InterchangeError> {
        let buffer = self.get(index)?.buffer() as usize;
        let buffers = self.model.buffers();
        let found = buffers.filter(|b| buffer < b.len()).and_then(|b| b.get(buffer).data());
        Ok(found.map(|d| d.bytes()).filter(|d| !d.is_empty()))
    }

    fn stored(&self, index: usize, kind: TensorType, width: usize) -> Result<&'a [u8], InterchangeError> {
        let (found, count) = (self.kind(index)?, self.count(index)?);
        let bytes = self.bytes(index)?.unwrap_or_default();
        if found == kind && bytes.len() == count * width {
            return Ok(bytes);
        }
        let found = format!("{} bytes of {found:?}", bytes.len());
        Err(self.refused(self.name(index), found, format!("{count} stored numbers of {kind:?}")))
    }

    pub fn is_stored(&self, index: usize) -> bool {
        self.bytes(index).is_ok_and(|b| b.is_some())
    }

    pub fn floats(&self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let bytes = self.stored(index, TensorType::FLOAT32, 4)?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        if values.iter().all(|v| v.is_finite()) {
            return Ok(values);
        }
        Err(self.refused(self.name(index), "a number that is not finite", "finite numbers"))
    }

    pub fn halves(&self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let bytes = self.stored(index, TensorType::FLOAT16, 2)?;
        Ok(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect())
    }

    pub fn bytes_of(&self, index: usize) -> Result<Vec<i8>, InterchangeError> {
        Ok(self.stored(index, TensorType::INT8, 1)?.iter().map(|&b| b as i8).collect())
    }

    pub fn integers(&self, index: usize) -> Result<Vec<i32>, InterchangeError> {
        let bytes = self.stored(index, TensorType::INT32, 4)?;
        Ok(bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect())
    }
}
