//! Convolutions of NHWC maps of one image, in real numbers and in 8-bit ones.
//!
//! Weights stand by input row (tap and input channel), output channel fastest, so that the inner loop runs over output
//! channels. Rows of the output are shared out over the threads; each is computed in one order, whatever their number.

use rayon::prelude::*;

use super::fixed_point::Factor;

/// The inputs that an output sees.
#[derive(Clone, Debug)]
pub struct InputWindow {
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Rows above and columns to the left that are padding.
    pub before: [usize; 2],
    /// Height and width.
    pub input: [usize; 2],
    pub output: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Every input channel to every output channel.
    Mixed,
    /// One filter per channel.
    Apart,
}

/// A convolution's shape; `channels` counts the input's and the output's.
#[derive(Clone, Debug)]
pub struct ConvolutionShape {
    pub window: InputWindow,
    pub kind: Channels,
    pub channels: [usize; 2],
}

impl ConvolutionShape {
    /// The offset of every tap inside the image around output `[y, x]`: its index in the kernel, and its pixel.
    fn taps(&self, [y, x]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> + '_ {
        let InputWindow { kernel: [kh, kw], stride, before, input, .. } = self.window;
        (0..kh * kw).filter_map(move |tap| {
            let row = (y * stride + tap / kw).checked_sub(before[0]).filter(|&r| r < input[0])?;
            let column = (x * stride + tap % kw).checked_sub(before[1]).filter(|&c| c < input[1])?;
            Some((tap, row * input[1] + column))
        })
    }

    pub fn output_len(&self) -> usize {
        self.window.output.iter().product::<usize>() * self.channels[1]
    }
}

/// Weights and biases of real numbers.
pub struct Real {
    pub shape: ConvolutionShape,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub relu6: bool,
}

impl Real {
    pub fn run(&self, input: &[f32]) -> Vec<f32> {
        let [inner, outer] = self.shape.channels;
        let columns = self.shape.window.output[1];
        let mut output = vec![0.0; self.shape.output_len()];
        output.par_chunks_mut(columns * outer).enumerate().for_each(|(y, row)| {
            for (x, sums) in row.chunks_exact_mut(outer).enumerate() {
                sums.copy_from_slice(&self.bias);
                for (tap, pixel) in self.shape.taps([y, x]) {
                    let values = &input[pixel * inner..][..inner];
                    match self.shape.kind {
                        Channels::Mixed => self.mix(tap, values, sums),
                        Channels::Apart => {
                            let weights = &self.weight[tap * outer..][..outer];
                            sums.iter_mut().zip(values).zip(weights).for_each(|((s, v), w)| *s += v * w);
                        }
                    }
                }
                if self.relu6 {
                    sums.iter_mut().for_each(|s| *s = s.clamp(0.0, 6.0));
                }
            }
        });
        output
    }

    fn mix(&self, tap: usize, values: &[f32], sums: &mut [f32]) {
        let rows = self.weight[tap * values.len() * sums.len()..].chunks_exact(sums.len());
        // Behind a ReLU6 many values are 0.
        for (&v, weights) in values.iter().zip(rows).filter(|(v, _)| **v != 0.0) {
            sums.iter_mut().zip(weights).for_each(|(s, w)| *s += v * w);
        }
    }
}

/// Weights of 8 bits and biases of 32, with the factor from sums to outputs for each channel.
pub struct Bytes {
    pub shape: ConvolutionShape,
    /// Widened, because products of 16 bits are one instruction.
    pub weight: Vec<i16>,
    pub bias: Vec<i32>,
    pub factors: Vec<Factor>,
    pub input_zero: i32,
    pub output_zero: i32,
    /// Lowest and highest output.
    pub bounds: [i32; 2],
}

impl Bytes {
    pub fn run(&self, input: &[i8]) -> Vec<i8> {
        let [inner, outer] = self.shape.channels;
        let columns = self.shape.window.output[1];
        let zero = self.input_zero as i16;
        let centred: Vec<i16> = input.iter().map(|&v| i16::from(v) - zero).collect();
        let mut output = vec![0; self.shape.output_len()];
        output.par_chunks_mut(columns * outer).enumerate().for_each_init(
            || vec![0i32; outer],
            |sums, (y, row)| {
                for (x, out) in row.chunks_exact_mut(outer).enumerate() {
                    sums.copy_from_slice(&self.bias);
                    for (tap, pixel) in self.shape.taps([y, x]) {
                        let values = &centred[pixel * inner..][..inner];
                        match self.shape.kind {
                            Channels::Mixed => self.mix(tap, values, sums),
                            Channels::Apart => {
                                let weights = &self.weight[tap * outer..][..outer];
                                let products = sums.iter_mut().zip(values).zip(weights);
                                products.for_each(|((s, &v), &w)| *s = s.wrapping_add(i32::from(v) * i32::from(w)));
                            }
                        }
                    }
                    let ends = out.iter_mut().zip(sums.iter()).zip(&self.factors);
                    ends.for_each(|((o, &s), factor)| {
                        *o = factor.times(s).saturating_add(self.output_zero).clamp(self.bounds[0], self.bounds[1])
                            as i8;
                    });
                }
            },
        );
        output
    }

