//! The accumulation window: gradients and positive anchors of some micro-batches, **summed**, divided once.
//!
//! SSD's loss is normalised by matched anchors. Averaging micro-batches that were normalised one by one optimises
//! another objective; summing first makes 4 x 2 equal to 1 x 8 up to rounding.

use crate::model::SsdModel;
use crate::ops;
use crate::optim::InputSum;
use burn::tensor::{Gradients, Tensor};

/// Gradient sums of one trained layer.
#[derive(Clone, Debug)]
pub struct LayerGradients {
    pub dw: Tensor<2>,
    pub db: Tensor<1>,
}

/// What one optimizer step is made from.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// By layer position; `None` for frozen layers and before the first micro-batch.
    pub gradients: Vec<Option<LayerGradients>>,
    /// Inputs by layer position, where this window observed them.
    pub inputs: Vec<InputSum>,
    pub images: usize,
    /// Matched anchors.
    pub positives: usize,
    /// Class loss, summed over images.
    pub class: f64,
    /// Box loss, summed over images.
    pub boxes: f64,
}

impl Window {
    /// What the sums are divided by.
    pub fn normaliser(&self) -> f64 {
        self.positives.max(1) as f64
    }

    /// Takes in the gradients of one backward pass.
    pub fn add(&mut self, model: &SsdModel, gradients: &Gradients) {
        self.gradients.resize_with(model.layers.len(), || None);
        for (sum, layer) in self.gradients.iter_mut().zip(&model.layers) {
            let fresh = (layer.weight.val().grad(gradients), layer.bias.val().grad(gradients));
            if let (Some(dw), Some(db)) = fresh {
                *sum = Some(match sum.take() {
                    None => LayerGradients { dw, db },
                    Some(old) => LayerGradients { dw: added(old.dw, &dw), db: added(old.db, &db) },
                });
            }
        }
    }
}

/// `sum + term`, in place.
fn added<const D: usize>(sum: Tensor<D>, term: &Tensor<D>) -> Tensor<D> {
    ops::update(sum, |sum| {
        ops::read(term, |term| {
            for (s, t) in sum.iter_mut().zip(term) {
                *s += t;
            }
        });
    })
}
