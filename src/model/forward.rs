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
        let mut index = 0;
        self.map(|stage, weights| {
            let layer = ConvLayer::new(weights, training(stage), index);
            index += 1;
            layer
        })
    }

    /// The network that only looks: nothing is trained.
    pub fn to_inference(&self) -> SsdModel {
        self.to_model(|_| Training::Frozen)
    }
}

/// Sees the input of every layer on its way through the network.
pub type Observer<'a> = &'a mut dyn FnMut(&ConvLayer, &Tensor<4>);

impl ConvLayer {
    fn observed(&self, x: Tensor<4>, observe: Observer) -> Tensor<4> {
        observe(self, &x);
        self.forward(x)
    }
}

impl Block<ConvLayer> {
    /// Block output, and the expansion where there is one (the tap of feature map 0).
    fn forward(&self, x: Tensor<4>, observe: Observer) -> (Tensor<4>, Option<Tensor<4>>) {
        let expanded = self.expand.as_ref().map(|layer| layer.observed(x.clone(), observe));
        let inner = self.depthwise.observed(expanded.clone().unwrap_or_else(|| x.clone()), observe);
        observe(&self.project, &inner);
        let out = if self.residual { self.project.forward_residual(inner, x) } else { self.project.forward(inner) };
        (out, expanded)
    }
}

impl Extra<ConvLayer> {
    fn forward(&self, x: Tensor<4>, observe: Observer) -> Tensor<4> {
        let x = self.reduce.observed(x, observe);
        let x = self.depthwise.observed(x, observe);
        self.expand.observed(x, observe)
    }
}

impl Head<ConvLayer> {
    /// `(logits [N, cells·a, K], deltas [N, cells·a, 4])` of one feature map.
    fn forward(&self, map: Tensor<4>, classes: usize, observe: Observer) -> (Tensor<3>, Tensor<3>) {
        let [n, h, w, _] = map.dims();
        let anchors = h * w * self.anchors_per_cell;
        let mut branch = |depthwise: &Option<ConvLayer>, predictor: &ConvLayer| {
            let x = match depthwise {
                Some(layer) => layer.observed(map.clone(), observe),
                None => map.clone(),
            };
            predictor.observed(x, observe)
        };
        let deltas = branch(&self.box_depthwise, &self.box_predictor).reshape([n, anchors, 4]);
        let logits = branch(&self.class_depthwise, &self.class_predictor).reshape([n, anchors, classes]);
        (logits, deltas)
    }
}

impl Ssd<ConvLayer> {
    /// `images` `[N,S,S,3]`, each value in [-1, 1].
    pub fn forward(&self, images: Tensor<4>) -> Predictions {
        self.forward_observed(images, &mut |_, _| {})
    }

    /// As [`Ssd::forward`], and `observe` sees the input of every layer.
    pub fn forward_observed(&self, images: Tensor<4>, observe: Observer) -> Predictions {
        let maps = self.feature_maps(images, observe);
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for (head, map) in self.heads.iter().zip(maps) {
            let (l, d) = head.forward(map, self.classes, observe);
            logits.push(l);
            deltas.push(d);
        }
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }

    /// The maps that the heads read, largest first, each `[N,H,W,C]` after its activation.
    fn feature_maps(&self, images: Tensor<4>, observe: Observer) -> Vec<Tensor<4>> {
        let mut x = self.stem.observed(images, observe);
        let mut maps = Vec::with_capacity(self.heads.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let (out, expanded) = block.forward(x, observe);
            if i == self.tap {
                maps.push(expanded.expect("the tapped block has an expansion"));
            }
            x = out;
        }
        x = self.last.observed(x, observe);
        maps.push(x.clone());
        for extra in &self.extras {
            x = extra.forward(x, observe);
            maps.push(x.clone());
        }
        maps
    }
}
