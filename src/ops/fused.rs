//! The one operation that the network is made of, with a hand-written backward: a convolution layer, or two or three of
//! them as a block (expand, depthwise, project).
//!
//! It keeps its input, and its output where that ends in ReLU6 (both shared with its neighbours); of a block's linear
//! input, which nobody else keeps, the rounding to 16 bits. The layers' numbers are not part of the graph: their
//! gradients are added to the [`GradientSums`] of the accumulation window.

#![allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex; see ARCHITECTURE.md

use super::gradient_sums::{GradientSums, SumsCell};
use super::slice::{modify, primitive, with, wrap};
use crate::kernel::{
    self, BlockGradients, BlockInput, BlockLayers, ChannelSums, ConvGeometry, Gradients, Isa, Keep, KernelKind,
    LayerSums, LayerValues, overwritten,
};
use burn::backend::autodiff::{
    Autodiff, NodeId,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients as NodeGradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::ndarray::{NdArray, NdArrayTensor};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One layer's part in a call.
#[derive(Clone, Debug)]
struct LayerPart {
    geometry: ConvGeometry,
    weight: NdArrayTensor,
    bias: NdArrayTensor,
    scale: NdArrayTensor,
    /// The destination of its gradients; `None` where it does not learn.
    sums: Option<SumsCell>,
}

/// The operands of one use of the operation besides its input.
#[derive(Clone, Debug)]
pub struct Call {
    /// One layer; or depthwise and project; or expand, depthwise and project.
    parts: Vec<LayerPart>,
    residual: bool,
    /// True if anybody upstream wants a gradient.
    input_gradient: bool,
    /// Takes the sums of each layer's input, where they are wanted.
    seen: Option<Arc<Mutex<Vec<ChannelSums>>>>,
    /// True if numbers may be kept for the backward pass rounded to 16 bits.
    may_round: bool,
    /// True if the producer keeps this tensor for its own backward pass: a 16-bit copy would save no memory.
    shared: bool,
    /// Takes what is kept in 16 bits.
    kept: Option<Arc<Mutex<KeptHalves>>>,
}

/// The values kept for the backward pass in 16 bits; empty where there are none.
#[derive(Debug, Default)]
struct KeptHalves {
    input: Vec<u16>,
    /// The expanded tensor.
    expansion: Vec<u16>,
}

/// Input channels of an expansion from which its output is kept. Each number kept saves that many multiply-adds in the
/// backward pass, and costs two bytes to write and to read: what memory gives in that time decides. From 32 on that is 1 %
/// of a step with AVX2, nothing either way with AVX-512, which multiplies twice as fast; from 16 on it costs 3 % there.
/// It takes 5 MB per image at 300x300.
const KEEP_FROM_CHANNELS: usize = 32;

/// Bytes of a whole micro-batch's expansion up to which it is kept anyway: from 75x75 maps on, for one image at a time.
/// The two blocks of 24 channels save 10 of 461 million vector multiply-adds for 6 MB, which a micro-batch of 1 has
/// to spare.
const KEEP_BYTES: usize = 7 << 19;

/// True if the output of such an expansion is kept for the backward pass, where its block learns.
pub fn keeps_expansion(expand: &ConvGeometry) -> bool {
    let cheap = expand.kind == KernelKind::Pointwise && size_of::<f32>() * expand.output_len() <= KEEP_BYTES;
    expand.cin >= KEEP_FROM_CHANNELS || cheap
}

/// True if a block with such an expansion keeps its input in 16 bits, where whoever made it does not keep it anyway.
pub fn halves_input(expand: &ConvGeometry) -> bool {
    expand.kind == KernelKind::Pointwise
}

/// A layer as [`Call::add`] takes it: its numbers and where it stands.
#[derive(Debug)]
pub struct CallLayer<'a> {
    pub geometry: ConvGeometry,
    pub weight: &'a Tensor<2>,
    pub bias: &'a Tensor<1>,
    pub scale: &'a Tensor<1>,
    /// Position among the sums.
    pub position: usize,
}

impl Call {
    /// An empty call; `residual` adds the input to the output, `may_round` allows to keep numbers for the backward pass
    /// rounded to 16 bits: an expanded tensor rather than make it again, and a block's input.
    pub fn new(residual: bool, may_round: bool) -> Self {
        Self { parts: Vec::new(), residual, input_gradient: false, seen: None, may_round, shared: false, kept: None }
    }

    /// Appends a layer. It learns where there are sums for its position.
    pub fn add(&mut self, layer: CallLayer, sums: Option<&GradientSums>) {
        let sums = sums.and_then(|s| s.cell(layer.position));
        self.parts.push(LayerPart {
            geometry: layer.geometry,
            weight: primitive(layer.weight.clone()),
            bias: primitive(layer.bias.clone()),
            scale: primitive(layer.scale.clone()),
            sums,
        });
    }

