//! A node's answer to a round in few bytes: differences from the round's start, coarsely, with what was lost kept for the
//! next round (error feedback).
//!
//! | encoding | what travels of an array | bytes a number |
//! |---|---|---|
//! | `float32` | the array itself | 4 |
//! | `float16` | the difference | 2 |
//! | `int8` | whole numbers -127 to 127 and a scale per output channel | 1 |
//! | `int2` | codes 0 to 3 for -1.5, -0.5, 0.5 and 1.5 scales, and a scale per output channel | 1/4 |
//!
//! Arrays of one dimension (biases) are few numbers: in the last two they travel as `float16`.

mod budget;
mod quantise;
mod residual;

pub use budget::Budget;
pub use quantise::{QuantisedArray, levels};
pub use residual::Residual;

use super::array::{ArrayData, ArrayRecord, FleetArray};
use anyhow::{Result, bail};
use half::f16;

/// A way to write an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Float32,
    Float16,
    Int8,
    Int2,
}

/// The end of the name of an array's scales.
pub const SCALE: &str = ":scale";
/// The end of the name of an array of packed codes; its shape is told by its scales and the round's start.
pub const CODES: &str = ":codes";

impl Encoding {
    pub const ALL: [Self; 4] = [Self::Float32, Self::Float16, Self::Int8, Self::Int2];

    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
            Self::Int2 => "int2",
        }
    }

    /// # Errors
    /// If there is no such encoding.
    pub fn of_name(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|e| e.name() == name) {
            Some(encoding) => Ok(encoding),
            None => bail!("update = {name:?}, expected float32, float16, int8 or int2"),
        }
    }

    /// True where differences from the round's start travel, not the arrays.
    pub fn is_difference(self) -> bool {
        self != Self::Float32
    }

    /// Bytes of an array of this shape, without its name.
    pub fn byte_len(self, shape: &[usize]) -> usize {
        let count: usize = shape.iter().product();
        match self {
            Self::Float32 => 4 * count,
            Self::Float16 => 2 * count,
            _ if shape.len() < 2 => 2 * count,
            Self::Int8 => count + 4 * shape[0],
            Self::Int2 => count.div_ceil(4) + 4 * shape[0],
        }
    }

    /// Writes a difference, adds to `record`, and returns what the reader will make of it.
    ///
    /// # Panics
    /// For [`Encoding::Float32`], which has no differences, and if the shape does not fit the numbers.
    pub fn encode(self, name: &str, shape: &[usize], values: &[f32], record: &mut ArrayRecord) -> Vec<f32> {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let of = |shape: &[usize], data| FleetArray { shape: shape.to_vec(), data };
        let coarse = match self {
            Self::Float32 => panic!("float32 has no differences"),
            Self::Int8 if shape.len() > 1 => QuantisedArray::int8(values, shape[0]),
            Self::Int2 if shape.len() > 1 => QuantisedArray::int2(values, shape[0]),
            _ => {
                let half: Vec<f16> = values.iter().map(|&v| bounded(v)).collect();
                let read = half.iter().map(|h| h.to_f32()).collect();
                record.push((name.into(), of(shape, ArrayData::F16(half))));
                return read;
            }
        };
        let read = coarse.values();
        let scales = FleetArray::floats(&[coarse.scales.len()], coarse.scales.clone());
        match self {
            Self::Int2 => {
                let packed = coarse.packed();
                record.push((format!("{name}{CODES}"), of(&[packed.len()], ArrayData::I8(packed))));
            }
            _ => record.push((name.into(), of(shape, ArrayData::I8(coarse.codes)))),
        }
        record.push((format!("{name}{SCALE}"), scales));
        read
    }
}

