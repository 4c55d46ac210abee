//! Real numbers as 8-bit ones: `real = scale · (q - zero)`.
//!
//! TensorFlow Lite's specification of 8-bit quantisation: weights per output channel, symmetric, -127 to 127; biases of
//! 32 bits at the product of input's and weight's scales; activations per tensor, -128 to 127.

use super::draft::StoredScale;

/// Scale and zero point of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationScale {
    pub scale: f32,
    pub zero: i32,
}

/// The smallest scale: below it a map is constant, and its numbers do not matter.
const LEAST: f32 = 1e-8;

impl ActivationScale {
    /// Real values from `low` to `high`, widened to hold 0, which padding needs exactly.
    pub fn of([low, high]: [f32; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(LEAST);
        let zero = (-128.0 - low / scale).round().clamp(-128.0, 127.0) as i32;
        Self { scale, zero }
    }

    pub fn quantised(self) -> StoredScale {
        StoredScale::whole(self.scale, i64::from(self.zero))
    }
}

/// A convolution's numbers in 8 and 32 bits.
pub struct QuantisedConv {
    pub weight: Vec<i8>,
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub scales: Vec<f32>,
}

/// A bias may take this many steps: sums of products are added to it in 32 bits. A little below 2^30, because scales
/// are rounded to 32-bit floats.
const BIAS_STEPS: f32 = 0.999 * (1u32 << 30) as f32;

impl QuantisedConv {
    /// `weight` has the output channel `channel(i)` at position i; `input` is the scale of what is read, and `means` are the
    /// means of its channels, which come round in the order of the weights.
    ///
    /// The error that rounding the weights adds to a channel's mean sum is taken off its bias: Nagel et al. 2019,
    /// "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, with means that were
    /// measured.
    pub fn of(weight: &[f32], bias: &[f32], input: f32, means: &[f32], channel: impl Fn(usize) -> usize) -> Self {
        let mut scales = vec![0f32; bias.len()];
        for (i, w) in weight.iter().enumerate() {
            let most = &mut scales[channel(i)];
            *most = most.max(w.abs() / 127.0);
        }
        for (scale, bias) in scales.iter_mut().zip(bias) {
            // A dead channel has next to no weights and all of its bias.
            *scale = scale.max(bias.abs().max(1e-6) / (input * BIAS_STEPS));
        }
        let steps = |(i, w): (usize, &f32)| (w / scales[channel(i)]).round().clamp(-127.0, 127.0) as i8;
        let rounded: Vec<i8> = weight.iter().enumerate().map(steps).collect();
        let mut lacking = vec![0f64; bias.len()];
        for (i, ((w, q), mean)) in weight.iter().zip(&rounded).zip(means.iter().cycle()).enumerate() {
            let c = channel(i);
            lacking[c] += (f64::from(*w) - f64::from(*q) * f64::from(scales[c])) * f64::from(*mean);
        }
        let bias = bias.iter().zip(&lacking).zip(&scales);
        let steps = |((b, l), s): ((&f32, &f64), &f32)| {
            ((f64::from(*b) + l) / (f64::from(input) * f64::from(*s))).round() as i32
        };
        Self { bias: bias.map(steps).collect(), weight: rounded, scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exact_and_the_ends_are_reached() {
        let s = ActivationScale::of([0.0, 6.0]);
        assert_eq!((s.zero, s.scale), (-128, 6.0 / 255.0));
        for range in [[-3.0, 5.0], [0.5, 2.0], [-4.0, -1.0], [0.0, 0.0]] {
            let s = ActivationScale::of(range);
            assert!((-128..=127).contains(&s.zero), "{range:?}: {s:?}");
            for real in range {
                let q = (real / s.scale).round() + s.zero as f32;
                let back = s.scale * (q.clamp(-128.0, 127.0) - s.zero as f32);
                assert!((back - real).abs() <= s.scale, "{range:?}: {real} became {back}");
            }
        }
    }

    #[test]
    fn the_mean_of_a_rounded_channel_is_that_of_the_real_one() {
        let (weight, means, input) = ([0.3f32, -0.111, 0.077, 1.0], [2.0f32, 5.0], 0.02f32);
        let of = |means: &[f32]| {
            let w = QuantisedConv::of(&weight, &[0.25, -0.5], input, means, |i| i / 2);
            let sum = |c: usize| -> f64 {
                let taps = (0..2).map(|i| f64::from(w.weight[2 * c + i]) * f64::from(w.scales[c]) * [2.0, 5.0][i]);
                taps.sum::<f64>() + f64::from(w.bias[c]) * f64::from(input) * f64::from(w.scales[c])
            };
            [sum(0), sum(1)]
        };
        let expected = [0.3 * 2.0 - 0.111 * 5.0 + 0.25, 0.077 * 2.0 + 5.0 - 0.5];
        let error = |found: [f64; 2]| (found[0] - expected[0]).abs().max((found[1] - expected[1]).abs());
        // A step of the bias is a product of both scales.
        assert!(error(of(&means)) <= 0.51 * 0.02 / 127.0, "{}", error(of(&means)));
        assert!(error(of(&[])) > 1e-3, "without means the rounding shows");
    }

    #[test]
    fn a_dead_channels_bias_fits() {
        let w = QuantisedConv::of(&[0.0, 0.5, 1e-12, -1.0], &[40.0, 0.1], 0.01, &[], |i| i % 2);
        assert_eq!(w.weight, [0, 64, 0, -127]);
        for (q, (bias, scale)) in w.bias.iter().zip([40.0, 0.1].iter().zip(&w.scales)) {
            let back = f64::from(*q) * 0.01 * f64::from(*scale);
            assert!((back - bias).abs() < 1e-5 + f64::from(0.01 * scale), "{back} is not {bias}");
            assert!(q.unsigned_abs() <= 1 << 30);
        }
    }
}
