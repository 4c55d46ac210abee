//! Re-initialises dead layers: those whose channels are all zero, or all at ReLU6's upper bound, for every photo.
//!
//! Such a layer passes no gradient, so training cannot mend it, and what the run began with may be just as broken. A
//! depthwise layer begins as the identity, every channel its own middle (Zagoruyko & Komodakis 2017, "DiracNets"),
//! others He-normal; then each channel is shifted and scaled to the mean and deviation that ReLU6 lets through, on
//! photos of the training set, as in [`crate::train::prepare::calibration`]. In a residual block the way past it goes
//! on as it is: what the renewed way adds begins without a mean and small, so that it does no harm before it has
//! learned.

use crate::boxes::InputSize;
use crate::model::{Activation, ConvKind, ConvLayer, ConvSpec, ConvWeights, LayerTraining, initialise};
use crate::ops;
use crate::train::prepare::calibration::{moments, settle};
use crate::train::state::TrainState;
use burn::tensor::Tensor;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// Share of a layer's channels that are dead or saturated from which on it is re-initialised.
const SILENT: f64 = 0.5;

/// Mean from which a channel behind ReLU6 counts as saturated.
const FULL: f32 = 5.9;

/// Deviation of what a renewed way adds, against that of what it is added to.
const QUIET: f32 = 0.2;

/// Photos that layers are fitted to, as the network sees them, at input size `size`.
pub struct FittingPhotos {
    pub photos: Vec<Vec<f32>>,
    pub size: InputSize,
}

/// Re-initialises those of `layers` (positions in walk order, of one stage) that are dead or saturated; returns which.
pub fn reinitialise_dead(state: &mut TrainState, layers: &[usize], sample: &FittingPhotos) -> Vec<usize> {
    let mut rng = Pcg64Mcg::seed_from_u64(state.progress.step ^ 0xDEAD);
    let mut renewed = Vec::new();
    for &i in layers {
        let (weights, x) = (state.model.layers[i].weights(), input(state, i, sample));
        if !is_silent(&weights, x.clone()) {
            continue;
        }
        let fresh = fitted(&weights, x, &mut rng);
        state.replace_layer(i, &fresh);
        renewed.push(i);
    }
    if let (Some(&first), Some(&last), false) = (layers.first(), layers.last(), renewed.is_empty()) {
        damp_residual(state, first, last, sample);
    }
    renewed
}

/// The input of the layer at `position`, `[N,H,W,C]`.
fn input(state: &TrainState, position: usize, sample: &FittingPhotos) -> Tensor<4> {
    let mut seen = Vec::new();
    for photo in &sample.photos {
        let image = ops::tensor(photo.clone(), [1, sample.size.height, sample.size.width, 3]);
        state.model.forward_observed(image, &mut |at, x: &Tensor<4>| {
            if at == position {
                seen.push(x.clone());
            }
        });
    }
    Tensor::cat(seen, 0)
}

fn output(weights: &ConvWeights, x: Tensor<4>) -> Tensor<4> {
    ConvLayer::new(weights, LayerTraining::Frozen).forward(x)
}

fn is_silent(weights: &ConvWeights, x: Tensor<4>) -> bool {
    if weights.spec.activation != Activation::Relu6 {
        return false;
    }
    let channels = weights.spec.out_channels;
    let (mut sums, mut rows) = (vec![0f64; channels], 0);
    ops::read(&output(weights, x), |y| {
        for place in y.chunks_exact(channels) {
            place.iter().zip(&mut sums).for_each(|(v, sum)| *sum += f64::from(*v));
            rows += 1;
        }
    });
    let silent = |sum: &&f64| **sum == 0.0 || **sum >= f64::from(FULL) * f64::from(rows);
    sums.iter().filter(silent).count() as f64 >= SILENT * channels as f64
}

