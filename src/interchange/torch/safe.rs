//! `.safetensors`: a table of tensors in JSON, then their bytes.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use tract_onnx::prelude::f16;

use super::state_dict::{MOST_NUMBERS, StateDict};
use crate::interchange::InterchangeError;
use crate::interchange::graph::array::ConstantArray;

/// True if the bytes begin as such a file does: the length of its table, then the table.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    let Some(length) = bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else { return false };
    length >= 2 && length <= bytes.len() as u64 - 8 && bytes.get(8) == Some(&b'{')
}

/// # Errors
/// If the file is damaged.
pub fn read(path: &Path, bytes: &[u8]) -> Result<StateDict, InterchangeError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| InterchangeError::Format {
        path: path.into(),
        found: format!("a safetensors file that is damaged ({error:?})"),
        expected: "a whole one".into(),
        help: "download the file or save it again",
    })?;
    let (mut dict, mut numbers) = (StateDict::default(), 0usize);
    for (name, view) in file.iter() {
        let Some(data) = floats(view.dtype(), view.data()) else { continue };
        numbers = numbers.saturating_add(data.len());
        let dims = view.shape().to_vec();
        let sound = ConstantArray::new(dims.clone(), data).filter(|_| numbers <= MOST_NUMBERS);
        let array = sound.ok_or_else(|| {
            let expected = "values for its dimensions, and not too many";
            let help = "download the file or save it again";
            InterchangeError::tensor(path, name, format!("dimensions {dims:?}"), expected, help)
        })?;
        dict.tensors.insert(name.to_owned(), array);
    }
    Ok(dict)
}

/// The numbers of a tensor of floats.
fn floats(kind: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match kind {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => {
            bytes.as_chunks().0.iter().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)).collect()
        }
        _ => return None,
    })
}