    fn mix(&self, tap: usize, values: &[i16], sums: &mut [i32]) {
        let rows = self.weight[tap * values.len() * sums.len()..].chunks_exact(sums.len());
        for (&v, weights) in values.iter().zip(rows).filter(|(v, _)| **v != 0) {
            sums.iter_mut().zip(weights).for_each(|(s, &w)| *s = s.wrapping_add(i32::from(v) * i32::from(w)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kind: Channels, channels: [usize; 2]) -> ConvolutionShape {
        let window = InputWindow { kernel: [3, 3], stride: 2, before: [0, 1], input: [4, 5], output: [2, 3] };
        ConvolutionShape { window, kind, channels }
    }

    fn spread(n: usize) -> impl Iterator<Item = i32> {
        (0..n as i32).map(|i| i * 37 % 101 - 50)
    }

    /// The definition, in 64-bit numbers.
    fn defined(shape: &ConvolutionShape, input: &[i8], weight: &[i16], zero: i32) -> Vec<i64> {
        let [inner, outer] = shape.channels;
        let w = &shape.window;
        let mut sums = Vec::new();
        for y in 0..w.output[0] as i64 {
            for x in 0..w.output[1] as i64 {
                for o in 0..outer {
                    let mut sum = 0;
                    for tap in 0..9i64 {
                        let row = y * w.stride as i64 + tap / 3 - w.before[0] as i64;
                        let column = x * w.stride as i64 + tap % 3 - w.before[1] as i64;
                        if row < 0 || column < 0 || row >= w.input[0] as i64 || column >= w.input[1] as i64 {
                            continue;
                        }
                        let pixel = (row * w.input[1] as i64 + column) as usize * inner;
                        let tap = tap as usize;
                        let pairs: Vec<(usize, usize)> = match shape.kind {
                            Channels::Mixed => (0..inner).map(|i| (pixel + i, (tap * inner + i) * outer + o)).collect(),
                            Channels::Apart => vec![(pixel + o, tap * outer + o)],
                        };
                        for (v, k) in pairs {
                            sum += (i64::from(input[v]) - i64::from(zero)) * i64::from(weight[k]);
                        }
                    }
                    sums.push(sum);
                }
            }
        }
        sums
    }

    #[test]
    fn both_kinds_compute_their_definition() {
        for (kind, channels) in [(Channels::Mixed, [3, 5]), (Channels::Apart, [4, 4])] {
            let shape = shape(kind, channels);
            let input: Vec<i8> = spread(20 * channels[0]).map(|v| v as i8).collect();
            let weight: Vec<i16> =
                spread(if kind == Channels::Mixed { 9 * 3 * 5 } else { 9 * 4 }).map(|v| v as i16).collect();
            let expected = defined(&shape, &input, &weight, -7);
            let (outer, bounds) = (channels[1], [-128, 127]);
            let bytes = Bytes {
                shape: shape.clone(),
                weight: weight.clone(),
                bias: vec![0; outer],
                factors: vec![Factor::of(1.0 / 1024.0); outer],
                input_zero: -7,
                output_zero: 3,
                bounds,
            };
            for (found, &sum) in bytes.run(&input).iter().zip(&expected) {
                let real = sum as f64 / 1024.0 + 3.0;
                assert!((f64::from(*found) - real.clamp(-128.0, 127.0)).abs() <= 0.5 + 1e-6, "{found} is not {real}");
            }
            let real = Real {
                shape,
                weight: weight.iter().map(|&w| f32::from(w)).collect(),
                bias: vec![1.0; outer],
                relu6: false,
            };
            let centred: Vec<f32> = input.iter().map(|&v| f32::from(v) + 7.0).collect();
            for (found, &sum) in real.run(&centred).iter().zip(&expected) {
                assert!((f64::from(*found) - 1.0 - sum as f64).abs() < 0.5);
            }
        }
    }
}
