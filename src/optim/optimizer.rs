//! The optimizers, layer by layer: a layer's weight and bias move together, because centring couples them.

use super::centring::InputMean;
use super::state_vec::{StateVec, dither};
use crate::kernel::{self, AdamwParameter, AdamwStep, Isa, MovingAverage, SgdStep, adamw, sgd};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The optimizer, with its numbers. In a file a word (`"adamw"`, `"sgd"`) stands for the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum OptimizerKind {
    /// Loshchilov & Hutter 2019, decoupled weight decay.
    Adamw { beta1: f64, beta2: f64, epsilon: f64 },
    /// Momentum as PyTorch writes it; weight decay added to the gradient.
    Sgd { momentum: f64 },
}

impl OptimizerKind {
    pub fn adamw() -> Self {
        OptimizerKind::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    pub fn sgd() -> Self {
        OptimizerKind::Sgd { momentum: 0.9 }
    }

    /// # Errors
    /// A sentence naming the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let share = |key: &str, value: f64| match value {
            v if (0.0..1.0).contains(&v) => Ok(()),
            v => Err(format!("{key} = {v}, expected 0 or more and below 1")),
        };
        match *self {
            OptimizerKind::Sgd { momentum } => share("momentum", momentum),
            OptimizerKind::Adamw { beta1, beta2, epsilon } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                let usable = epsilon.is_finite() && epsilon > 0.0;
                if usable { Ok(()) } else { Err(format!("epsilon = {epsilon}, expected more than 0")) }
            }
        }
    }
}

/// Reads an optimizer that is written as a word or as a table of its numbers.
///
/// # Errors
/// If it is neither, or has an unknown word, or lacks a number.
pub fn word_or_table<'de, D: Deserializer<'de>>(from: D) -> Result<OptimizerKind, D::Error> {
    struct WordOrTable;

    impl<'de> Visitor<'de> for WordOrTable {
        type Value = OptimizerKind;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("\"adamw\", \"sgd\", or a table with `kind` and its numbers")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<OptimizerKind, E> {
            match word {
                "adamw" => Ok(OptimizerKind::adamw()),
                "sgd" => Ok(OptimizerKind::sgd()),
                _ => Err(E::unknown_variant(word, &["adamw", "sgd"])),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<OptimizerKind, A::Error> {
            OptimizerKind::deserialize(MapAccessDeserializer::new(table))
        }
    }

    from.deserialize_any(WordOrTable)
}

/// Learning rates and decay of one layer at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub weight: f64,
    pub bias: f64,
    /// Applied to the weight only, unless [`Rates::decay_bias`].
    pub decay: f64,
    pub decay_bias: bool,
}

/// The optimizer's memory of one parameter: first and second moment for AdamW, velocity (and nothing) for SGD.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub first: StateVec,
    pub second: StateVec,
}

/// The optimizer's memory of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSlots {
    /// Steps this layer took part in: bias correction starts when a held layer starts.
    pub steps: u64,
    /// Weight and bias.
    pub slots: [Slot; 2],
}

/// Optimizer state over all layers, by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    pub kind: OptimizerKind,
    /// True if moments are held in 16 bits.
    pub half: bool,
    pub layers: Vec<LayerSlots>,
}

/// One layer's part in a step.
#[derive(Debug)]
pub struct LayerUpdate<'a> {
    pub weight: &'a mut [f32],
    pub bias: &'a mut [f32],
    pub scale: &'a [f32],
    pub dw: &'a [f32],
    pub db: &'a [f32],
    pub depthwise: bool,
    /// Present where the layer's updates are centred; `dw` is centred already.
    pub mean: Option<&'a InputMean>,
    /// The averages of weight and bias.
    pub averages: Option<[MovingAverage<'a>; 2]>,
}

impl Optimizer {
    /// `sizes` gives the weight and bias length of each layer, 0 for one that is never trained; moments have 16 bits where
    /// `half`.
    pub fn new(kind: OptimizerKind, half: bool, sizes: impl IntoIterator<Item = [usize; 2]>) -> Self {
        let slot = |len| match kind {
            OptimizerKind::Adamw { .. } => {
                Slot { first: StateVec::zeros(len, half), second: StateVec::zeros(len, half) }
            }
            OptimizerKind::Sgd { .. } => Slot { first: StateVec::zeros(len, half), second: StateVec::zeros(0, half) },
        };
        let layer = |[w, b]: [usize; 2]| LayerSlots { steps: 0, slots: [slot(w), slot(b)] };
        Self { kind, half, layers: sizes.into_iter().map(layer).collect() }
    }
}

impl LayerSlots {
    /// Moves its layer; `gradient_scale` multiplies both gradients (normaliser and clipping).
    pub fn update(&mut self, kind: OptimizerKind, layer: LayerUpdate, rates: Rates, gradient_scale: f64) {
        let before = layer.mean.map(|m| m.response(layer.weight, layer.scale, layer.depthwise));
        let LayerSlots { steps, slots: [weight_slot, bias_slot] } = self;
        *steps += 1;
        let (step, dither) = (*steps, dither(*steps));
        let [weight_average, bias_average] = layer.averages.map_or([None, None], |averages| averages.map(Some));
        let apply =
            |slot: &mut Slot, w: &mut [f32], g: &[f32], lr: f64, decay: f64, average: Option<MovingAverage>| match kind
            {
                OptimizerKind::Adamw { beta1, beta2, epsilon } => {
                    let step = AdamwStep {
                        gradient_scale: gradient_scale as f32,
                        beta1: beta1 as f32,
                        beta2: beta2 as f32,
                        step_size: (lr / (1.0 - beta1.powf(step as f64))) as f32,
                        root_correction: (1.0 / (1.0 - beta2.powf(step as f64)).sqrt()) as f32,
                        epsilon: epsilon as f32,
                        keep: (1.0 - lr * decay) as f32,
                    };
                    let (m, v) = (slot.first.as_mut(), slot.second.as_mut());
                    adamw(Isa::best(), step, AdamwParameter { w, g, m, v, average }, dither);
                }
                OptimizerKind::Sgd { momentum } => {
                    let step = SgdStep {
                        gradient_scale: gradient_scale as f32,
                        momentum: momentum as f32,
                        lr: lr as f32,
                        weight_decay: decay as f32,
                    };
                    sgd(Isa::best(), step, w, g, slot.first.as_mut(), average, dither);
                }
            };
        apply(weight_slot, layer.weight, layer.dw, rates.weight, rates.decay, weight_average);
        // Where updates are centred the bias has not arrived after its own.
        let bias_before = bias_average.as_ref().map(|_| layer.bias.to_vec());
        apply(bias_slot, layer.bias, layer.db, rates.bias, if rates.decay_bias { rates.decay } else { 0.0 }, None);
        if let (Some(mean), Some(before)) = (layer.mean, before) {
            let after = mean.response(layer.weight, layer.scale, layer.depthwise);
            for ((b, after), before) in layer.bias.iter_mut().zip(after).zip(before) {
                *b -= after - before;
            }
        }
        if let (Some(average), Some(before)) = (bias_average, bias_before) {
            kernel::follow(Isa::best(), average, &before, layer.bias, dither);
        }
    }
}
