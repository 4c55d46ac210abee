//! Fresh numbers for layers that no file brings along.
//!
//! He-normal by fan-in for layers that end in ReLU6 (He et al. 2015), normal with deviation 0.01 for the predictors,
//! biases 0.

use super::ssd::Ssd;
use super::weights::{Activation, ConvSpec, ConvWeights};
use rand::{Rng, SeedableRng};

/// Deviation of a predictor's fresh weights.
const PREDICTOR_STD: f64 = 0.01;

/// Draws fresh numbers for one convolution; `scale` 1, `bias` 0.
pub fn initialise(spec: &ConvSpec, rng: &mut impl Rng) -> ConvWeights {
    let std = match spec.activation {
        Activation::Relu6 => (2.0 / spec.fan_in() as f64).sqrt(),
        Activation::Linear => PREDICTOR_STD,
    };
    ConvWeights {
        spec: *spec,
        weight: (0..spec.weight_len()).map(|_| (normal(rng) * std) as f32).collect(),
        scale: vec![1.0; spec.out_channels],
        bias: vec![0.0; spec.out_channels],
    }
}

/// Standard normal by Box and Muller (1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Replaces every class predictor by a fresh one with `classes` columns, background included.
pub fn reset_class_predictors(network: &mut Ssd<ConvWeights>, classes: usize, seed: u64) {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    for head in &mut network.heads {
        let mut spec = head.class_predictor.spec;
        spec.out_channels = head.anchors_per_cell * classes;
        head.class_predictor = initialise(&spec, &mut rng);
    }
    network.classes = classes;
}
