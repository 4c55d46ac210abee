//! One micro-batch, forward and backward.

use super::window::Window;
use crate::kernel::{ChannelSums, awake};
use crate::loss::{ImageGradients, ImageLoss, SsdLoss, Targets};
use crate::model::SsdModel;
use crate::ops;
use burn::tensor::Tensor;

/// Images with what the anchors should say about them.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// `[N, S, S, 3]`.
    pub images: Vec<f32>,
    /// Input size S in pixels.
    pub size: usize,
    /// `[N]`.
    pub targets: Vec<Targets>,
}

/// What else a micro-batch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    Nothing,
    /// The sums of every layer's input.
    Inputs,
}

/// The loss of every image of a micro-batch.
pub type StepLoss = Vec<ImageLoss>;

/// Runs a micro-batch through the network and back, and adds what it yields to the window.
///
/// The loss and its gradient are computed on plain slices; the backward pass is started from the inner product of the
/// predictions with that gradient, whose derivative is just it.
pub fn micro_step(
    model: &SsdModel,
    loss: &SsdLoss,
    batch: TrainBatch,
    window: &mut Window,
    observe: Observe,
) -> StepLoss {
    awake(|| forth_and_back(model, loss, batch, window, observe))
}

fn forth_and_back(
    model: &SsdModel,
    loss: &SsdLoss,
    batch: TrainBatch,
    window: &mut Window,
    observe: Observe,
) -> StepLoss {
    let (n, size) = (batch.targets.len(), batch.size);
    window.prepare(model);
    let seen = match observe {
        Observe::Nothing => None,
        Observe::Inputs => {
            window.inputs.resize(model.layers.len(), ChannelSums::default());
            Some(window.inputs.as_mut_slice())
        }
    };
    let images = ops::tensor(batch.images, [n, size, size, 3]);
    let predictions = model.forward_training(images, &window.gradients, seen);
    let [_, anchors, columns] = predictions.logits.dims();
    let (mut dlogits, mut ddeltas) = (vec![0.0; n * anchors * columns], vec![0.0; n * anchors * 4]);
    let losses: StepLoss = ops::read(&predictions.logits, |logits| {
        ops::read(&predictions.deltas, |deltas| {
            let images = logits.chunks_exact(anchors * columns).zip(deltas.chunks_exact(anchors * 4));
            let gradients = dlogits.chunks_exact_mut(anchors * columns).zip(ddeltas.chunks_exact_mut(anchors * 4));
            images
                .zip(gradients)
                .zip(&batch.targets)
                .map(|(((l, b), (dl, db)), t)| loss.image(l, b, t, ImageGradients { logits: dl, deltas: db }))
                .collect()
        })
    });
    let start = |outputs: Tensor<3>, gradient: Vec<f32>| {
        let gradient = ops::tensor(gradient, outputs.dims());
        let [outputs, gradient] = ops::alike([outputs, gradient]);
        (outputs * gradient).sum()
    };
    let [logits, deltas] = ops::alike([start(predictions.logits, dlogits), start(predictions.deltas, ddeltas)]);
    (logits + deltas).backward();
    window.images += n;
    for image in &losses {
        window.positives += image.positives;
        window.class += image.class;
        window.boxes += image.boxes;
    }
    losses
}
