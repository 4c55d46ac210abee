//! Convolution + frozen scale + bias + ReLU6 (+ residual) as one operation with a hand-written backward.
//!
//! The operation keeps its input (which is the previous layer's output, shared) and, where it ends in ReLU6, its own
//! output (which is the next layer's input, shared): one activation tensor per layer in all.

#![allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex; see ARCHITECTURE.md

use super::slice::{modify, with, wrap};
use crate::kernel::{self, ConvGeometry, Gradients, Isa, Layer, overwritten};
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

/// The operation as burn dispatches it. `x` `[N,H,W,Cin]`, `weight` rows x Cout, `bias` and `scale` `[Cout]`.
#[backend_extension(NdArray, Autodiff)]
pub trait FusedConv: Backend {
    fn fused_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;

    fn fused_conv_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;
}

/// What the way back needs, and which of its results anybody wants.
#[derive(Clone, Debug)]
pub struct Saved<T> {
    x: T,
    weight: T,
    scale: T,
    /// The output, where it ends in ReLU6.
    y: Option<T>,
    geometry: ConvGeometry,
}

#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    input: bool,
    weight: bool,
    bias: bool,
}

/// The backward half; never dispatched, so it stands outside the extension trait.
pub trait FusedConvBackward: FusedConv {
    /// Gradients of `[x, weight, bias]`, each `None` where it is not wanted.
    fn fused_conv_backward(
        saved: Saved<FloatTensor<Self>>,
        dy: FloatTensor<Self>,
        wanted: Wanted,
    ) -> [Option<FloatTensor<Self>>; 3];
}

fn run(
    x: &NdArrayTensor,
    [weight, bias, scale]: [&NdArrayTensor; 3],
    residual: Option<&NdArrayTensor>,
    geometry: ConvGeometry,
) -> NdArrayTensor {
    let mut y = overwritten(geometry.output_len());
    with(x, |x| {
        with(weight, |weight| {
            with(bias, |bias| {
                with(scale, |scale| {
                    let layer = Layer { geometry, weight, scale, bias };
                    match residual {
                        Some(r) => with(r, |r| kernel::forward(Isa::best(), &layer, x, Some(r), &mut y)),
                        None => kernel::forward(Isa::best(), &layer, x, None, &mut y),
                    }
                })
            })
        })
    });
    wrap(y, &[geometry.n, geometry.oh, geometry.ow, geometry.cout])
}

impl FusedConv for NdArray {
    fn fused_conv(
        x: NdArrayTensor,
        weight: NdArrayTensor,
        bias: NdArrayTensor,
        scale: NdArrayTensor,
        geometry: ConvGeometry,
    ) -> NdArrayTensor {
        run(&x, [&weight, &bias, &scale], None, geometry)
    }

    fn fused_conv_residual(
        x: NdArrayTensor,
        weight: NdArrayTensor,
        bias: NdArrayTensor,
        scale: NdArrayTensor,
        residual: NdArrayTensor,
        geometry: ConvGeometry,
    ) -> NdArrayTensor {
        run(&x, [&weight, &bias, &scale], Some(&residual), geometry)
    }
}

impl FusedConvBackward for NdArray {
    fn fused_conv_backward(
        saved: Saved<NdArrayTensor>,
        dy: NdArrayTensor,
        wanted: Wanted,
    ) -> [Option<NdArrayTensor>; 3] {
        let geometry = saved.geometry;
        let g = geometry;
        let mut dx = wanted.input.then(|| overwritten(g.input_len()));
        let mut dw = wanted.weight.then(|| vec![0.0; g.weight_len()]);
        let mut db = wanted.bias.then(|| vec![0.0; g.cout]);
        // The backward pass never reads the bias; any slice of the right length stands in for it.
        with(&saved.x, |x| {
            with(&saved.weight, |weight| {
                with(&saved.scale, |scale| {
                    let layer = Layer { geometry, weight, scale, bias: scale };
                    modify(dy, |dy| {
                        let out = Gradients { dx: dx.as_deref_mut(), dw: dw.as_deref_mut(), db: db.as_deref_mut() };
                        match &saved.y {
                            Some(y) => with(y, |y| kernel::backward(Isa::best(), &layer, x, Some(y), dy, out)),
                            None => kernel::backward(Isa::best(), &layer, x, None, dy, out),
                        }
                    })
                })
            })
        });
        [
            dx.map(|d| wrap(d, &[g.n, g.h, g.w, g.cin])),
            dw.map(|d| wrap(d, &[g.weight_len() / g.cout, g.cout])),
            db.map(|d| wrap(d, &[g.cout])),
        ]
    }
}

