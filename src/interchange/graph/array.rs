//! Constant tensors as `f32` arrays, and the little arithmetic that exporters leave around weights.

/// A constant: row-major values and their dimensions. `data.len()` is the product of `dims`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantArray {
    pub dims: Vec<usize>,
    pub data: Vec<f32>,
}

/// No constant that belongs to this network is larger; keeps a broadcast in a hostile file from filling memory.
const MAX_ELEMENTS: usize = 1 << 26;

impl ConstantArray {
    /// `None` if the length is not the product of the dimensions.
    pub fn new(dims: Vec<usize>, data: Vec<f32>) -> Option<Self> {
        (product(&dims)? == data.len()).then_some(Self { dims, data })
    }

    /// The value of a constant with exactly one element.
    pub fn single(&self) -> Option<f32> {
        match self.data.as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// The value that all elements have.
    pub fn uniform(&self) -> Option<f32> {
        let (first, rest) = self.data.split_first()?;
        rest.iter().all(|v| v == first).then_some(*first)
    }

    /// The values as integers, for shapes and paddings.
    pub fn integers(&self) -> Vec<i64> {
        self.data.iter().map(|&v| v as i64).collect()
    }

    /// `f` of each value.
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self { dims: self.dims.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    /// Axis `i` of the result is axis `perm[i]` of `self`; `None` if `perm` is no permutation of the axes.
    pub fn transposed(&self, perm: &[usize]) -> Option<Self> {
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.dims.len()) {
            return None;
        }
        let strides = strides(&self.dims);
        let dims: Vec<usize> = perm.iter().map(|&p| self.dims[p]).collect();
        let moved: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        let data = indices(&dims, &moved).map(|i| self.data[i]).collect();
        Some(Self { dims, data })
    }

    /// ONNX Reshape: 0 keeps a dimension, -1 takes what is left; `None` if the element counts differ.
    pub fn reshaped(self, target: &[i64]) -> Option<Self> {
        let mut dims = Vec::with_capacity(target.len());
        for (i, &t) in target.iter().enumerate() {
            dims.push(match t {
                0 => *self.dims.get(i)?,
                -1 => 1,
                t => usize::try_from(t).ok()?,
            });
        }
        if let Some(open) = target.iter().position(|&t| t == -1) {
            let rest = product(&dims)?;
            dims[open] = self.data.len().checked_div(rest)?;
        }
        Self::new(dims, self.data)
    }

    /// `f` of both, broadcast as NumPy does; `None` if the shapes do not go together.
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Option<Self> {
        let rank = self.dims.len().max(other.dims.len());
        let (a, b) = (aligned(&self.dims, rank), aligned(&other.dims, rank));
        let mut dims = Vec::with_capacity(rank);
        for (&m, &n) in a.iter().zip(&b) {
            dims.push(match (m, n) {
                (m, n) if m == n => m,
                (1, n) => n,
                (m, 1) => m,
                _ => return None,
            });
        }
        if product(&dims)? > MAX_ELEMENTS {
            return None;
        }
        let step = |dims: &[usize]| -> Vec<usize> {
            strides(dims).iter().zip(dims).map(|(&s, &d)| if d == 1 { 0 } else { s }).collect()
        };
        let (a_steps, b_steps) = (step(&a), step(&b));
        let pairs = indices(&dims, &a_steps).zip(indices(&dims, &b_steps));
        let data = pairs.map(|(i, j)| f(self.data[i], other.data[j])).collect();
        Some(Self { dims, data })
    }

    /// ONNX DequantizeLinear: `(q - zero)·scale`, both per tensor or per slice of `axis`.
    pub fn dequantized(&self, scale: &Self, zero: Option<&Self>, axis: i64) -> Option<Self> {
        let along = |values: &Self| -> Option<Self> {
            if values.data.len() == 1 {
                return ConstantArray::new(vec![], values.data.clone());
            }
            let axis = if axis < 0 { axis + self.dims.len() as i64 } else { axis };
            let axis = usize::try_from(axis).ok().filter(|&a| self.dims.get(a) == Some(&values.data.len()))?;
            let mut dims = vec![1; self.dims.len()];
            dims[axis] = values.data.len();
            ConstantArray::new(dims, values.data.clone())
        };
        match zero {
            Some(zero) => self.zip(&along(zero)?, |q, z| q - z)?.zip(&along(scale)?, |q, s| q * s),
            None => self.zip(&along(scale)?, |q, s| q * s),
        }
    }
}

/// Number of elements; `None` on overflow, also one that a dimension of zero would hide.
pub fn product(dims: &[usize]) -> Option<usize> {
    let all = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
    Some(if dims.contains(&0) { 0 } else { all })
}

fn aligned(dims: &[usize], rank: usize) -> Vec<usize> {
    let mut all = vec![1; rank - dims.len()];
    all.extend(dims);
    all
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    strides
}

/// Offsets of all elements of `dims` in row-major order, with the given step per axis.
fn indices<'a>(dims: &'a [usize], steps: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let count = dims.iter().product();
    let mut at = vec![0usize; dims.len()];
    let mut offset = 0;
    (0..count).map(move |_| {
        let here = offset;
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            offset += steps[axis];
            if at[axis] < dims[axis] {
                break;
            }
            offset -= steps[axis] * dims[axis];
            at[axis] = 0;
        }
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(dims: &[usize], data: &[f32]) -> ConstantArray {
        ConstantArray::new(dims.to_vec(), data.to_vec()).unwrap()
    }

    #[test]
    fn transposing_back_restores() {
        let a = ConstantArray::new(vec![2, 3, 4], (0..24).map(|i| i as f32).collect()).unwrap();
        let b = a.transposed(&[2, 0, 1]).unwrap();
        assert_eq!((b.dims.clone(), b.data[1]), (vec![4, 2, 3], 4.0));
        assert_eq!(b.transposed(&[1, 2, 0]).unwrap(), a);
        assert_eq!(a.transposed(&[0, 0, 1]), None);
        assert_eq!(a.transposed(&[0, 1]), None);
    }

    #[test]
    fn broadcasting_follows_numpy() {
        let a = array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(a.zip(&array(&[2], &[10.0, 20.0]), |x, y| x + y).unwrap().data, [11.0, 22.0, 13.0, 24.0]);
        assert_eq!(a.zip(&array(&[2, 1], &[10.0, 20.0]), |x, y| x + y).unwrap().data, [11.0, 12.0, 23.0, 24.0]);
        assert_eq!(a.zip(&array(&[3], &[0.0; 3]), |x, _| x), None);
        let tall = ConstantArray::new(vec![1 << 20, 1], vec![0.0; 1 << 20]).unwrap();
        assert_eq!(tall.zip(&ConstantArray::new(vec![1 << 20], vec![0.0; 1 << 20]).unwrap(), |x, _| x), None);
    }

    #[test]
    fn reshape_fills_in_and_refuses() {
        let a = array(&[2, 3], &[0.0; 6]);
        assert_eq!(a.clone().reshaped(&[0, -1, 1]).unwrap().dims, [2, 3, 1]);
        assert_eq!(a.clone().reshaped(&[4, -1]), None);
        assert_eq!(a.clone().reshaped(&[-2]), None);
        assert_eq!(a.reshaped(&[i64::MAX, i64::MAX]), None);
    }

    #[test]
    fn dequantizes_per_tensor_and_per_channel() {
        let q = array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let one = q.dequantized(&array(&[], &[0.5]), Some(&array(&[], &[1.0])), 1).unwrap();
        assert_eq!(one.data, [0.0, 0.5, 1.0, 1.5]);
        let rows = q.dequantized(&array(&[2], &[1.0, 10.0]), None, 0).unwrap();
        assert_eq!(rows.data, [1.0, 2.0, 30.0, 40.0]);
        assert_eq!(q.dequantized(&array(&[3], &[1.0; 3]), None, 0), None);
        assert_eq!(q.dequantized(&array(&[2], &[1.0; 2]), None, 9), None);
    }
}
