//! Per-layer norms of one optimizer step: gradient, weights and update of every layer, with the share of dead and
//! saturated channels. Taken every few steps, so that they cost next to nothing on the whole.

use crate::kernel::{ChannelSums, squared_sums};
use crate::model::{Activation, Origin, SsdModel, Stage};
use crate::watchdog::{StageFacts, StageKind, StageSignals};

/// Mean from which a channel behind ReLU6 counts as saturated.
const FULL: f64 = 5.9;

/// Squared norms by layer position.
#[derive(Clone, Debug, Default)]
pub struct LayerNorms {
    gradients: Vec<f64>,
    weights: Vec<f64>,
    moves: Vec<f64>,
    before: Vec<f32>,
}

impl LayerNorms {
    pub fn new(layers: usize) -> Self {
        let zeros = || vec![0.0; layers];
        Self { gradients: zeros(), weights: zeros(), moves: zeros(), before: Vec::new() }
    }

    /// Takes the square of a layer's summed gradient.
    pub fn gradient(&mut self, position: usize, square: f64) {
        self.gradients[position] = square;
    }

    /// Remembers weights that are about to move.
    pub fn before(&mut self, weight: &[f32]) {
        self.before.clear();
        self.before.extend_from_slice(weight);
    }

    /// Takes the weights that were remembered, moved.
    pub fn after(&mut self, position: usize, weight: &[f32]) {
        [self.weights[position], self.moves[position]] = squared_sums(&self.before, weight);
    }
}

/// The stages that are watched, in the order of the forward pass.
pub struct LayerStages {
    /// Stage of each layer position.
    of_layer: Vec<usize>,
    /// Stage whose output behind a ReLU6 is the input of the layer at this position, where there is one.
    sources: Vec<Option<usize>>,
    pub facts: Vec<StageFacts>,
}

fn describe(stage: Stage) -> (String, StageKind) {
    match stage {
        Stage::Stem => ("the stem".into(), StageKind::Backbone),
        Stage::Block(i) => (format!("block {i}"), StageKind::Backbone),
        Stage::Last => ("the last backbone layer".into(), StageKind::Backbone),
        Stage::Extra(i) => (format!("extra {i}"), StageKind::Extra),
        Stage::BoxHead(i) => (format!("the box head of map {i}"), StageKind::BoxHead),
        Stage::ClassHead(i) => (format!("the class head of map {i}"), StageKind::ClassHead),
    }
}

impl LayerStages {
    pub fn of(model: &SsdModel) -> Self {
        let mut known: Vec<Stage> = Vec::new();
        let mut facts: Vec<StageFacts> = Vec::new();
        let of_layer: Vec<usize> = (0..model.layers.len())
            .map(|position| {
                let stage = model.stage(position);
                let at = known.iter().position(|s| *s == stage).unwrap_or_else(|| {
                    let (name, kind) = describe(stage);
                    known.push(stage);
                    facts.push(StageFacts { name, kind, trained: false, fresh_predictor: false });
                    known.len() - 1
                });
                facts[at].trained |= model.layers[position].is_trained();
                at
            })
            .collect();
        for (stage, facts) in facts.iter_mut().enumerate() {
            let mut own = of_layer.iter().zip(&model.layers).filter(|(s, _)| **s == stage).map(|(_, layer)| layer);
            let is_head = matches!(facts.kind, StageKind::BoxHead | StageKind::ClassHead);
            let alone = own.next().filter(|_| is_head && own.next().is_none());
            facts.fresh_predictor = alone.is_some_and(|layer| layer.origin() == Origin::Fresh);
        }
        let mut sources = vec![None; of_layer.len()];
        for position in 1..of_layer.len() {
            // In walk order a layer reads the one before it, but for the first layers of the heads, which read a map.
            let reads_map = matches!(model.stage(position), Stage::BoxHead(_) | Stage::ClassHead(_))
                && of_layer[position] != of_layer[position - 1];
            let bounded = model.layers[position - 1].spec().activation == Activation::Relu6;
            sources[position] = (!reads_map && bounded).then_some(of_layer[position - 1]);
        }
        Self { of_layer, sources, facts }
    }

    /// Stage of each layer position.
    pub fn into_layers(self) -> Vec<usize> {
        self.of_layer
    }

    /// The stages as a look and the inputs of the same step show them.
    pub fn signals(&self, look: &LayerNorms, inputs: &[ChannelSums], normaliser: f64) -> Vec<StageSignals> {
        let mut squares = vec![[0f64; 3]; self.facts.len()];
        for (position, &stage) in self.of_layer.iter().enumerate() {
            let [gradient, weight, moved] = &mut squares[stage];
            *gradient += look.gradients[position];
            *weight += look.weights[position];
            *moved += look.moves[position];
        }
        let mut signals: Vec<StageSignals> = squares
            .iter()
            .map(|&[gradient, weight, moved]| StageSignals {
                grad_norm: (gradient.sqrt() / normaliser) as f32,
                weight_norm: weight.sqrt() as f32,
                update_ratio: if weight > 0.0 { (moved / weight).sqrt() as f32 } else { 0.0 },
                ..StageSignals::default()
            })
            .collect();
        for (seen, source) in inputs.iter().zip(&self.sources) {
            let Some(stage) = *source else { continue };
            if seen.sums.is_empty() || seen.rows == 0 {
                continue;
            }
            let channels = seen.sums.len() as f32;
            let dead = seen.sums.iter().filter(|s| **s == 0.0).count() as f32 / channels;
            let full = seen.sums.iter().filter(|s| **s >= FULL * seen.rows as f64).count() as f32 / channels;
            signals[stage].dead = signals[stage].dead.max(dead);
            signals[stage].saturated = signals[stage].saturated.max(full);
        }
        signals
    }
}