/// Node ids of x and weight in the checkpointer, and what has no node.
type State<B> = (NodeId, NodeId, FloatTensor<B>, Option<FloatTensor<B>>, ConvGeometry);

fn gradients<B: FusedConvBackward>(
    state: State<B>,
    dy: FloatTensor<B>,
    wanted: Wanted,
    checkpointer: &mut Checkpointer,
) -> [Option<FloatTensor<B>>; 3] {
    let (x, weight, scale, y, geometry) = state;
    let saved = Saved {
        x: checkpointer.retrieve_node_output::<FloatTensor<B>>(x),
        weight: checkpointer.retrieve_node_output::<FloatTensor<B>>(weight),
        scale,
        y,
        geometry,
    };
    B::fused_conv_backward(saved, dy, wanted)
}

#[derive(Debug)]
struct PlainBackward;

impl<B: FusedConvBackward> Backward<B, 3> for PlainBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut NodeGradients, checkpointer: &mut Checkpointer) {
        let [x, weight, bias] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let wanted = Wanted { input: x.is_some(), weight: weight.is_some(), bias: bias.is_some() };
        let results = gradients::<B>(ops.state, dy, wanted, checkpointer);
        for (parent, gradient) in [x, weight, bias].into_iter().zip(results) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct ResidualBackward;

impl<B: FusedConvBackward> Backward<B, 4> for ResidualBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut NodeGradients, checkpointer: &mut Checkpointer) {
        let [x, weight, bias, residual] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(node) = &residual {
            grads.register::<B>(node.id, dy.clone());
        }
        let wanted = Wanted { input: x.is_some(), weight: weight.is_some(), bias: bias.is_some() };
        let results = gradients::<B>(ops.state, dy, wanted, checkpointer);
        for (parent, gradient) in [x, weight, bias].into_iter().zip(results) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedConvBackward, C: CheckpointStrategy> FusedConv for Autodiff<B, C> {
    fn fused_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        let scale = scale.into_primitive();
        match PlainBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let (x_id, weight_id) = (prep.checkpoint(&x), prep.checkpoint(&weight));
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                let y = B::fused_conv(x, weight, bias, scale.clone(), geometry);
                prep.finish((x_id, weight_id, scale, geometry.relu6.then(|| y.clone()), geometry), y)
            }
            OpsKind::UnTracked(prep) => {
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                prep.finish(B::fused_conv(x, weight, bias, scale, geometry))
            }
        }
    }

    fn fused_conv_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        assert!(!geometry.relu6, "a residual is added to a linear layer");
        let scale = scale.into_primitive();
        let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
        match ResidualBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let (x_id, weight_id) = (prep.checkpoint(&x), prep.checkpoint(&weight));
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                let y = B::fused_conv_residual(x, weight, bias, scale.clone(), residual.into_primitive(), geometry);
                prep.finish((x_id, weight_id, scale, None, geometry), y)
            }
            OpsKind::UnTracked(prep) => {
                let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                let residual = residual.into_primitive();
                prep.finish(B::fused_conv_residual(x, weight, bias, scale, residual, geometry))
            }
        }
    }
}

/// `act(scale·conv(x, weight) + bias)`; `x` `[N,H,W,Cin]` → `[N,OH,OW,Cout]`. No gradient flows into `scale`.
pub fn fused_conv(
    x: Tensor<4>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    scale: Tensor<1>,
    geometry: ConvGeometry,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as FusedConv>::fused_conv(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        scale.into_dispatch(),
        geometry,
    ))
}

/// As [`fused_conv`], with `residual` `[N,OH,OW,Cout]` added to the (linear) result.
pub fn fused_conv_residual(
    x: Tensor<4>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    scale: Tensor<1>,
    residual: Tensor<4>,
    geometry: ConvGeometry,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as FusedConv>::fused_conv_residual(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        scale.into_dispatch(),
        residual.into_dispatch(),
        geometry,
    ))
}
