//! A part of a run whose other parts are trained by others: what boards do between two meetings.

use super::recipe::Recipe;
use crate::model::{ConvLayer, ConvWeights, LayerTraining, Ssd, Stage};
use crate::ops;

/// Some epochs of a run. The state's counters say where the part begins; schedule, order and augmentation go on from there.
#[derive(Debug)]
pub struct RunPart {
    /// Optimizer steps of the run that are done at the part's beginning.
    pub first_step: u64,
    /// Epochs of the run that are done at the part's end.
    pub until: u64,
    /// The part's end is judged on the validation photos. No other epoch is, and no detector is written.
    pub judged: bool,
    pub pull: Option<Pull>,
}

/// FedProx (Li et al. 2020, section 3.2): the loss gets `strength / 2` times the squared distance of the trained weights
/// from where the part began.
#[derive(Debug)]
pub struct Pull {
    strength: f32,
    /// Weight and bias by layer position; empty for layers that are never trained.
    start: Vec<[Vec<f32>; 2]>,
}

impl Pull {
    /// Towards the weights of `network`, with which the state of a run by `recipe` begins.
    pub fn new(strength: f64, network: &Ssd<ConvWeights>, recipe: &Recipe) -> Self {
        let start = |(stage, conv): (Stage, &ConvWeights)| match recipe.training(stage) {
            LayerTraining::Trained => [conv.weight.clone(), conv.bias.clone()],
            LayerTraining::Frozen => Default::default(),
        };
        Self { strength: strength as f32, start: network.convs().into_iter().map(start).collect() }
    }

    /// Adds the pull on the layer at `position` to gradients that are still to be divided by `normaliser`.
    pub(super) fn add(&self, position: usize, layer: &ConvLayer, [dw, db]: [&mut [f32]; 2], normaliser: f64) {
        let times = self.strength * normaliser as f32;
        let [weight, bias] = &self.start[position];
        let add = |gradient: &mut [f32], now: &[f32], start: &[f32]| {
            for ((g, now), start) in gradient.iter_mut().zip(now).zip(start) {
                *g += times * (now - start);
            }
        };
        ops::read(&layer.weight.val(), |now| add(dw, now, weight));
        ops::read(&layer.bias.val(), |now| add(db, now, bias));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use crate::train::state::TrainState;
    use rand::SeedableRng;

    #[test]
    fn the_pull_grows_with_the_distance_and_frozen_layers_have_none() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(6);
        let network = initialise_network(&ssdlite_mobilenet_v2(0.35, 3, true), &mut rng);
        let recipe = Recipe::default();
        let pull = Pull::new(0.5, &network, &recipe);
        let mut state = TrainState::new(&network, &recipe);
        for (i, layer) in state.model.layers.iter_mut().enumerate() {
            layer.update(|weight, bias, _| {
                weight.iter_mut().for_each(|w| *w += 1.0);
                bias.iter_mut().for_each(|b| *b -= 2.0);
            });
            let [mut dw, mut db] = layer.sizes().map(|len| vec![1.0; len]);
            pull.add(i, layer, [&mut dw, &mut db], 4.0);
            let [w, b] = if layer.is_trained() { [3.0, -3.0] } else { [1.0, 1.0] };
            assert!(dw.iter().all(|d| (d - w).abs() < 1e-4) && db.iter().all(|d| (d - b).abs() < 1e-4), "layer {i}");
        }
        assert!(state.model.layers.iter().any(|layer| !layer.is_trained()));
    }
}