    /// True if any of its layers learns.
    pub fn learns(&self) -> bool {
        self.parts.iter().any(|p| p.sums.is_some())
    }

    /// True if its expanded tensor is worth its memory.
    fn keeps_expansion(&self) -> bool {
        self.may_round && self.parts.len() == 3 && self.learns() && keeps_expansion(&self.parts[0].geometry)
    }

    fn halves_input(&self) -> bool {
        self.may_round && self.parts.len() == 3 && !self.shared && halves_input(&self.parts[0].geometry)
    }

    fn last(&self) -> &ConvGeometry {
        &self.parts.last().expect("a call has a layer").geometry
    }

    /// Runs `f` on the layers' numbers.
    fn with_layers<R>(&self, f: impl FnOnce(&[LayerValues]) -> R) -> R {
        fn descend<'a, R>(
            parts: &'a [LayerPart],
            layers: &mut Vec<LayerValues<'a>>,
            f: impl FnOnce(&[LayerValues]) -> R,
        ) -> R {
            let Some((part, rest)) = parts.split_first() else { return f(layers) };
            let (weight, scale, bias) = (values(&part.weight), values(&part.scale), values(&part.bias));
            layers.push(LayerValues { geometry: part.geometry, weight, scale, bias });
            descend(rest, layers, f)
        }
        descend(&self.parts, &mut Vec::with_capacity(self.parts.len()), f)
    }
}

/// A parameter's values: parameters are made from plain vectors and never viewed otherwise.
fn values(tensor: &NdArrayTensor) -> &[f32] {
    super::slice::values(tensor).expect("a parameter is contiguous")
}

/// The operation as burn dispatches it.
#[backend_extension(NdArray, Autodiff)]
pub trait Fused: Backend {
    fn fused(x: FloatTensor<Self>, call: Call) -> FloatTensor<Self>;
}

/// The backward half; never dispatched, so it stands outside the extension trait.
pub trait FusedBackward: Fused {
    /// The gradient of the input, where the call wants it; gradients of the layers are added to their sums. `x` is the
    /// input where the call did not keep it, `y` the output where it ends in ReLU6.
    fn fused_backward(
        x: Option<FloatTensor<Self>>,
        y: Option<FloatTensor<Self>>,
        dy: FloatTensor<Self>,
        call: Call,
    ) -> Option<FloatTensor<Self>>;
}

fn block<'a>(layers: &[LayerValues<'a>], residual: bool) -> BlockLayers<'a> {
    match *layers {
        [depthwise, project] => BlockLayers { expand: None, depthwise, project, residual },
        [expand, depthwise, project] => BlockLayers { expand: Some(expand), depthwise, project, residual },
        _ => panic!("a block has two or three layers, found {}", layers.len()),
    }
}

impl Fused for NdArray {
    fn fused(x: NdArrayTensor, call: Call) -> NdArrayTensor {
        let g = *call.last();
        let mut y = overwritten(g.output_len());
        let mut seen = call.seen.as_ref().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner));
        with(&x, |x| {
            call.with_layers(|layers| {
                if let [layer] = layers {
                    if let Some(seen) = &mut seen {
                        seen[0].add(x, layer.geometry.cin);
                    }
                    kernel::forward(Isa::best(), layer, x, call.residual.then_some(x), &mut y);
                } else {
                    let seen = seen.as_mut().map(|s| s.as_mut_slice());
                    let mut kept = call.kept.as_ref().map(|k| k.lock().unwrap_or_else(PoisonError::into_inner));
                    let mut keep = Keep::default();
                    if let Some(kept) = &mut kept {
                        let KeptHalves { input, expansion } = &mut **kept;
                        if call.halves_input() {
                            *input = overwritten(x.len());
                            keep.input = Some(input);
                        }
                        if call.keeps_expansion() {
                            *expansion = overwritten(layers[0].geometry.output_len());
                            keep.expansion = Some(expansion);
                        }
                    }
                    kernel::block_forward(Isa::best(), &block(layers, call.residual), x, &mut y, seen, keep);
                }
            })
        });
        wrap(y, &[g.n, g.oh, g.ow, g.cout])
    }
}

