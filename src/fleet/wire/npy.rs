//! Arrays as the bytes of NumPy's `.npy` files, version 1.0, as `numpy.save` writes them.

use super::super::array::{ArrayData, FleetArray};
use half::f16;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Data begins at a multiple of this.
const ALIGNED: usize = 64;

/// Room that NumPy leaves for the longest side to grow.
const GROWTH_DIGITS: usize = 21;

/// Longest header that is read: eight sides of twenty digits have room in it.
const LONGEST_HEADER: usize = 1024;

/// Kinds of numbers that are read; of f64 the nearest f32 is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NpyKind {
    F16,
    F32,
    F64,
    I8,
}

impl NpyKind {
    /// Of NumPy's name, such as "float32".
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "float16" => Some(Self::F16),
            "float32" => Some(Self::F32),
            "float64" => Some(Self::F64),
            "int8" => Some(Self::I8),
            _ => None,
        }
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn descr(self) -> &'static str {
        match self {
            Self::I8 => "|i1",
            Self::F16 => "<f2",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }
}

/// NumPy's name of an array's numbers, and how its file describes them.
pub fn kind_of(data: &ArrayData) -> (&'static str, NpyKind) {
    match data {
        ArrayData::F32(_) => ("float32", NpyKind::F32),
        ArrayData::F16(_) => ("float16", NpyKind::F16),
        ArrayData::I8(_) => ("int8", NpyKind::I8),
    }
}

/// The bytes of an array's file.
pub fn write(array: &FleetArray) -> Vec<u8> {
    let (_, kind) = kind_of(&array.data);
    let sides: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let shape = match &sides[..] {
        [side] => format!("({side},)"),
        _ => format!("({})", sides.join(", ")),
    };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", kind.descr());
    header.extend(std::iter::repeat_n(' ', sides.first().map_or(0, |side| GROWTH_DIGITS - side.len())));
    let length = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', length.next_multiple_of(ALIGNED) - length));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    let announced = u16::try_from(header.len()).expect("a few sides' digits");
    bytes.extend(announced.to_le_bytes());
    bytes.extend(header.as_bytes());
    match &array.data {
        ArrayData::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        ArrayData::F16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        ArrayData::I8(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
    bytes
}

/// The array of a file's bytes, which must be of this kind and shape.
///
/// # Errors
/// A phrase that says how the bytes are wrong.
pub fn read(bytes: &[u8], kind: NpyKind, shape: &[usize]) -> Result<FleetArray, String> {
    let header = bytes.strip_prefix(MAGIC).ok_or("no .npy file of version 1.0")?;
    let (length, rest) = header.split_at_checked(2).ok_or("a .npy file that is cut off")?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    if length > LONGEST_HEADER {
        return Err(format!("a .npy header of {length} bytes"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or("a .npy file that is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_| "a .npy header that is no text")?;
    // Spaces carry no meaning in it.
    let header: String = header.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let sides: String = shape.iter().map(|side| format!("{side},")).collect();
    let sides = if shape.len() == 1 { sides } else { sides.trim_end_matches(',').into() };
    let told = |descr: &str| format!("{{'descr':'{descr}','fortran_order':False,'shape':({sides}),}}");
    if header != told(kind.descr()) {
        return Err(format!("the .npy header {header:.100}, beside a shape of ({sides}) and numbers {}", kind.descr()));
    }
    let numbers = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    if numbers.and_then(|n| n.checked_mul(kind.size())) != Some(data.len()) {
        return Err(format!("{} bytes of numbers for a shape of ({sides})", data.len()));
    }
    let data = match kind {
        NpyKind::I8 => ArrayData::I8(data.iter().map(|b| i8::from_le_bytes([*b])).collect()),
        NpyKind::F16 => ArrayData::F16(data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)).collect()),
        NpyKind::F32 => ArrayData::F32(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        NpyKind::F64 => ArrayData::F32(data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()),
    };
    Ok(FleetArray { shape: shape.to_vec(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_and_what_does_not_fit_is_refused() {
        let arrays = [
            FleetArray::floats(&[2, 3], vec![1.0, -2.0, 3.0, 0.0, 5.5, -0.0]),
            FleetArray::floats(&[], vec![7.0]),
            FleetArray { shape: vec![2], data: ArrayData::F16(vec![f16::ONE, f16::NEG_ONE]) },
            FleetArray { shape: vec![2, 1], data: ArrayData::I8(vec![-128, 127]) },
            FleetArray { shape: vec![0], data: ArrayData::I8(Vec::new()) },
        ];
        for array in &arrays {
            let (_, kind) = kind_of(&array.data);
            let bytes = write(array);
            assert_eq!(&read(&bytes, kind, &array.shape).unwrap(), array);
            assert_eq!((bytes.len() - array.data.byte_len()) % ALIGNED, 0);
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end], kind, &array.shape).is_err(), "cut off at {end}");
            }
            assert!(read(&bytes, NpyKind::F64, &array.shape).is_err());
            assert!(read(&bytes, kind, &[usize::MAX, 3]).is_err());
        }
    }
}
