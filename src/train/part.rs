//! A part of a run whose other parts are trained by others: what boards do between two meetings.

use super::recipe::Recipe;
use crate::model::{ConvLayer, ConvWeights, Ssd, Stage, Training};
use crate::ops;

/// Some epochs of a run. The state's counters say where the part begins; schedule, order and augmentation go on from there.
#[derive(Debug)]
pub struct Part {
    /// Epochs of the run that are done at the part's end.
    pub until: u64,
    /// Whether the part's end is judged on the validation photos. No other epoch is, and no detector is written.
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
            Training::Trained => [conv.weight.clone(), conv.bias.clone()],
            Training::Frozen => Default::default(),
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
