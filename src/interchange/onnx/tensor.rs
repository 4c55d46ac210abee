//! `TensorProto` to [`ConstantArray`] and back: every number type that weights come in, inline or in a file beside.
//!
//! Nothing is allocated or read before dimensions and byte counts agree.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::prelude::f16;

use crate::interchange::InterchangeError;
use crate::interchange::graph::array::{ConstantArray, product};

const DAMAGED: &str = "the file is damaged; download or export it again";

/// The tensor's values as `f32`; `None` for types that no weight has (strings, complex, 4-bit).
///
/// # Errors
/// If the dimensions disagree with the data, or external data is missing.
pub fn array(path: &Path, name: &str, tensor: TensorProto) -> Result<Option<ConstantArray>, InterchangeError> {
    let wrong = |found: String, expected: String| InterchangeError::tensor(path, name, found, expected, DAMAGED);
    let mut dims = Vec::with_capacity(tensor.dims.len());
    for &d in &tensor.dims {
        dims.push(usize::try_from(d).map_err(|_| wrong(format!("dimension {d}"), "0 or more".into()))?);
    }
    let count =
        product(&dims).ok_or_else(|| wrong(format!("dimensions {dims:?}"), "a size that fits memory".into()))?;
    let Some(kind) = TensorNumber::of(tensor.data_type) else { return Ok(None) };
    let data = if tensor.data_location == Some(DataLocation::External as i32) {
        let bytes = count
            .checked_mul(kind.bytes())
            .ok_or_else(|| wrong(format!("dimensions {dims:?}"), "a size that fits memory".into()))?;
        kind.decode(&external(path, name, &tensor, bytes as u64)?)
    } else if !tensor.raw_data.is_empty() {
        if count.checked_mul(kind.bytes()) != Some(tensor.raw_data.len()) {
            let expected = format!("{count} values of {} bytes for dimensions {dims:?}", kind.bytes());
            return Err(wrong(format!("{} bytes", tensor.raw_data.len()), expected));
        }
        kind.decode(&tensor.raw_data)
    } else {
        kind.typed(tensor)
    };
    let found = format!("{} values", data.len());
    ConstantArray::new(dims.clone(), data)
        .map(Some)
        .ok_or_else(|| wrong(found, format!("{count} values for dimensions {dims:?}")))
}

