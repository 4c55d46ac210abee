//! Data-dependent initialisation: each layer in turn is shifted and scaled per output channel, so that over some
//! photos its output has a given mean and deviation before its activation.
//!
//! That is what batch norm would do in its first step, done once and kept (Mishra & Matas 2016, "All you need is a
//! good init"; Salimans & Kingma 2016, section 3). Without it a network this deep, drawn at random and never
//! normalised, says the same about every image and learns nothing. Projections get less than deviation 1, so that the
//! sums of residual blocks grow slowly.

use crate::model::{Activation, ConvLayer, ConvSpec, ConvWeights, LayerStep, LayerTraining, LayerWalk, Ssd};
use crate::ops;
use burn::tensor::Tensor;

/// Mean and deviation before a ReLU6: most of the bell lies where ReLU6 lets it through.
const BEFORE_RELU6: (f32, f32) = (0.5, 1.0);

/// Mean and deviation of a projection.
const PROJECTED: (f32, f32) = (0.0, 0.5);

/// A channel that hardly moves is not blown up beyond this.
const SMALLEST_DEVIATION: f64 = 1e-3;

/// Sets scales and biases of all layers but the predictors, which stay as small as they were drawn.
///
/// `images` `[N,S,S,3]`, each value in [-1, 1]; 16 or more, or the deep maps have too few places to measure on.
pub fn calibrate(network: &mut Ssd<ConvWeights>, images: Tensor<4>) {
    let walk = LayerWalk::of(network);
    let heads = network.positions().heads;
    let predictors: Vec<usize> = heads.iter().flat_map(|head| [head.box_predictor, head.class_predictor]).collect();
    let mut layers = network.convs_mut();
    walk.run(images, |step| match step {
        LayerStep::Layer { position, input } if predictors.contains(&position) => input,
        LayerStep::Layer { position, input } => settle(layers[position].1, input),
        LayerStep::Sum([out, input]) => input + out,
    });
}

/// Calibrates one layer on its input and returns what it then puts out.
pub(in crate::train) fn settle(layer: &mut ConvWeights, x: Tensor<4>) -> Tensor<4> {
    let spec = ConvSpec { activation: Activation::Linear, ..layer.spec };
    let linear = ConvLayer::new(&ConvWeights { spec, ..layer.clone() }, LayerTraining::Frozen);
    let y = linear.forward(x);
    let channels = spec.out_channels;
    let ((wanted_mean, wanted_deviation), [low, high]) = match layer.spec.activation {
        Activation::Relu6 => (BEFORE_RELU6, [0.0, 6.0]),
        Activation::Linear => (PROJECTED, [f32::NEG_INFINITY, f32::INFINITY]),
    };
    // The output of each channel is to become (y - shift) / unit.
    let change = |(mean, deviation): (f32, f32)| {
        let unit = deviation / wanted_deviation;
        (mean - wanted_mean * unit, unit)
    };
    let changes: Vec<(f32, f32)> = ops::read(&y, |y| moments(y, channels)).into_iter().map(change).collect();
    for ((scale, bias), (shift, unit)) in layer.scale.iter_mut().zip(&mut layer.bias).zip(&changes) {
        *scale /= unit;
        *bias = (*bias - shift) / unit;
    }
    ops::update(y, |y| {
        for place in y.chunks_exact_mut(channels) {
            for (value, (shift, unit)) in place.iter_mut().zip(&changes) {
                *value = ((*value - shift) / unit).clamp(low, high);
            }
        }
    })
}

/// Mean and deviation of each channel of `[.., channels]`.
pub(in crate::train) fn moments(y: &[f32], channels: usize) -> Vec<(f32, f32)> {
    let mut sums = vec![(0f64, 0f64); channels];
    for place in y.chunks_exact(channels) {
        for ((sum, squares), &value) in sums.iter_mut().zip(place) {
            *sum += f64::from(value);
            *squares += f64::from(value) * f64::from(value);
        }
    }
    let places = (y.len() / channels).max(1) as f64;
    let finish = |(sum, squares): (f64, f64)| {
        let mean = sum / places;
        let deviation = (squares / places - mean * mean).max(0.0).sqrt();
        (mean as f32, deviation.max(SMALLEST_DEVIATION) as f32)
    };
    sums.into_iter().map(finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SsdModel, initialise_network, ssdlite_mobilenet_v2};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn the_signal_reaches_every_layer() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 4, true), &mut rng);
        let images: Vec<f32> = (0..16 * 64 * 64 * 3).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect();
        let images = ops::tensor(images, [16, 64, 64, 3]);
        calibrate(&mut network, images.clone());
        let mut places = Vec::new();
        SsdModel::for_inference(&network).forward_observed(images, &mut |position, x| {
            let [.., channels] = x.dims();
            let all = ops::read(x, |x| moments(x, channels));
            let loud = all.iter().filter(|(_, deviation)| (0.2..4.0).contains(deviation)).count();
            places.push((position, loud as f64 / channels as f64));
        });
        let quiet: Vec<_> = places.iter().filter(|(_, share)| *share < 0.9).collect();
        assert!(quiet.is_empty(), "layers whose input hardly moves: {quiet:?}");
    }
}
