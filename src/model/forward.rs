//! The detector as a burn module: forward pass for training and for inference.

use super::convention::Convention;
use super::layer::{ConvLayer, LayerTraining};
use super::program::{Program, ProgramStep};
use super::ssd::{Ssd, Stage};
use super::weights::{ConvSpec, ConvWeights};
use super::wiring::{LayerStep, LayerWalk};
use crate::kernel::{ChannelSums, awake};
use crate::ops::{self, Call, Flow, GradientSums};
use burn::module::Module;
use burn::tensor::Tensor;

/// The layers in walk order, and the tree that says how they hang together.
#[derive(Module, Debug)]
pub struct SsdModel {
    pub layers: Vec<ConvLayer>,
    #[module(skip)]
    pub(super) tree: Ssd<usize>,
    /// Stage of each layer.
    #[module(skip)]
    stages: Vec<Stage>,
    #[module(skip)]
    pub(super) rounds_kept: bool,
}

/// The raw outputs of the heads for every anchor.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `[N, A, K]`, column 0 the background.
    pub logits: Tensor<3>,
    /// `[N, A, 4]`: ty, tx, th, tw in the box coder's units.
    pub deltas: Tensor<3>,
}

/// Sees the input of every layer, by its position, on the way through the network.
pub type LayerObserver<'a> = &'a mut dyn FnMut(usize, &Tensor<4>);

impl SsdModel {
    /// The network that runs, each layer trained or not as `training` says for its stage.
    pub fn new(network: &Ssd<ConvWeights>, training: impl Fn(Stage) -> LayerTraining) -> Self {
        let convs = network.convs();
        Self {
            layers: convs.iter().map(|(stage, weights)| ConvLayer::new(weights, training(*stage))).collect(),
            tree: network.positions(),
            stages: convs.iter().map(|(stage, _)| *stage).collect(),
            rounds_kept: true,
        }
    }

    /// The network that only looks: nothing is trained.
    pub fn for_inference(network: &Ssd<ConvWeights>) -> Self {
        Self::new(network, |_| LayerTraining::Frozen)
    }

    /// As [`SsdModel::for_inference`], without a second copy of the numbers.
    pub fn into_inference(mut network: Ssd<ConvWeights>) -> Self {
        let (tree, mut layers, mut stages) = (network.positions(), Vec::new(), Vec::new());
        for (stage, conv) in network.convs_mut() {
            let empty = ConvWeights { spec: conv.spec, weight: Vec::new(), scale: Vec::new(), bias: Vec::new() };
            layers.push(ConvLayer::frozen(std::mem::replace(conv, empty)));
            stages.push(stage);
        }
        Self { layers, tree, stages, rounds_kept: true }
    }

    /// Holds the backbone's trained layers (no gradient, nothing kept for the backward pass), or lets them go.
    pub fn hold_backbone(&mut self, held: bool) {
        for (layer, stage) in self.layers.iter_mut().zip(&self.stages) {
            if stage.is_backbone() {
                layer.set_held(held);
            }
        }
    }

    /// True if what a training pass keeps of a block, its input and perhaps its expansion, is rounded to 16 bits;
    /// inputs are kept as they are otherwise and expansions made again: slower, and with the gradient of what went
    /// forward.
    pub fn round_kept(&mut self, rounds: bool) {
        self.rounds_kept = rounds;
    }

    pub fn classes(&self) -> usize {
        self.tree.classes
    }

    /// The meaning of the heads' numbers.
    pub fn convention(&self) -> &Convention {
        &self.tree.convention
    }

    /// Stage of the layer at `position`.
    pub fn stage(&self, position: usize) -> Stage {
        self.stages[position]
    }

    /// Weights and biases that learn, held ones too.
    pub fn trained_len(&self) -> usize {
        self.layers.iter().flat_map(ConvLayer::trained_sizes).sum()
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
        awake(|| self.run(images, &mut Pass { sums: None, seen: None }))
    }

    /// As [`SsdModel::forward`], ready for the backward pass: what it learns is added to `sums`. `seen` takes the sums
    /// of every layer's input, by position.
    pub fn forward_training(
        &self,
        images: Tensor<4>,
        sums: &GradientSums,
        seen: Option<&mut [ChannelSums]>,
    ) -> Predictions {
        self.run(images, &mut Pass { sums: Some(sums), seen })
    }

    /// The output of the backbone's last layer; extras and heads do not run.
    pub fn backbone(&self, images: Tensor<4>) -> Tensor<4> {
        self.outputs_of(images, &[self.tree.last]).remove(0)
    }

    /// Block (counted from 0) whose expansion is the first feature map.
    pub fn first_map_block(&self) -> usize {
        self.tree.tap
    }

    /// The last block (counted from 0) whose output has one place for `stride` x `stride` pixels.
    pub fn last_block_of_stride(&self, stride: usize) -> Option<usize> {
        let pixels = |position: usize| self.layers[position].spec().stride;
        let strides = self.tree.blocks.iter().scan(pixels(self.tree.stem), |now, block| {
            *now *= pixels(block.depthwise);
            Some(*now)
        });
        strides.enumerate().filter(|(_, s)| *s == stride).map(|(block, _)| block).last()
    }

