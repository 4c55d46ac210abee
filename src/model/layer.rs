//! One convolution as a burn module.

use super::weights::{Activation, ConvKind, ConvSpec, ConvWeights};
use crate::kernel::{ConvGeometry, KernelKind};
use crate::ops::{self, Call, CallLayer, Flow, GradientSums};
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

/// `y = act(scale·conv(x, weight) + bias)`; weight and bias are trained unless frozen, scale never is.
#[derive(Module, Debug)]
pub struct ConvLayer {
    /// Rows (taps x input channels) by output channels.
    pub weight: Param<Tensor<2>>,
    pub bias: Param<Tensor<1>>,
    scale: Tensor<1>,
    #[module(skip)]
    spec: ConvSpec,
    #[module(skip)]
    training: LayerTraining,
    /// Trained, but not now.
    #[module(skip)]
    held: bool,
}

/// The origin of the numbers that a layer began a run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    File,
    Fresh,
}

/// The part that a layer takes in learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerTraining {
    Trained,
    /// No gradient, no optimizer state, nothing kept for the backward pass.
    Frozen,
}

impl ConvLayer {
    pub fn new(weights: &ConvWeights, training: LayerTraining) -> Self {
        let cout = weights.spec.out_channels;
        let weight = ops::tensor(weights.weight.clone(), [weights.weight.len() / cout, cout]);
        let bias = ops::tensor(weights.bias.clone(), [cout]);
        Self {
            // Gradients are summed beside the graph, so that it need not know the parameters.
            weight: Param::initialized(ParamId::new(), weight.set_require_grad(false)),
            bias: Param::initialized(ParamId::new(), bias.set_require_grad(false)),
            scale: ops::tensor(weights.scale.clone(), [cout]),
            spec: weights.spec,
            training,
            held: false,
        }
    }

    /// As [`ConvLayer::new`], frozen, without a copy.
    pub(super) fn frozen(weights: ConvWeights) -> Self {
        let (spec, cout) = (weights.spec, weights.spec.out_channels);
        let rows = weights.weight.len() / cout;
        let weight: Tensor<2> = ops::tensor(weights.weight, [rows, cout]);
        Self {
            weight: Param::initialized(ParamId::new(), weight.set_require_grad(false)),
            bias: Param::initialized(ParamId::new(), ops::tensor(weights.bias, [cout]).set_require_grad(false)),
            scale: ops::tensor(weights.scale, [cout]),
            spec,
            training: LayerTraining::Frozen,
            held: false,
        }
    }

    pub fn spec(&self) -> &ConvSpec {
        &self.spec
    }

    pub fn is_trained(&self) -> bool {
        self.training == LayerTraining::Trained
    }

    /// True if it is trained and not held.
    pub fn learns(&self) -> bool {
        self.is_trained() && !self.held
    }

    /// Switches learning of a trained layer off (it is held) or on again.
    pub fn set_held(&mut self, held: bool) {
        self.held = held;
    }

    /// Runs `f` on the frozen scale.
    pub fn with_scale<R>(&self, f: impl FnOnce(&[f32]) -> R) -> R {
        ops::read(&self.scale, f)
    }

    /// The origin of the layer's numbers: what a file brought is unfolded when a run starts and then has a scale,
    /// fresh layers have scale 1.
    pub fn origin(&self) -> Origin {
        self.with_scale(|scale| if scale.iter().all(|s| *s == 1.0) { Origin::Fresh } else { Origin::File })
    }

    /// Lengths of weight and bias.
    pub fn sizes(&self) -> [usize; 2] {
        [self.spec.weight_len(), self.spec.out_channels]
    }

    /// The same, 0 where the layer is never trained.
    pub fn trained_sizes(&self) -> [usize; 2] {
        if self.is_trained() { self.sizes() } else { [0, 0] }
    }

    /// The layer's numbers as they are now.
    pub fn weights(&self) -> ConvWeights {
        ConvWeights {
            spec: self.spec,
            weight: ops::read(&self.weight.val(), <[f32]>::to_vec),
            scale: ops::read(&self.scale, <[f32]>::to_vec),
            bias: ops::read(&self.bias.val(), <[f32]>::to_vec),
        }
    }

    /// Hands weight, bias and scale to `f` and keeps what it makes of the first two. Works in place while no
    /// unfinished backward pass still holds the old values.
    pub fn update(&mut self, f: impl FnOnce(&mut [f32], &mut [f32], &[f32])) {
        let weight = std::mem::replace(&mut self.weight, placeholder());
        let bias = std::mem::replace(&mut self.bias, placeholder());
        let scale = &self.scale;
        let mut updated = None;
        self.weight = weight.map(|weight| {
            ops::update(weight, |weight| {
                updated =
                    Some(bias.map(|bias| ops::update(bias, |bias| ops::read(scale, |scale| f(weight, bias, scale)))));
            })
        });
        self.bias = updated.expect("the update ran");
    }

    /// `[N,H,W,Cin]` → `[N,OH,OW,Cout]`, without a backward pass.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut call = Call::new(false, false);
        self.join(&mut call, 0, x.dims(), None);
        ops::fused(Flow::images(x), call, None).x
    }

    /// Appends this layer, which stands at `position`, to a call on an input of shape `[N,H,W,Cin]`; returns the shape
    /// of its output.
    pub fn join(&self, call: &mut Call, position: usize, input: [usize; 4], sums: Option<&GradientSums>) -> [usize; 4] {
        let geometry = self.spec.geometry(input);
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let layer = CallLayer { geometry, weight: &weight, bias: &bias, scale: &self.scale, position };
        call.add(layer, sums.filter(|_| self.learns()));
        [geometry.n, geometry.oh, geometry.ow, geometry.cout]
    }
}

/// Stands in for a parameter while it is being updated.
fn placeholder<const D: usize>() -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), ops::tensor(vec![0.0], [1; D]))
}

impl ConvSpec {
    /// The sizes of this convolution for an input of shape `[N,H,W,Cin]`.
    ///
    /// # Panics
    /// If the input has another number of channels, or is smaller than the kernel.
    pub fn geometry(&self, [n, h, w, cin]: [usize; 4]) -> ConvGeometry {
        assert_eq!(cin, self.in_channels, "input channels of {self:?}");
        let [kh, kw] = self.kernel;
        let [oh, ow] = self.output_size([h, w]);
        ConvGeometry {
            kind: match self.kind {
                ConvKind::Pointwise => KernelKind::Pointwise,
                ConvKind::Depthwise => KernelKind::Depthwise,
                ConvKind::Dense => KernelKind::Dense,
            },
            n,
            h,
            w,
            cin,
            oh,
            ow,
            cout: self.out_channels,
            kh,
            kw,
            stride: self.stride,
            top: self.padding.vertical(h, kh, self.stride).0,
            left: self.padding.horizontal(w, kw, self.stride).0,
            relu6: self.activation == Activation::Relu6,
        }
    }
}
