//! The optimizer step at the end of a window: centre, clip, move, average.

use super::recipe::Recipe;
use super::state::TrainState;
use super::window::Window;
use crate::kernel::squared_sum;
use crate::model::ConvKind;
use crate::ops::LayerGradients;
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

/// Takes one step from the window's gradients, which are worked on in place. The state's step counter moves on.
pub fn apply(state: &mut TrainState, window: &mut Window, recipe: &Recipe, schedule: &Schedule) -> StepStats {
    let step = state.progress.step;
    let normaliser = window.normaliser();
    let (class, boxes) = (window.class / normaliser, window.boxes / normaliser);
    if recipe.centred {
        state.means.iter_mut().zip(&window.inputs).for_each(|(mean, seen)| mean.follow(seen));
        centre(state, window);
    }
    let layers = state.model.layers.len();
    let square: f64 = (0..layers)
        .filter_map(|i| window.gradients.get(i))
        .map(|sums| squared_sum(&sums.dw) + squared_sum(&sums.db))
        .sum();
    let grad_norm = square.sqrt() / normaliser;
    let clip = if recipe.clip > 0.0 && grad_norm > recipe.clip { recipe.clip / grad_norm } else { 1.0 };
    let TrainState { model, optimizer, ema, means, .. } = state;
    for (i, mean) in means.iter().enumerate() {
        let Some(sums) = window.gradients.get(i) else { continue };
        let rates = recipe.rates(model.stage(i), schedule, step);
        let layer = &mut model.layers[i];
        let depthwise = layer.spec().kind == ConvKind::Depthwise;
        let mean = recipe.centred.then_some(mean);
        layer.update(|weight, bias, scale| {
            let parts = LayerUpdate {
                weight: &mut *weight,
                bias: &mut *bias,
                scale,
                dw: &sums.dw,
                db: &sums.db,
                depthwise,
                mean,
            };
            optimizer.update(i, parts, rates, clip / normaliser);
            if let Some(ema) = ema.as_mut() {
                ema.update(2 * i, weight, step);
                ema.update(2 * i + 1, bias, step);
            }
        });
    }
    state.progress.step += 1;
    let (positives, images) = (window.positives, window.images);
    StepStats { class, boxes, positives, images, grad_norm, lr: recipe.lr * schedule.factor(step) }
}

/// Takes each layer's mean input out of its weight gradient.
fn centre(state: &TrainState, window: &Window) {
    for (i, layer) in state.model.layers.iter().enumerate() {
        let Some(mut sums) = window.gradients.get(i) else { continue };
        let LayerGradients { dw, db } = &mut *sums;
        let depthwise = layer.spec().kind == ConvKind::Depthwise;
        layer.with_scale(|scale| state.means[i].centre(dw, db, scale, depthwise));
    }
}
