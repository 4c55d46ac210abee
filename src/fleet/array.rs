//! Arrays as they travel: named by ONNX initialiser, convolutions as OIHW.

use half::f16;

/// The numbers of an array, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    F32(Vec<f32>),
    F16(Vec<f16>),
    I8(Vec<i8>),
}

/// An array of any number of dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetArray {
    /// As many numbers as their product; an empty shape is a single number.
    pub shape: Vec<usize>,
    pub data: ArrayData,
}

/// Arrays by name, in order. The names are those of the ONNX initialisers that `best.onnx` has.
pub type ArrayRecord = Vec<(String, FleetArray)>;

impl ArrayData {
    /// The count of numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I8(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the numbers alone.
    pub fn byte_len(&self) -> usize {
        self.len()
            * match self {
                Self::F32(_) => 4,
                Self::F16(_) => 2,
                Self::I8(_) => 1,
            }
    }
}

impl FleetArray {
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        Self { shape: shape.to_vec(), data: ArrayData::F32(values) }
    }

    /// The numbers that the shape asks for; `None` where their count overflows.
    pub fn shape_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1, |product: usize, &side| product.checked_mul(side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_the_kind_and_the_shape() {
        let array = FleetArray { shape: vec![2, 3], data: ArrayData::I8(vec![0; 6]) };
        assert_eq!((array.shape_len(), array.data.len(), array.data.byte_len()), (Some(6), 6, 6));
        assert_eq!(ArrayData::F16(vec![f16::ONE; 3]).byte_len(), 6);
        assert_eq!(FleetArray::floats(&[], vec![1.0]).shape_len(), Some(1));
        assert_eq!(FleetArray::floats(&[usize::MAX, 2], Vec::new()).shape_len(), None);
    }
}
