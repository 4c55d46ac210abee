//! Forward pass, loss and backward pass of one micro-batch.

use super::window::Window;
use crate::boxes::InputSize;
use crate::kernel::{ChannelSums, awake};
use crate::loss::{ImageGradients, ImageLoss, SsdLoss, Targets};
use crate::model::{Predictions, SsdModel};
use crate::ops;
use burn::tensor::Tensor;

/// Images with what the anchors should say about them.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// `[N, H, W, 3]`.
    pub images: Vec<f32>,
    pub size: InputSize,
    /// `[N]`.
    pub targets: Vec<Targets>,
}

/// The observations that a micro-batch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    Nothing,
    /// The sums of every layer's input.
    Inputs,
}

/// The loss of every image of a micro-batch.
pub type StepLoss = Vec<ImageLoss>;

/// Runs a micro-batch through the network and back, and adds what it yields to the window.
pub fn micro_step(
    model: &SsdModel,
    loss: &SsdLoss,
    batch: TrainBatch,
    window: &mut Window,
    observe: Observe,
) -> StepLoss {
    awake(|| Predicted::new(model, batch, window, observe).judge(loss).back(window))
}

/// A micro-batch that went through the network.
pub struct Predicted {
    predictions: Predictions,
    targets: Vec<Targets>,
}

/// A micro-batch whose predictions were judged.
pub struct Scored {
    /// The gradients that the backward pass starts from.
    start: Tensor<1>,
    losses: StepLoss,
}

impl Predicted {
    /// The forward pass. Backward passes will add to the window's gradients.
    pub fn new(model: &SsdModel, batch: TrainBatch, window: &mut Window, observe: Observe) -> Self {
        let TrainBatch { images, size, targets } = batch;
        window.prepare(model);
        let seen = match observe {
            Observe::Nothing => None,
            Observe::Inputs => {
                window.inputs.resize(model.layers.len(), ChannelSums::default());
                Some(window.inputs.as_mut_slice())
            }
        };
        let images = ops::tensor(images, [targets.len(), size.height, size.width, 3]);
        Self { predictions: model.forward_training(images, &window.gradients, seen), targets }
    }

    /// The loss and its gradient, computed on plain slices. The backward pass starts from the inner product of the
    /// predictions with that gradient, whose derivative is just it.
    pub fn judge(self, loss: &SsdLoss) -> Scored {
        let Self { predictions, targets } = self;
        let [n, anchors, columns] = predictions.logits.dims();
        let (mut dlogits, mut ddeltas) = (vec![0.0; n * anchors * columns], vec![0.0; n * anchors * 4]);
        let losses: StepLoss = ops::read(&predictions.logits, |logits| {
            ops::read(&predictions.deltas, |deltas| {
                let images = logits.chunks_exact(anchors * columns).zip(deltas.chunks_exact(anchors * 4));
                let gradients = dlogits.chunks_exact_mut(anchors * columns).zip(ddeltas.chunks_exact_mut(anchors * 4));
                images
                    .zip(gradients)
                    .zip(&targets)
                    .map(|(((l, b), (dl, db)), t)| loss.image(l, b, t, ImageGradients { logits: dl, deltas: db }))
                    .collect()
            })
        });
        let product = |outputs: Tensor<3>, gradient: Vec<f32>| {
            let gradient = ops::tensor(gradient, outputs.dims());
            let [outputs, gradient] = ops::alike([outputs, gradient]);
            (outputs * gradient).sum()
        };
        let parts = [product(predictions.logits, dlogits), product(predictions.deltas, ddeltas)];
        let [logits, deltas] = ops::alike(parts);
        Scored { start: logits + deltas, losses }
    }
}

impl Scored {
    /// The backward pass. The window takes the losses, too.
    pub fn back(self, window: &mut Window) -> StepLoss {
        let Self { start, losses } = self;
        start.backward();
        window.images += losses.len();
        for image in &losses {
            window.positives += image.positives;
            window.class += image.class;
            window.boxes += image.boxes;
        }
        losses
    }
}