/// In the range of 16 bits.
fn bounded(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// Bytes of all numbers of a record.
pub fn byte_len(record: &ArrayRecord) -> usize {
    record.iter().map(|(_, array)| array.data.byte_len()).sum()
}

/// Reads the difference of the array `name` of this shape; `None` if the record has none of it.
///
/// # Errors
/// If what the record has of it does not fit, or is not finite.
pub fn decode(record: &ArrayRecord, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
    let find = |end: &str| {
        record.iter().find(|(n, _)| n.strip_prefix(name).is_some_and(|rest| rest == end)).map(|(_, array)| array)
    };
    let count: usize = shape.iter().product();
    let scales = || -> Result<&[f32]> {
        match find(SCALE).map(|array| &array.data) {
            Some(ArrayData::F32(scales)) if scales.len() == shape[0] && scales.iter().all(|s| s.is_finite()) => {
                Ok(scales)
            }
            _ => bail!("array {name}: no usable scales, expected {} finite ones in {name}{SCALE}", shape[0]),
        }
    };
    let values = match (find(""), find(CODES)) {
        (Some(array), _) if array.shape != shape || array.data.len() != count => {
            bail!("array {name}: shape {:?}, expected {shape:?}", array.shape)
        }
        (Some(FleetArray { data: ArrayData::F32(values), .. }), _) => values.clone(),
        (Some(FleetArray { data: ArrayData::F16(values), .. }), _) => values.iter().map(|v| v.to_f32()).collect(),
        (Some(FleetArray { data: ArrayData::I8(codes), .. }), _) if !shape.is_empty() => {
            QuantisedArray { codes: codes.clone(), scales: scales()?.to_vec(), offset: 0.0 }.values()
        }
        (None, Some(FleetArray { data: ArrayData::I8(packed), .. }))
            if packed.len() == count.div_ceil(4) && !shape.is_empty() =>
        {
            QuantisedArray::unpacked(packed, count, scales()?.to_vec()).values()
        }
        (None, None) => return Ok(None),
        _ => bail!("array {name}: codes that do not fit shape {shape:?}"),
    };
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(Some(values)),
        false => bail!("array {name}: numbers that are not finite"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..count).map(|_| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1e-3).collect()
    }

    fn error(a: &[f32], b: &[f32]) -> f64 {
        let square = |v: f64| v * v;
        a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum::<f64>().sqrt()
    }

    #[test]
    fn what_is_read_is_what_the_writer_said_and_near() {
        let shape = [16, 8, 3, 3];
        let values = noise(16 * 72, 1);
        let size = error(&values, &vec![0.0; values.len()]);
        for (encoding, off) in [(Encoding::Float16, 1e-3), (Encoding::Int8, 1e-2), (Encoding::Int2, 0.4)] {
            let mut record = ArrayRecord::new();
            let said = encoding.encode("w", &shape, &values, &mut record);
            let bias = encoding.encode("b", &[16], &values[..16], &mut record);
            assert_eq!(decode(&record, "w", &shape).unwrap().unwrap(), said, "{encoding:?}");
            assert_eq!(decode(&record, "b", &[16]).unwrap().unwrap(), bias);
            assert!(error(&said, &values) < off * size, "{encoding:?}: {}", error(&said, &values) / size);
            assert_eq!(byte_len(&record), encoding.byte_len(&shape) + encoding.byte_len(&[16]));
            assert_eq!(decode(&record, "other", &shape).unwrap(), None);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shape = [4, 6];
        let mut record = ArrayRecord::new();
        Encoding::Int2.encode("w", &shape, &noise(24, 2), &mut record);
        assert!(decode(&record, "w", &[4, 7]).is_err(), "too few codes");
        assert!(decode(&record, "w", &[8, 3]).is_err(), "scales of another count");
        record.pop();
        assert!(decode(&record, "w", &shape).unwrap_err().to_string().contains("scales"));
        let bad = vec![("w".to_string(), FleetArray::floats(&shape, vec![f32::NAN; 24]))];
        assert!(decode(&bad, "w", &shape).unwrap_err().to_string().contains("finite"));
        assert!(Encoding::of_name("int4").is_err());
    }
}
