//! The forward pass of the detector.

use super::layer::{ConvLayer, Training};
use super::ssd::{Block, Extra, Head, Ssd, Stage};
use super::weights::ConvWeights;
use burn::tensor::Tensor;

/// The detector as it runs.
pub type SsdModel = Ssd<ConvLayer>;

/// What the heads say about every anchor, raw.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `[N, A, K]`, column 0 the background.
    pub logits: Tensor<3>,
    /// `[N, A, 4]`: ty, tx, th, tw in the box coder's units.
    pub deltas: Tensor<3>,
}

impl Ssd<ConvWeights> {
    /// The network that runs, each layer trained or not as `training` says for its stage.
    pub fn to_model(&self, training: impl Fn(Stage) -> Training) -> SsdModel {
        self.map(|stage, weights| ConvLayer::new(weights, training(stage)))
    }

    /// The network that only looks: nothing is trained.
    pub fn to_inference(&self) -> SsdModel {
        self.to_model(|_| Training::Frozen)
    }
}

impl Block<ConvLayer> {
    /// Block output, and the expansion where there is one (the tap of feature map 0).
    fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Option<Tensor<4>>) {
        let expanded = self.expand.as_ref().map(|layer| layer.forward(x.clone()));
        let inner = self.depthwise.forward(expanded.clone().unwrap_or_else(|| x.clone()));
        let out = if self.residual { self.project.forward_residual(inner, x) } else { self.project.forward(inner) };
        (out, expanded)
    }
}

impl Extra<ConvLayer> {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.expand.forward(self.depthwise.forward(self.reduce.forward(x)))
    }
}

impl Head<ConvLayer> {
    /// `(logits [N, cells·a, K], deltas [N, cells·a, 4])` of one feature map.
    fn forward(&self, map: Tensor<4>, classes: usize) -> (Tensor<3>, Tensor<3>) {
        let [n, h, w, _] = map.dims();
        let anchors = h * w * self.anchors_per_cell;
        let branch = |depthwise: &Option<ConvLayer>, predictor: &ConvLayer| match depthwise {
            Some(layer) => predictor.forward(layer.forward(map.clone())),
            None => predictor.forward(map.clone()),
        };
        let logits = branch(&self.class_depthwise, &self.class_predictor).reshape([n, anchors, classes]);
        let deltas = branch(&self.box_depthwise, &self.box_predictor).reshape([n, anchors, 4]);
        (logits, deltas)
    }
}

impl Ssd<ConvLayer> {
    /// `images` `[N,S,S,3]`, each value in [-1, 1].
    pub fn forward(&self, images: Tensor<4>) -> Predictions {
        let maps = self.feature_maps(images);
        let (logits, deltas) = self
            .heads
            .iter()
            .zip(maps)
            .map(|(head, map)| head.forward(map, self.classes))
            .unzip::<_, _, Vec<_>, Vec<_>>();
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }

    /// The maps that the heads read, largest first, each `[N,H,W,C]` after its activation.
    pub fn feature_maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = self.stem.forward(images);
        let mut maps = Vec::with_capacity(self.heads.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let (out, expanded) = block.forward(x);
            if i == self.tap {
                maps.push(expanded.expect("the tapped block has an expansion"));
            }
            x = out;
        }
        x = self.last.forward(x);
        maps.push(x.clone());
        for extra in &self.extras {
            x = extra.forward(x);
            maps.push(x.clone());
        }
        maps
    }
}
