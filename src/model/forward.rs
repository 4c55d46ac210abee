//! The detector as it runs.

use super::layer::{ConvLayer, Training};
use super::ssd::{Head, Ssd, Stage};
use super::weights::{ConvSpec, ConvWeights};
use crate::kernel::{self, ChannelSums};
use crate::ops::{self, Call, Flow, GradientSums};
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
        self.run(images, &mut Pass { sums: None, seen: None })
    }

    /// As [`SsdModel::forward`], ready for the way back: what it learns is added to `sums`. `seen` takes the sums of
    /// every layer's input, by position.
    pub fn forward_training(
        &self,
        images: Tensor<4>,
        sums: &GradientSums,
        seen: Option<&mut [ChannelSums]>,
    ) -> Predictions {
        self.run(images, &mut Pass { sums: Some(sums), seen })
    }

    fn run(&self, images: Tensor<4>, pass: &mut Pass) -> Predictions {
        let maps = self.feature_maps(Flow { x: images, tracked: false }, pass);
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for (head, map) in self.tree.heads.iter().zip(maps) {
            let (l, d) = self.head(head, map, pass);
            logits.push(l);
            deltas.push(d);
        }
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }

    /// The maps that the heads read, largest first, each `[N,H,W,C]` after its activation.
    fn feature_maps(&self, images: Flow, pass: &mut Pass) -> Vec<Flow> {
        let (mut x, mut maps) = (images, Vec::with_capacity(self.tree.heads.len()));
        let mut stem = Some(self.tree.stem);
        for (i, block) in self.tree.blocks.iter().enumerate() {
            let inner = [block.depthwise, block.project];
            if let Some(stem) = stem.take() {
                // The stem is the expansion of a first block that has none.
                if block.expand.is_none()
                    && !block.residual
                    && self.layers[stem].learns() == self.layers[inner[0]].learns()
                {
                    x = self.block(&[stem, inner[0], inner[1]], false, x, pass);
                    continue;
                }
                x = self.layer(stem, x, pass);
            }
            x = match block.expand {
                Some(expand) if i == self.tree.tap => {
                    let expanded = self.layer(expand, x.clone(), pass);
                    maps.push(expanded.clone());
                    let out = self.block(&inner, false, expanded, pass);
                    if block.residual { sum(out, x) } else { out }
                }
                Some(expand) => self.block(&[expand, inner[0], inner[1]], block.residual, x, pass),
                None => self.block(&inner, block.residual, x, pass),
            };
        }
        x = self.layer(self.tree.last, x, pass);
        maps.push(x.clone());
        for extra in &self.tree.extras {
            x = self.block(&[extra.reduce, extra.depthwise, extra.expand], false, x, pass);
            maps.push(x.clone());
        }
        maps
    }

    /// `(logits [N, cells·a, K], deltas [N, cells·a, 4])` of one feature map.
    fn head(&self, head: &Head<usize>, map: Flow, pass: &mut Pass) -> (Tensor<3>, Tensor<3>) {
        let [n, h, w, _] = map.x.dims();
        let anchors = h * w * head.anchors_per_cell;
        let mut branch = |depthwise: Option<usize>, predictor: usize| match depthwise {
            Some(depthwise) => self.block(&[depthwise, predictor], false, map.clone(), pass),
            None => self.layer(predictor, map.clone(), pass),
        };
        let deltas = branch(head.box_depthwise, head.box_predictor).x.reshape([n, anchors, 4]);
        let logits = branch(head.class_depthwise, head.class_predictor).x.reshape([n, anchors, self.tree.classes]);
        (logits, deltas)
    }

    /// One layer as an operation of its own.
    fn layer(&self, position: usize, x: Flow, pass: &mut Pass) -> Flow {
        self.operation(&[position], false, x, pass)
    }

    /// Layers that follow one another, the last but one of them depthwise, as one operation where there is one for them.
    fn block(&self, positions: &[usize], residual: bool, x: Flow, pass: &mut Pass) -> Flow {
        if self.fits(positions, x.x.dims()) {
            return self.operation(positions, residual, x, pass);
        }
        let out = positions.iter().fold(x.clone(), |x, &position| self.layer(position, x, pass));
        if residual { sum(out, x) } else { out }
    }

    /// Whether the kernels have an operation for these layers: they learn together, and the depthwise one is 3x3.
    fn fits(&self, positions: &[usize], input: [usize; 4]) -> bool {
        let (mut at, mut geometries) = (input, Vec::with_capacity(positions.len()));
        for &position in positions {
            let g = self.layers[position].spec().geometry(at);
            at = [g.n, g.oh, g.ow, g.cout];
            geometries.push(g);
        }
        let learns = |&position: &usize| self.layers[position].learns();
        let together = positions.iter().all(|p| learns(p) == learns(&positions[0]));
        let before = &geometries[..geometries.len() - 2];
        together && kernel::Block::fits(before.first(), &geometries[geometries.len() - 2])
    }

    fn operation(&self, positions: &[usize], residual: bool, x: Flow, pass: &mut Pass) -> Flow {
        let (mut call, mut at) = (Call::new(residual), x.x.dims());
        for &position in positions {
            at = self.layers[position].join(&mut call, position, at, pass.sums);
        }
        let mut seen = pass.seen.is_some().then(Vec::new);
        let out = ops::fused(x, call, seen.as_mut());
        if let (Some(all), Some(seen)) = (&mut pass.seen, seen) {
            for (&position, seen) in positions.iter().zip(&seen) {
                all[position].merge(seen);
            }
        }
        out
    }

    /// As [`SsdModel::forward`] layer by layer, and `observe` sees the input of every layer. Not for training.
    pub fn forward_observed(&self, images: Tensor<4>, observe: Observer) -> Predictions {
        let mut run = |position: usize, x: Tensor<4>| {
            observe(position, &x);
            self.layer(position, Flow { x, tracked: false }, &mut Pass { sums: None, seen: None }).x
        };
        let (mut x, mut maps) = (run(self.tree.stem, images), Vec::new());
        for (i, block) in self.tree.blocks.iter().enumerate() {
            let input = x.clone();
            if let Some(expand) = block.expand {
                x = run(expand, x);
                if i == self.tree.tap {
                    maps.push(x.clone());
                }
            }
            x = run(block.depthwise, x);
            x = run(block.project, x);
            if block.residual {
                x = x + input;
            }
        }
        x = run(self.tree.last, x);
        maps.push(x.clone());
        for extra in &self.tree.extras {
            x = [extra.reduce, extra.depthwise, extra.expand].into_iter().fold(x, |x, layer| run(layer, x));
            maps.push(x.clone());
        }
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for (head, map) in self.tree.heads.iter().zip(maps) {
            let [n, h, w, _] = map.dims();
            let anchors = h * w * head.anchors_per_cell;
            let mut branch = |depthwise: Option<usize>, predictor: usize| {
                let x = depthwise.into_iter().fold(map.clone(), |x, layer| run(layer, x));
                run(predictor, x)
            };
            deltas.push(branch(head.box_depthwise, head.box_predictor).reshape([n, anchors, 4]));
            logits.push(branch(head.class_depthwise, head.class_predictor).reshape([n, anchors, self.tree.classes]));
        }
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }
}

/// What a run through the network leaves behind besides its predictions.
struct Pass<'a> {
    sums: Option<&'a GradientSums>,
    seen: Option<&'a mut [ChannelSums]>,
}

fn sum(a: Flow, b: Flow) -> Flow {
    Flow { x: a.x + b.x, tracked: a.tracked || b.tracked }
}
