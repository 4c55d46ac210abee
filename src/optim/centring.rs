//! Centred weight updates: a weight step that changes what a layer says about *differences* between inputs, and
//! leaves what it says on average to the bias.
//!
//! Behind a ReLU6 every input of a layer is positive, with mean μ. An optimizer that moves each weight by about the
//! learning rate, as Adam does, then shifts the layer's output by about lr·Σμ for all images alike; a few dozen such
//! steps push whole channels out of ReLU6's range, and without batch statistics nothing brings them back. Writing
//! the same layer as `y = scale·W(x − μ) + b'` with `b' = b + scale·Wμ` takes that shift out: nothing changes in the
//! forward pass, only the update does (LeCun et al. 1998, section 4.3 on centring; Huang et al. 2017 on centred
//! weights do the like for the other factor):
//!
//! - gradient: `dW[k,c] -= scale[c]·μ[k]·db[c]`
//! - update: after W moved by ΔW, `b[c] -= scale[c]·Σ_k μ[k]·ΔW[k,c]`

use crate::kernel::ChannelSums;

/// Running mean of a layer's input, per channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputMean {
    /// `[Cin]`; empty until something was seen.
    pub mean: Vec<f32>,
}

/// Share of a new observation in the running mean.
const OBSERVED_SHARE: f32 = 0.3;

impl InputMean {
    /// Moves towards the mean of what was seen; stays where nothing was.
    pub fn follow(&mut self, seen: &ChannelSums) {
        let means = seen.sums.iter().map(|sum| (sum / seen.rows.max(1) as f64) as f32);
        if self.mean.is_empty() {
            self.mean = means.collect();
        } else {
            for (mean, observed) in self.mean.iter_mut().zip(means) {
                *mean += OBSERVED_SHARE * (observed - *mean);
            }
        }
    }

    /// μ of weight row `row`: rows run over taps and, inside, input channels; a depthwise weight has one channel per
    /// column instead.
    fn at(&self, row: usize, column: usize, depthwise: bool) -> f32 {
        if depthwise { self.mean[column] } else { self.mean[row % self.mean.len()] }
    }

    /// Takes the mean's part out of a weight gradient `[rows, cout]`.
    pub fn centre(&self, dw: &mut [f32], db: &[f32], scale: &[f32], depthwise: bool) {
        if self.mean.is_empty() {
            return;
        }
        let cout = db.len();
        let shift: Vec<f32> = db.iter().zip(scale).map(|(d, s)| d * s).collect();
        for (row, dw) in dw.chunks_exact_mut(cout).enumerate() {
            if depthwise {
                for ((dw, s), m) in dw.iter_mut().zip(&shift).zip(&self.mean) {
                    *dw -= s * m;
                }
            } else {
                let m = self.at(row, 0, false);
                for (dw, s) in dw.iter_mut().zip(&shift) {
                    *dw -= s * m;
                }
            }
        }
    }

    /// `scale[c]·Σ_k μ[k]·w[k,c]`: what the layer adds to its bias for an average input.
    pub fn response(&self, w: &[f32], scale: &[f32], depthwise: bool) -> Vec<f32> {
        let cout = scale.len();
        let mut sums = vec![0f32; cout];
        if self.mean.is_empty() {
            return sums;
        }
        for (row, w) in w.chunks_exact(cout).enumerate() {
            if depthwise {
                for ((sum, w), m) in sums.iter_mut().zip(w).zip(&self.mean) {
                    *sum += w * m;
                }
            } else {
                let m = self.at(row, 0, false);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum += w * m;
                }
            }
        }
        sums.iter().zip(scale).map(|(r, s)| r * s).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_centred_step_leaves_the_average_output_alone() {
        let mean = InputMean { mean: vec![0.5, 2.0] };
        let (scale, w) = ([2.0, 0.5, 1.0], [0.1, -0.4, 0.3, 0.2, 0.7, -0.1]);
        let moved: Vec<f32> = w.iter().enumerate().map(|(i, w)| w + 0.01 * i as f32).collect();
        let bias = [1.0f32, 2.0, 3.0];
        let (before, after) = (mean.response(&w, &scale, false), mean.response(&moved, &scale, false));
        let mended: Vec<f32> = (0..3).map(|c| bias[c] - (after[c] - before[c])).collect();
        for c in 0..3 {
            assert!((bias[c] + before[c] - (mended[c] + after[c])).abs() < 1e-6);
        }
    }

    #[test]
    fn the_mean_is_that_of_each_channel() {
        let mut mean = InputMean::default();
        let mut seen = ChannelSums::default();
        mean.follow(&seen);
        assert!(mean.mean.is_empty());
        seen.add(&[1.0, 10.0], 2);
        seen.add(&[3.0, 30.0], 2);
        mean.follow(&seen);
        assert_eq!(mean.mean, [2.0, 20.0]);
        let mut seen = ChannelSums::default();
        seen.add(&[12.0, 20.0], 2);
        mean.follow(&seen);
        mean.follow(&ChannelSums::default());
        assert_eq!(mean.mean, [5.0, 20.0]);
    }
}
