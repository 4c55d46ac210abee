//! The optimizer step at the end of a window: centring, gradient clipping, update, moving average.

use super::window::Window;
use crate::kernel::{MovingAverage, awake, squared_sum};
use crate::model::{ConvKind, ConvLayer};
use crate::ops::LayerGradients;
use crate::optim::{LayerSlots, LayerUpdate, Rates, Schedule, StateVec};
use crate::train::part::Pull;
use crate::train::recipe::Recipe;
use crate::train::state::TrainState;
use crate::train::watch::layer_norms::LayerNorms;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Size of a weight that no training comes to: a bit of its exponent has flipped in memory.
const ABSURD: f32 = 1e6;

/// Steps in which every layer is looked at once for absurd weights, which stay until they are seen.
const LOOKED_AT_IN: u64 = 8;

/// No layer.
const NONE: usize = usize::MAX;

/// The figures of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Class loss of the window over its positives.
    pub class: f64,
    /// Box loss of the window over its positives.
    pub boxes: f64,
    pub positives: usize,
    pub images: usize,
    /// Norm of the normalised gradient before clipping.
    pub grad_norm: f64,
    /// Base learning rate.
    pub lr: f64,
}

/// The company of a step: who sees it, and what pulls the weights back.
#[derive(Debug, Default)]
pub struct StepExtras<'a> {
    /// Sees gradients and moves.
    pub look: Option<&'a mut LayerNorms>,
    pub pull: Option<&'a Pull>,
}

/// Takes one step from the window's gradients, which are worked on in place. The state's step counter moves on.
pub fn apply(state: &mut TrainState, window: &mut Window, recipe: &Recipe, schedule: &Schedule) -> StepStats {
    apply_seen(state, window, recipe, schedule, StepExtras::default())
}

/// As [`apply`], with its extras. A non-finite gradient skips the update; the step counter still advances.
pub fn apply_seen(
    state: &mut TrainState,
    window: &mut Window,
    recipe: &Recipe,
    schedule: &Schedule,
    extras: StepExtras,
) -> StepStats {
    awake(|| step(state, window, recipe, schedule, extras))
}

fn step(
    state: &mut TrainState,
    window: &mut Window,
    recipe: &Recipe,
    schedule: &Schedule,
    extras: StepExtras,
) -> StepStats {
    let StepExtras { mut look, pull } = extras;
    let step = state.progress.step;
    let normaliser = window.normaliser();
    let (class, boxes) = (window.class / normaliser, window.boxes / normaliser);
    if recipe.centred {
        state.means.iter_mut().zip(&window.inputs).for_each(|(mean, seen)| mean.follow(seen));
    }
    let squares = squares(state, window, recipe.centred, pull);
    if let Some(look) = &mut look {
        squares.iter().enumerate().for_each(|(i, square)| look.gradient(i, *square));
    }
    let square: f64 = squares.iter().sum();
    let grad_norm = square.sqrt() / normaliser;
    let (positives, images, lr) = (window.positives, window.images, recipe.lr * schedule.factor(step));
    let mut stats = StepStats { class, boxes, positives, images, grad_norm, lr };
    if !(grad_norm.is_finite() && (class + boxes).is_finite()) {
        state.progress.step += 1;
        return stats;
    }
    let clip = if recipe.clip > 0.0 && grad_norm > recipe.clip { recipe.clip / grad_norm } else { 1.0 };
    if let Some(struck) = move_layers(state, window, recipe, schedule, clip / normaliser, look) {
        log::warn!("a weight of layer {struck} is beyond {ABSURD:e} or no number: a bit may have flipped in memory");
        // Such a step counts as one that came to infinity: the run goes back to the last good weights, or ends resumably.
        stats.grad_norm = f64::INFINITY;
    }
    state.progress.step += 1;
    stats
}