/// New weights at the layer's own scale, which is frozen: what calibration makes of it goes into the weights.
fn fitted(old: &ConvWeights, x: Tensor<4>, rng: &mut Pcg64Mcg) -> ConvWeights {
    let spec = ConvSpec { activation: Activation::Relu6, ..old.spec };
    let mut fresh = initialise(&spec, rng);
    if spec.kind == ConvKind::Depthwise {
        let (taps, channels) = (fresh.weight.len() / spec.out_channels, spec.out_channels);
        fresh.weight.fill(0.0);
        fresh.weight[taps / 2 * channels..][..channels].fill(1.0);
    }
    settle(&mut fresh, x);
    scaled_into_weights(&mut fresh, &old.scale);
    fresh
}

fn scaled_into_weights(fresh: &mut ConvWeights, scale: &[f32]) {
    let channels = scale.len();
    let times: Vec<f32> =
        fresh.scale.iter().zip(scale).map(|(new, old)| if old.abs() > 1e-12 { new / old } else { 0.0 }).collect();
    for row in fresh.weight.chunks_exact_mut(channels) {
        row.iter_mut().zip(&times).for_each(|(w, t)| *w *= t);
    }
    fresh.scale.copy_from_slice(scale);
}

/// For a stage with a residual: no mean, and small.
fn damp_residual(state: &mut TrainState, first: usize, last: usize, sample: &FittingPhotos) {
    let [spec, end] = [first, last].map(|i| *state.model.layers[i].spec());
    let (past, inner) = (input(state, first, sample), input(state, last, sample));
    let old = state.model.layers[last].weights();
    let added = output(&old, inner);
    let is_residual = end.activation == Activation::Linear && added.dims() == past.dims() && first != last;
    if !is_residual {
        return;
    }
    let channels = end.out_channels;
    let of = |x: &Tensor<4>, channels: usize| ops::read(x, |x| moments(x, channels));
    let size = |all: &[(f32, f32)]| (all.iter().map(|m| m.1 * m.1).sum::<f32>() / all.len().max(1) as f32).sqrt();
    let (stream, seen) = (of(&past, spec.in_channels), of(&added, channels));
    let by = (QUIET * size(&stream) / size(&seen).max(1e-6)).min(1.0);
    let mut damped = old;
    damped.weight.iter_mut().for_each(|w| *w *= by);
    damped.bias.iter_mut().zip(&seen).for_each(|(b, (mean, _))| *b = (*b - mean) * by);
    state.replace_layer(last, &damped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Stage, initialise_network, ssdlite_mobilenet_v2};
    use crate::train::{Recipe, calibrate};
    use rand::Rng;

    fn sample(rng: &mut Pcg64Mcg) -> FittingPhotos {
        let photo = |rng: &mut Pcg64Mcg| (0..64 * 64 * 3).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect();
        FittingPhotos { photos: (0..8).map(|_| photo(rng)).collect(), size: InputSize::square(64) }
    }

    #[test]
    fn a_silent_layer_speaks_again_and_others_stay() {
        for bias in [-1.0, 20.0] {
            let mut rng = Pcg64Mcg::seed_from_u64(5);
            let sample = sample(&mut rng);
            let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 4, true), &mut rng);
            calibrate(&mut network, ops::tensor(sample.photos.concat(), [8, 64, 64, 3]));
            for (stage, conv) in network.convs_mut() {
                if stage == Stage::Block(8) && conv.spec.kind == ConvKind::Depthwise {
                    conv.weight.fill(0.0);
                    conv.bias.fill(bias);
                }
            }
            let mut state = TrainState::new(&network, &Recipe::default());
            let stage = |i: &usize| state.model.stage(*i) == Stage::Block(8);
            let layers: Vec<usize> = (0..state.model.layers.len()).filter(stage).collect();
            let renewed = reinitialise_dead(&mut state, &layers, &sample);
            assert_eq!(renewed, [layers[1]]);
            let expand = state.model.layers[layers[0]].weights();
            assert_eq!(expand.weight, network.convs()[layers[0]].1.weight);
            let x = input(&state, layers[1], &sample);
            assert!(!is_silent(&state.model.layers[layers[1]].weights(), x));
            assert!(reinitialise_dead(&mut state, &layers, &sample).is_empty());
        }
    }
}