/// A float tensor as exporters write it: raw little-endian bytes.
pub fn floats(name: &str, dims: &[usize], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// A one-dimensional integer tensor, for shapes.
pub fn integers(name: &str, data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![data.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TensorNumber {
    F32,
    F64,
    F16,
    Bf16,
    I8,
    U8,
    Bool,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl TensorNumber {
    fn of(data_type: i32) -> Option<Self> {
        Some(match DataType::try_from(data_type).ok()? {
            DataType::Float => Self::F32,
            DataType::Double => Self::F64,
            DataType::Float16 => Self::F16,
            DataType::Bfloat16 => Self::Bf16,
            DataType::Int8 => Self::I8,
            DataType::Uint8 => Self::U8,
            DataType::Bool => Self::Bool,
            DataType::Int16 => Self::I16,
            DataType::Uint16 => Self::U16,
            DataType::Int32 => Self::I32,
            DataType::Uint32 => Self::U32,
            DataType::Int64 => Self::I64,
            DataType::Uint64 => Self::U64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => numbers(bytes, f32::from_le_bytes),
            Self::F64 => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F16 => numbers(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => numbers(bytes, |b| bf16(u16::from_le_bytes(b))),
            Self::I8 => numbers(bytes, |b| f32::from(i8::from_le_bytes(b))),
            Self::U8 | Self::Bool => numbers(bytes, |[b]| f32::from(b)),
            Self::I16 => numbers(bytes, |b| f32::from(i16::from_le_bytes(b))),
            Self::U16 => numbers(bytes, |b| f32::from(u16::from_le_bytes(b))),
            Self::I32 => numbers(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::U32 => numbers(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::I64 => numbers(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::U64 => numbers(bytes, |b| u64::from_le_bytes(b) as f32),
        }
    }

    /// The values of the field that ONNX assigns to this type where there are no raw bytes.
    fn typed(self, tensor: TensorProto) -> Vec<f32> {
        match self {
            Self::F32 => tensor.float_data,
            Self::F64 => tensor.double_data.into_iter().map(|v| v as f32).collect(),
            Self::I64 => tensor.int64_data.into_iter().map(|v| v as f32).collect(),
            Self::U32 | Self::U64 => tensor.uint64_data.into_iter().map(|v| v as f32).collect(),
            // Half floats stand in the low 16 bits of an integer.
            Self::F16 => tensor.int32_data.into_iter().map(|v| f16::from_bits(v as u16).to_f32()).collect(),
            Self::Bf16 => tensor.int32_data.into_iter().map(|v| bf16(v as u16)).collect(),
            Self::I8 | Self::U8 | Self::Bool | Self::I16 | Self::U16 | Self::I32 => {
                tensor.int32_data.into_iter().map(|v| v as f32).collect()
            }
        }
    }
}

fn numbers<const B: usize>(bytes: &[u8], number: impl Fn([u8; B]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<B>();
    chunks.iter().map(|&b| number(b)).collect()
}

fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bytes of a tensor kept in a file beside the model.
fn external(path: &Path, name: &str, tensor: &TensorProto, bytes: u64) -> Result<Vec<u8>, InterchangeError> {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let wrong = |found: String, expected: String| {
        InterchangeError::tensor(path, name, found, expected, "keep the external data file beside the model, unchanged")
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| wrong(format!("{key} `{text}`"), "a number".into())),
    };
    let location = entry("location").ok_or_else(|| wrong("external data without a location".into(), "one".into()))?;
    let beside = beside(path, location)
        .ok_or_else(|| wrong(format!("external data in `{location}`"), "a file below the model's folder".into()))?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(bytes);
    if length != bytes {
        return Err(wrong(format!("{length} bytes of external data"), format!("{bytes} for {:?}", tensor.dims)));
    }
    let missing = |e: std::io::Error| wrong(format!("external data `{location}`: {e}"), format!("{bytes} bytes"));
    let mut file = File::open(&beside).map_err(missing)?;
    let size = file.metadata().map_err(missing)?.len();
    if offset.checked_add(bytes).is_none_or(|end| end > size) {
        let found = format!("external data `{location}` of {size} bytes");
        return Err(wrong(found, format!("{bytes} bytes from {offset} on")));
    }
    let mut data = vec![0; bytes as usize];
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut data)).map_err(missing)?;
    Ok(data)
}

/// The data file's path, if it stays below the model's folder.
fn beside(model: &Path, location: &str) -> Option<PathBuf> {
    let relative = Path::new(location);
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    (inside && !location.is_empty()).then(|| model.parent().unwrap_or(Path::new("")).join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::StringStringEntryProto;

    fn read(tensor: TensorProto) -> Result<Option<ConstantArray>, String> {
        array(Path::new("m.onnx"), "w", tensor).map_err(|e| e.to_string())
    }

    #[test]
    fn floats_survive_the_round_trip_bit_for_bit() {
        let data = [1.5, -0.0, f32::MIN_POSITIVE, 3.4e38];
        let back = read(floats("w", &[2, 2], &data)).unwrap().unwrap();
        assert_eq!(back.dims, [2, 2]);
        assert!(back.data.iter().zip(&data).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(read(integers("s", &[0, -1, 4])).unwrap().unwrap().integers(), [0, -1, 4]);
    }

    #[test]
    fn typed_fields_and_small_types_decode() {
        let of = |data_type: DataType, int32_data: Vec<i32>, raw_data: Vec<u8>| {
            let tensor =
                TensorProto { data_type: data_type as i32, dims: vec![2], int32_data, raw_data, ..Default::default() };
            read(tensor).unwrap().unwrap().data
        };
        assert_eq!(of(DataType::Int8, vec![-3, 4], vec![]), [-3.0, 4.0]);
        assert_eq!(of(DataType::Int8, vec![], vec![0xfd, 4]), [-3.0, 4.0]);
        assert_eq!(of(DataType::Float16, vec![0x3c00, 0xc000], vec![]), [1.0, -2.0]);
        assert_eq!(of(DataType::Float16, vec![], vec![0, 0x3c, 0, 0xc0]), [1.0, -2.0]);
        assert_eq!(of(DataType::Bfloat16, vec![], vec![0x80, 0x3f, 0, 0xc0]), [1.0, -2.0]);
    }

    #[test]
    fn lengths_are_never_trusted() {
        let mut short = floats("w", &[2, 2], &[1.0; 3]);
        assert!(read(short.clone()).unwrap_err().contains("found 12 bytes, expected 4 values"));
        short.dims = vec![i64::MAX, i64::MAX];
        assert!(read(short.clone()).unwrap_err().contains("fits memory"));
        short.dims = vec![-4];
        assert!(read(short.clone()).unwrap_err().contains("dimension -4"));
        short.dims = vec![0, i64::MAX, i64::MAX];
        assert!(read(short.clone()).is_err());
        short.raw_data.clear();
        short.dims = vec![3];
        assert!(read(short).unwrap_err().contains("found 0 values, expected 3"));
    }

    #[test]
    fn external_data_is_read_or_reported() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("m.onnx");
        std::fs::write(dir.path().join("w.bin"), [9, 9, 9, 9, 0, 0, 128, 63]).unwrap();
        let tensor = |location: &str, offset: &str, count: i64| TensorProto {
            data_type: DataType::Float as i32,
            dims: vec![count],
            data_location: Some(DataLocation::External as i32),
            external_data: [("location", location), ("offset", offset)]
                .map(|(k, v)| StringStringEntryProto { key: k.into(), value: v.into() })
                .to_vec(),
            ..Default::default()
        };
        assert_eq!(array(&model, "w", tensor("w.bin", "4", 1)).unwrap().unwrap().data, [1.0]);
        for (bad, said) in [
            (tensor("gone.bin", "0", 1), "gone.bin"),
            (tensor("w.bin", "4", 2), "8 bytes from 4 on"),
            (tensor("w.bin", "18446744073709551615", 1), "4 bytes from"),
            (tensor("w.bin", "x", 1), "offset `x`"),
            (tensor("../w.bin", "0", 1), "below the model's folder"),
            (tensor("w.bin", "0", i64::MAX), "fits memory"),
        ] {
            let error = array(&model, "w", bad).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("help:"), "{error}");
        }
    }
}
