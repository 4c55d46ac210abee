//! The optimizer step at the end of a window: centre, clip, move, average.

use super::look::Look;
use super::recipe::Recipe;
use super::state::TrainState;
use super::window::{LayerGradients, Window};
use crate::kernel::squared_sum;
use crate::model::ConvKind;
use crate::ops;
use crate::optim::{LayerUpdate, Schedule};

/// What one optimizer step looked like.
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

/// Takes one step from the window's gradients. The state's step counter moves on.
pub fn apply(state: &mut TrainState, window: Window, recipe: &Recipe, schedule: &Schedule) -> StepStats {
    apply_seen(state, window, recipe, schedule, None)
}

/// As [`apply`], and `look` sees gradients and moves. A gradient that is no number moves nothing.
pub fn apply_seen(
    state: &mut TrainState,
    window: Window,
    recipe: &Recipe,
    schedule: &Schedule,
    mut look: Option<&mut Look>,
) -> StepStats {
    let step = state.progress.step;
    let normaliser = window.normaliser();
    let (class, boxes) = (window.class / normaliser, window.boxes / normaliser);
    let (positives, images) = (window.positives, window.images);
    let mut gradients = window.gradients;
    if recipe.centred {
        state.means.iter_mut().zip(&window.inputs).for_each(|(mean, seen)| mean.follow(seen));
        centre(state, &mut gradients);
    }
    let mut square = 0.0;
    for (i, g) in gradients.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?))) {
        let of_layer = ops::read(&g.dw, squared_sum) + ops::read(&g.db, squared_sum);
        look.iter_mut().for_each(|look| look.gradient(i, of_layer));
        square += of_layer;
    }
    let grad_norm = square.sqrt() / normaliser;
    if !(grad_norm.is_finite() && (class + boxes).is_finite()) {
        state.progress.step += 1;
        return StepStats { class, boxes, positives, images, grad_norm, lr: recipe.lr * schedule.factor(step) };
    }
    let clip = if recipe.clip > 0.0 && grad_norm > recipe.clip { recipe.clip / grad_norm } else { 1.0 };
    let TrainState { model, optimizer, ema, means, .. } = state;
    for (i, gradient) in gradients.into_iter().enumerate() {
        let Some(LayerGradients { dw, db }) = gradient else { continue };
        let rates = recipe.rates(model.stage(i), schedule, step);
        let layer = &mut model.layers[i];
        let depthwise = layer.spec().kind == ConvKind::Depthwise;
        let mean = recipe.centred.then_some(&means[i]);
        layer.update(|weight, bias, scale| {
            look.iter_mut().for_each(|look| look.before(weight));
            ops::read(&dw, |dw| {
                ops::read(&db, |db| {
                    let (weight, bias) = (&mut *weight, &mut *bias);
                    let layer = LayerUpdate { weight, bias, scale, dw, db, depthwise, mean };
                    optimizer.update(i, layer, rates, clip / normaliser);
                });
            });
            look.iter_mut().for_each(|look| look.after(i, weight));
            if let Some(ema) = ema.as_mut() {
                ema.update(2 * i, weight, step);
                ema.update(2 * i + 1, bias, step);
            }
        });
    }
    state.progress.step += 1;
    StepStats { class, boxes, positives, images, grad_norm, lr: recipe.lr * schedule.factor(step) }
}

/// Takes each layer's mean input out of its weight gradient.
fn centre(state: &TrainState, gradients: &mut [Option<LayerGradients>]) {
    for (i, slot) in gradients.iter_mut().enumerate() {
        let Some(LayerGradients { dw, db }) = slot.take() else { continue };
        let weights = &state.model.layers[i];
        let depthwise = weights.spec().kind == ConvKind::Depthwise;
        let dw = ops::update(dw, |dw| {
            ops::read(&db, |db| weights.with_scale(|scale| state.means[i].centre(dw, db, scale, depthwise)));
        });
        *slot = Some(LayerGradients { dw, db });
    }
}