    /// The outputs of these backbone blocks (in ascending order).
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block_outputs(&self, images: Tensor<4>, blocks: &[usize]) -> Vec<Tensor<4>> {
        let ends: Vec<usize> = blocks.iter().map(|&block| self.tree.blocks[block].project).collect();
        self.outputs_of(images, &ends)
    }

    /// The values behind these layers (by position, ascending), residuals included; nothing behind the last of them
    /// runs.
    fn outputs_of(&self, images: Tensor<4>, layers: &[usize]) -> Vec<Tensor<4>> {
        let mut program = Program::of(&self.tree, &self.layers, images.dims());
        let output = |position: &usize| {
            let is_it =
                |s: &ProgramStep| matches!(s, ProgramStep::Fused { positions, .. } if positions.contains(position));
            let value = 1 + program.steps.iter().position(is_it).expect("every layer is part of the program");
            // The residual of a block that does not run as one operation is a step of its own.
            let is_added = matches!(program.steps.get(value), Some(ProgramStep::Sum(a, _)) if *a == value);
            value + usize::from(is_added)
        };
        let outputs: Vec<usize> = layers.iter().map(output).collect();
        outputs.iter().for_each(|&value| program.last_use[value] = usize::MAX);
        let steps = outputs.last().copied().unwrap_or(0);
        let mut values = self.values(&program, steps, images, &mut Pass { sums: None, seen: None });
        let take = |value: usize| values[value].take().expect("kept, and asked for once").x;
        outputs.into_iter().map(take).collect()
    }

    /// The values of the program after its first `steps` steps; none where their last use was among them.
    fn values(&self, program: &Program, steps: usize, images: Tensor<4>, pass: &mut Pass) -> Vec<Option<Flow>> {
        let mut values: Vec<Option<Flow>> = vec![Some(Flow::images(images))];
        for (i, step) in program.steps[..steps].iter().enumerate() {
            // A value is let go with its last use: what nobody learns from is not kept.
            let mut value = |at: usize| {
                let value = if program.last_use[at] == i { values[at].take() } else { values[at].clone() };
                value.expect("a value lives until its last use")
            };
            let out = match step {
                ProgramStep::Fused { positions, residual, input } => {
                    let input = value(*input);
                    self.operation(positions, *residual, input, pass)
                }
                ProgramStep::Sum(a, b) => {
                    let a = value(*a);
                    a.plus(value(*b))
                }
            };
            values.push(Some(out));
        }
        values
    }

    fn run(&self, images: Tensor<4>, pass: &mut Pass) -> Predictions {
        let program = Program::of(&self.tree, &self.layers, images.dims());
        let mut values = self.values(&program, program.steps.len(), images, pass);
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for (&[boxes, classes], head) in program.predictors.iter().zip(&self.tree.heads) {
            let [n, h, w, _] = program.dims[boxes];
            let anchors = h * w * head.anchors_per_cell;
            let mut take = |at: usize| values[at].take().expect("a predictor's output is used once").x;
            deltas.push(take(boxes).reshape([n, anchors, 4]));
            logits.push(take(classes).reshape([n, anchors, self.tree.classes]));
        }
        let [logits, deltas] = [logits, deltas].map(|parts| Tensor::cat(ops::alike(parts), 1));
        Predictions { logits, deltas }
    }

    /// One layer as an operation of its own, without a backward pass.
    fn layer(&self, position: usize, x: Tensor<4>) -> Tensor<4> {
        let pass = &mut Pass { sums: None, seen: None };
        self.operation(&[position], false, Flow::images(x), pass).x
    }

    fn operation(&self, positions: &[usize], residual: bool, x: Flow, pass: &mut Pass) -> Flow {
        let (mut call, mut at) = (Call::new(residual, self.rounds_kept), x.x.dims());
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
    pub fn forward_observed(&self, images: Tensor<4>, observe: LayerObserver) -> Predictions {
        let outputs = LayerWalk::of(&self.tree).run(images, |step| match step {
            LayerStep::Layer { position, input } => {
                observe(position, &input);
                self.layer(position, input)
            }
            LayerStep::Sum([out, input]) => out + input,
        });
        let (mut logits, mut deltas) = (Vec::new(), Vec::new());
        for ([boxes, classes], head) in outputs.into_iter().zip(&self.tree.heads) {
            let [n, h, w, _] = boxes.dims();
            let anchors = h * w * head.anchors_per_cell;
            deltas.push(boxes.reshape([n, anchors, 4]));
            logits.push(classes.reshape([n, anchors, self.tree.classes]));
        }
        Predictions { logits: Tensor::cat(logits, 1), deltas: Tensor::cat(deltas, 1) }
    }
}

/// The sums that a run through the network leaves behind besides its predictions.
struct Pass<'a> {
    sums: Option<&'a GradientSums>,
    seen: Option<&'a mut [ChannelSums]>,
}