/// Moves every layer by its gradient times `scale`, in parallel where nobody looks. Returns a layer with an absurd
/// weight, if this step found one.
fn move_layers(
    state: &mut TrainState,
    window: &Window,
    recipe: &Recipe,
    schedule: &Schedule,
    scale: f64,
    look: Option<&mut LayerNorms>,
) -> Option<usize> {
    let step = state.progress.step;
    let TrainState { model, optimizer, ema, means, .. } = state;
    let kind = optimizer.kind;
    let rates: Vec<Rates> =
        (0..means.len()).map(|i| recipe.rates(model.stage(i), model.layers[i].origin(), schedule, step)).collect();
    let keep = ema.as_ref().map_or(0.0, |ema| ema.keep(step)) as f32;
    let mut lags: Vec<&mut [StateVec]> = ema.as_mut().map_or(Vec::new(), |e| e.lags.chunks_mut(2).collect());
    lags.resize_with(means.len(), Default::default);
    let struck = AtomicUsize::new(NONE);
    let move_layer = |i: usize,
                      layer: &mut ConvLayer,
                      slots: &mut LayerSlots,
                      lags: &mut [StateVec],
                      mut look: Option<&mut LayerNorms>| {
        let Some(sums) = window.gradients.get(i) else { return };
        let depthwise = layer.spec().kind == ConvKind::Depthwise;
        let mean = recipe.centred.then_some(&means[i]);
        layer.update(|weight, bias, layer_scale| {
            look.iter_mut().for_each(|look| look.before(weight));
            let (dw, db) = (&sums.dw[..], &sums.db[..]);
            let averages = match lags {
                [weight, bias] => Some([weight, bias].map(|lag| MovingAverage { lag: lag.as_mut(), keep })),
                _ => None,
            };
            let weight_now = &mut *weight;
            let parts = LayerUpdate { weight: weight_now, bias, scale: layer_scale, dw, db, depthwise, mean, averages };
            slots.update(kind, parts, rates[i], scale);
            if (step + i as u64).is_multiple_of(LOOKED_AT_IN) && is_absurd(weight) {
                struck.store(i, Ordering::Relaxed);
            }
            look.iter_mut().for_each(|look| look.after(i, weight));
        });
    };
    match look {
        // One look at all layers, one after the other.
        Some(look) => {
            let layers = model.layers.iter_mut().zip(&mut optimizer.layers).zip(lags).enumerate();
            layers.for_each(|(i, ((layer, slots), lags))| move_layer(i, layer, slots, lags, Some(look)));
        }
        None => model
            .layers
            .par_iter_mut()
            .zip(&mut optimizer.layers)
            .zip(lags)
            .enumerate()
            .for_each(|(i, ((layer, slots), lags))| move_layer(i, layer, slots, lags, None)),
    }
    Some(struck.into_inner()).filter(|layer| *layer != NONE)
}

/// True if a weight is absurd; NaN is.
fn is_absurd(weights: &[f32]) -> bool {
    // Sizes of floats are in the order of their bits, NaN last. The largest of integers is found in vectors.
    weights.iter().fold(0, |most, weight| most.max(weight.to_bits() & 0x7FFF_FFFF)) >= ABSURD.to_bits()
}

/// Takes each layer's mean input out of its weight gradient, if `centred`, adds the pull, and tells the square of what
/// is left; 0 for a layer that does not learn.
fn squares(state: &TrainState, window: &Window, centred: bool, pull: Option<&Pull>) -> Vec<f64> {
    let of_layer = |(i, layer): (usize, &ConvLayer)| {
        let Some(mut sums) = window.gradients.get(i) else { return 0.0 };
        let LayerGradients { dw, db, .. } = &mut *sums;
        if centred {
            let depthwise = layer.spec().kind == ConvKind::Depthwise;
            layer.with_scale(|scale| state.means[i].centre(dw, db, scale, depthwise));
        }
        if let Some(pull) = pull {
            // The pull is on the weights as they are: no image has a part in it that could be centred.
            pull.add(i, layer, [dw, db], window.normaliser());
        }
        squared_sum(dw) + squared_sum(db)
    };
    state.model.layers.par_iter().enumerate().map(of_layer).collect()
}
