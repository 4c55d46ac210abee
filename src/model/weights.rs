//! One convolution: its shape and its parameters, free of any tensor library.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConvKind {
    /// 1x1 at stride 1, every input channel to every output channel. Weight `[Cin, Cout]`.
    Pointwise,
    /// One filter per channel. Weight `[kh, kw, C]`.
    Depthwise,
    /// k x k, every input channel to every output channel (the stem). Weight `[kh, kw, Cin, Cout]`.
    Dense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    Linear,
    Relu6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Padding {
    /// TensorFlow SAME: total `max((ceil(n/s) - 1)·s + k - n, 0)`, the smaller half before.
    /// Follows the input size; (0, 1) at stride 2 on even sizes.
    TfSame,
    /// Fixed numbers whatever the size, e.g. PyTorch's (1, 1, 1, 1).
    Explicit { top: usize, left: usize, bottom: usize, right: usize },
}

/// The shape of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvSpec {
    pub kind: ConvKind,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: Padding,
    pub in_channels: usize,
    pub out_channels: usize,
    pub activation: Activation,
}

/// The numbers of one convolution: `y = act(scale·conv(x, weight) + bias)`, `scale` and `bias` per output channel.
///
/// `scale` is frozen; it is what is left of batch norm. A file whose batch norm is folded imports with
/// scale 1; [`ConvWeights::unfold`] moves each output channel's L2 norm from `weight` into `scale`,
/// [`ConvWeights::fold`] moves it back.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvWeights {
    pub spec: ConvSpec,
    /// Layout by [`ConvKind`], output channel fastest.
    pub weight: Vec<f32>,
    pub scale: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Padding {
    /// Rows (or columns) before and after, for an input of `n`, kernel `k` and stride `s`, on the vertical axis.
    pub fn vertical(self, n: usize, k: usize, s: usize) -> (usize, usize) {
        match self {
            Padding::TfSame => tf_same(n, k, s),
            Padding::Explicit { top, bottom, .. } => (top, bottom),
        }
    }

    /// As [`Padding::vertical`], on the horizontal axis.
    pub fn horizontal(self, n: usize, k: usize, s: usize) -> (usize, usize) {
        match self {
            Padding::TfSame => tf_same(n, k, s),
            Padding::Explicit { left, right, .. } => (left, right),
        }
    }
}

/// TensorFlow's SAME rule: rows before and after for size `n`, kernel `k`, stride `s`.
fn tf_same(n: usize, k: usize, s: usize) -> (usize, usize) {
    let total = ((n.div_ceil(s) - 1) * s + k).saturating_sub(n);
    (total / 2, total - total / 2)
}

impl ConvSpec {
    pub fn weight_len(&self) -> usize {
        let [kh, kw] = self.kernel;
        match self.kind {
            ConvKind::Depthwise => kh * kw * self.out_channels,
            ConvKind::Pointwise | ConvKind::Dense => kh * kw * self.in_channels * self.out_channels,
        }
    }

    /// Inputs that one output value sums over.
    pub fn fan_in(&self) -> usize {
        self.weight_len() / self.out_channels
    }

    /// Height and width of the output for an input of `[h, w]`.
    ///
    /// # Panics
    /// If the padded input is smaller than the kernel.
    pub fn output_size(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        let [kh, kw] = self.kernel;
        let (top, bottom) = self.padding.vertical(h, kh, self.stride);
        let (left, right) = self.padding.horizontal(w, kw, self.stride);
        [(h + top + bottom - kh) / self.stride + 1, (w + left + right - kw) / self.stride + 1]
    }
}

impl ConvWeights {
    /// Moves each output channel's L2 norm from the weight into the scale, so that the trained weight has norm 1
    /// per channel and one learning rate means the same everywhere. The function computed does not change.
    pub fn unfold(&mut self) {
        let c = self.spec.out_channels;
        let mut squares = vec![0f64; c];
        for row in self.weight.chunks_exact(c) {
            for (sum, &w) in squares.iter_mut().zip(row) {
                *sum += f64::from(w) * f64::from(w);
            }
        }
        // A channel of zeros has no direction to keep; the floor leaves it at zero instead of NaN.
        let norms: Vec<f32> = squares.iter().map(|s| (s.sqrt() as f32).max(1e-6)).collect();
        for row in self.weight.chunks_exact_mut(c) {
            for (w, n) in row.iter_mut().zip(&norms) {
                *w /= n;
            }
        }
        for (s, n) in self.scale.iter_mut().zip(&norms) {
            *s *= n;
        }
    }

    /// Multiplies the scale into the weight and leaves scale 1: the form that files hold.
    pub fn fold(&mut self) {
        for row in self.weight.chunks_exact_mut(self.spec.out_channels) {
            for (w, s) in row.iter_mut().zip(&self.scale) {
                *w *= s;
            }
        }
        self.scale.fill(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tf_same_padding_is_asymmetric_on_even_sizes() {
        assert_eq!(tf_same(300, 3, 2), (0, 1));
        assert_eq!(tf_same(75, 3, 2), (1, 1));
        assert_eq!(tf_same(19, 3, 1), (1, 1));
        assert_eq!(tf_same(2, 3, 2), (0, 1));
        assert_eq!(tf_same(8, 1, 1), (0, 0));
    }

    #[test]
    fn fold_undoes_unfold() {
        let spec = ConvSpec {
            kind: ConvKind::Pointwise,
            kernel: [1, 1],
            stride: 1,
            padding: Padding::TfSame,
            in_channels: 2,
            out_channels: 2,
            activation: Activation::Relu6,
        };
        let folded = ConvWeights { spec, weight: vec![3.0, 1.0, 4.0, 0.0], scale: vec![1.0; 2], bias: vec![0.5; 2] };
        let mut w = folded.clone();
        w.unfold();
        assert_eq!((w.scale.clone(), w.weight.clone()), (vec![5.0, 1.0], vec![0.6, 1.0, 0.8, 0.0]));
        w.fold();
        assert_eq!(w, folded);
    }
}