impl FusedBackward for NdArray {
    fn fused_backward(
        x: Option<NdArrayTensor>,
        y: Option<NdArrayTensor>,
        dy: NdArrayTensor,
        call: Call,
    ) -> Option<NdArrayTensor> {
        let g = call.parts[0].geometry;
        let mut dx = call.input_gradient.then(|| overwritten(g.input_len()));
        let mut sums: Vec<Option<MutexGuard<_>>> =
            call.parts.iter().map(|p| p.sums.as_ref().map(SumsCell::lock)).collect();
        let y = y.as_ref().map(|y| super::slice::values(y).expect("an operation's own output is contiguous"));
        let kept = call.kept.as_ref().map(|k| k.lock().unwrap_or_else(PoisonError::into_inner));
        let back = |x: BlockInput| {
            call.with_layers(|layers| {
                if let ([layer], BlockInput::Whole(x)) = (layers, x) {
                    let (dw, db) = match &mut sums[0] {
                        Some(sums) => {
                            let sums = &mut **sums;
                            (Some(sums.dw.as_mut_slice()), Some(sums.db.as_mut_slice()))
                        }
                        None => (None, None),
                    };
                    assert!(!call.residual, "a layer of its own has no residual in training");
                    let out = Gradients { dx: dx.as_deref_mut(), dw, db };
                    modify(dy, |dy| kernel::backward(Isa::best(), layer, x, y, dy, out));
                } else {
                    let learning: Vec<LayerSums> = sums
                        .iter_mut()
                        .flatten()
                        .map(|sums| {
                            let sums = &mut **sums;
                            LayerSums { dw: &mut sums.dw, db: &mut sums.db }
                        })
                        .collect();
                    let sums = (!learning.is_empty()).then_some(learning);
                    let out = BlockGradients { dx: dx.as_deref_mut(), sums };
                    let expansion = kept.as_ref().map(|k| k.expansion.as_slice()).filter(|e| !e.is_empty());
                    let block = block(layers, call.residual);
                    with(&dy, |dy| kernel::block_backward(Isa::best(), &block, x, y, dy, expansion, out));
                }
            })
        };
        match (&x, &kept) {
            (Some(x), _) => with(x, |x| back(BlockInput::Whole(x))),
            (None, Some(kept)) => back(BlockInput::Half(&kept.input)),
            (None, None) => panic!("an operation keeps its input"),
        }
        dx.map(|dx| wrap(dx, &[g.n, g.h, g.w, g.cin]))
    }
}

#[derive(Debug)]
struct FusedNode;

impl<B: FusedBackward> Backward<B, 1> for FusedNode {
    /// Node of the input in the checkpointer where the call does not keep it, output, call.
    type State = (Option<NodeId>, Option<FloatTensor<B>>, Call);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut NodeGradients, checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let (x, y, call) = ops.state;
        let x = x.map(|x| checkpointer.retrieve_node_output::<FloatTensor<B>>(x));
        if let (Some(dx), Some(node)) = (B::fused_backward(x, y, dy, call), parent) {
            grads.register::<B>(node.id, dx);
        }
    }
}

impl<B: FusedBackward, C: CheckpointStrategy> Fused for Autodiff<B, C> {
    fn fused(x: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        match FusedNode.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let id = (!call.halves_input()).then(|| prep.checkpoint(&x));
                let kept = (call.halves_input() || call.keeps_expansion()).then(Arc::default);
                let call = Call { kept, ..call };
                let y = B::fused(x.into_primitive(), call.clone());
                // The forward pass has seen it; the backward pass looks at nothing.
                let call = Call { seen: None, ..call };
                prep.finish((id, call.last().relu6.then(|| y.clone()), call), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused(x.into_primitive(), call)),
        }
    }
}

/// A tensor on its way through the network, and whether a gradient will flow back through it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// `[N,H,W,C]`.
    pub x: Tensor<4>,
    pub tracked: bool,
    /// True if the producer keeps it for its own backward pass.
    pub kept: bool,
}

impl Flow {
    /// Images, which nobody made.
    pub fn images(x: Tensor<4>) -> Flow {
        Flow { x, tracked: false, kept: false }
    }

    /// Both added.
    pub fn plus(self, other: Flow) -> Flow {
        let tracked = self.tracked || other.tracked;
        let [a, b] = alike([self.x, other.x]);
        Flow { x: a + b, tracked, kept: false }
    }
}

/// Tensors that can be worked on together: where a gradient flows back through one, it may through all.
pub fn alike<const D: usize, T: AsMut<[Tensor<D>]>>(mut tensors: T) -> T {
    let all = tensors.as_mut();
    if all.iter().any(Tensor::is_autodiff) {
        all.iter_mut().filter(|t| !t.is_autodiff()).for_each(|t| *t = t.clone().autodiff());
    }
    tensors
}

/// Runs a call. `seen` takes the sums of each layer's input, in the call's order.
pub fn fused(input: Flow, mut call: Call, seen: Option<&mut Vec<ChannelSums>>) -> Flow {
    (call.input_gradient, call.shared) = (input.tracked, input.kept);
    let shared = seen.is_some().then(|| Arc::new(Mutex::new(vec![ChannelSums::default(); call.parts.len()])));
    call.seen = shared.clone();
    let tracked = input.tracked || call.learns();
    // The graph begins with the first layer that learns.
    let x = if tracked && !input.tracked { input.x.autodiff().require_grad() } else { input.x };
    let kept = tracked && call.last().relu6;
    let y = Tensor::from_dispatch(<Dispatch as Fused>::fused(x.into_dispatch(), call));
    if let (Some(seen), Some(shared)) = (seen, shared) {
        *seen = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Flow { x: y, tracked, kept }
}
