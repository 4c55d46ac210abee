//! The detector as it runs.

use super::layer::{ConvLayer, Training};
use super::ssd::{Block, Extra, Head, Ssd, Stage};
use super::weights::{ConvSpec, ConvWeights};
use burn::module::Module;
use burn::tensor::Tensor;

/// The layers in walk order, and the tree that says how they hang together.
#[derive(Module, Debug)]
pub struct SsdModel {
    pub layers: Vec<ConvLayer>,
    #[module(skip)]
    tree: Ssd<usize>,
    /// Stage of each layer.
    #[module(skip)]
    stages: Vec<Stage>,
}

/// What the heads say about every anchor, raw.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `[N, A, K]`, column 0 the background.
    pub logits: Tensor<3>,
    /// `[N, A, 4]`: ty, tx, th, tw in the box coder's units.
    pub deltas: Tensor<3>,
}

/// Sees the input of every layer, by its position, on the way through the network.
pub type Observer<'a> = &'a mut dyn FnMut(usize, &Tensor<4>);

impl SsdModel {
    /// The network that runs, each layer trained or not as `training` says for its stage.
    pub fn new(network: &Ssd<ConvWeights>, training: impl Fn(Stage) -> Training) -> Self {
        let convs = network.convs();
        Self {
            layers: convs.iter().map(|(stage, weights)| ConvLayer::new(weights, training(*stage))).collect(),
            tree: network.positions(),
            stages: convs.iter().map(|(stage, _)| *stage).collect(),
        }
    }

    /// The network that only looks: nothing is trained.
    pub fn for_inference(network: &Ssd<ConvWeights>) -> Self {
        Self::new(network, |_| Training::Frozen)
    }

    /// Holds the backbone's trained layers (no gradient, nothing kept for the way back), or lets them go.
    pub fn hold_backbone(&mut self, held: bool) {
        for (layer, stage) in self.layers.iter_mut().zip(&self.stages) {
            if stage.is_backbone() {
                layer.set_held(held);
            }
        }
    }

    pub fn classes(&self) -> usize {
        self.tree.classes
    }

    /// Stage of the layer at `position`.
    pub fn stage(&self, position: usize) -> Stage {
        self.stages[position]
    }

    /// The network's numbers as they are now.
    pub fn weights(&self) -> Ssd<ConvWeights> {
        self.tree.map(|_, &position| self.layers[position].weights())
    }

    pub fn specs(&self) -> Ssd<ConvSpec> {
        self.tree.map(|_, &position| *self.layers[position].spec())
    }

    /// `images` `[N,S,S,3]`, each value in [-1, 1].
    pub fn forward(&self, images: Tensor<4>) -> Predictions {
        self.forward_observed(images, &mut |_, _| {})
    }

    /// As [`SsdModel::forward`], and `observe` sees the input of every layer.
    pub fn forward_observed(&self, images: Tensor<4>, observe: Observer) -> Predictions {
        let maps = self.feature_maps(images, observe);
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for (head, map) in self.tree.heads.iter().zip(maps) {
            let (l, d) = self.head(head, map, observe);
            logits.push(l);
            deltas.push(d);
        }
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }

    /// The maps that the heads read, largest first, each `[N,H,W,C]` after its activation.
    fn feature_maps(&self, images: Tensor<4>, observe: Observer) -> Vec<Tensor<4>> {
        let mut x = self.run(self.tree.stem, images, observe);
        let mut maps = Vec::with_capacity(self.tree.heads.len());
        for (i, block) in self.tree.blocks.iter().enumerate() {
            let (out, expanded) = self.block(block, x, observe);
            if i == self.tree.tap {
                maps.push(expanded.expect("the tapped block has an expansion"));
            }
            x = out;
        }
        x = self.run(self.tree.last, x, observe);
        maps.push(x.clone());
        for extra in &self.tree.extras {
            x = self.extra(extra, x, observe);
            maps.push(x.clone());
        }
        maps
    }

    fn run(&self, position: usize, x: Tensor<4>, observe: Observer) -> Tensor<4> {
        observe(position, &x);
        self.layers[position].forward(x)
    }

    /// Block output, and the expansion where there is one (the tap of feature map 0).
    fn block(&self, block: &Block<usize>, x: Tensor<4>, observe: Observer) -> (Tensor<4>, Option<Tensor<4>>) {
        let expanded = block.expand.map(|layer| self.run(layer, x.clone(), observe));
        let inner = self.run(block.depthwise, expanded.clone().unwrap_or_else(|| x.clone()), observe);
        observe(block.project, &inner);
        let project = &self.layers[block.project];
        let out = if block.residual { project.forward_residual(inner, x) } else { project.forward(inner) };
        (out, expanded)
    }

    fn extra(&self, extra: &Extra<usize>, x: Tensor<4>, observe: Observer) -> Tensor<4> {
        let x = self.run(extra.reduce, x, observe);
        let x = self.run(extra.depthwise, x, observe);
        self.run(extra.expand, x, observe)
    }

    /// `(logits [N, cells·a, K], deltas [N, cells·a, 4])` of one feature map.
    fn head(&self, head: &Head<usize>, map: Tensor<4>, observe: Observer) -> (Tensor<3>, Tensor<3>) {
        let [n, h, w, _] = map.dims();
        let anchors = h * w * head.anchors_per_cell;
        let mut branch = |depthwise: Option<usize>, predictor: usize| {
            let x = match depthwise {
                Some(layer) => self.run(layer, map.clone(), observe),
                None => map.clone(),
            };
            self.run(predictor, x, observe)
        };
        let deltas = branch(head.box_depthwise, head.box_predictor).reshape([n, anchors, 4]);
        let logits = branch(head.class_depthwise, head.class_predictor).reshape([n, anchors, self.tree.classes]);
        (logits, deltas)
    }
}
