//! The graph in normal form: convolutions with their padding, batch norm and activation inside, sums of two
//! feature maps, and opaque nodes for all the rest.

use std::rc::Rc;

use super::array::Array;
use super::graph::Graph;
use super::node::Op;
use super::normal::normal_form;

/// Index into [`Layers::all`].
pub(super) type LayerId = usize;

/// Zeros around a convolution's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pads {
    /// Top, left, bottom, right.
    Numbers([usize; 4]),
    /// Computed from the size, the smaller half before.
    SameUpper,
    /// Computed from the size, the larger half before.
    SameLower,
}

/// A convolution and what was folded into it: `clamp(scale·conv(x, weight) + bias)`.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    /// `[Cout, Cin / group, kh, kw]`.
    pub weight: Rc<Array>,
    pub group: usize,
    pub strides: [usize; 2],
    pub dilated: bool,
    pub pads: Pads,
    /// Per output channel, in `f64` so that folding rounds once.
    pub scale: Vec<f64>,
    pub bias: Vec<f64>,
    /// Bounds of the activation; infinite where there is none.
    pub clamp: [f32; 2],
    /// The stored tensors that went into it, in the order met.
    pub tensors: Vec<(String, Vec<usize>)>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The image, `scale·x + bias` per channel of it.
    Image {
        scale: Vec<f64>,
        bias: Vec<f64>,
    },
    Conv(Box<Conv>),
    /// Two feature maps added.
    Sum,
    /// An operator that the network proper does not contain; for a Reshape, its target's last dimension.
    Opaque {
        op: Op,
        columns: Option<i64>,
    },
    /// A convolution that cannot be read, and why.
    Broken(String),
}

pub(super) struct Layer {
    pub node: String,
    pub kind: Kind,
    pub inputs: Vec<LayerId>,
}

pub(super) struct Layers {
    /// Inputs stand before the layers that read them.
    pub all: Vec<Layer>,
    /// The graph's outputs and the layer each comes from.
    pub outputs: Vec<(String, LayerId)>,
    readers: Vec<Vec<LayerId>>,
}

impl Layers {
    pub fn of(graph: &Graph) -> Self {
        let (all, outputs) = normal_form(graph);
        let mut readers = vec![Vec::new(); all.len()];
        for (id, layer) in all.iter().enumerate() {
            for &input in &layer.inputs {
                readers[input].push(id);
            }
        }
        Self { all, outputs, readers }
    }

    /// The layers that read `layer`'s output.
    pub fn readers(&self, layer: LayerId) -> &[LayerId] {
        &self.readers[layer]
    }

    /// The convolutions among the readers for which `is` holds.
    pub fn convs(&self, layer: LayerId, is: impl Fn(&Conv) -> bool) -> impl Iterator<Item = LayerId> {
        self.readers(layer).iter().copied().filter(move |&id| self.conv(id).is_some_and(&is))
    }

    /// Whether a convolution or a sum reads the layer: it is inside the network and no output of it.
    pub fn feeds_network(&self, layer: LayerId) -> bool {
        let inside = |&id: &LayerId| matches!(self.all[id].kind, Kind::Conv(_) | Kind::Broken(_) | Kind::Sum);
        self.readers(layer).iter().any(inside)
    }

    pub fn conv(&self, layer: LayerId) -> Option<&Conv> {
        match &self.all[layer].kind {
            Kind::Conv(conv) => Some(conv),
            _ => None,
        }
    }
}

impl Conv {
    pub fn kernel(&self) -> [usize; 2] {
        [self.weight.dims[2], self.weight.dims[3]]
    }

    pub fn out_channels(&self) -> usize {
        self.weight.dims[0]
    }

    pub fn in_channels(&self) -> usize {
        self.weight.dims[1] * self.group
    }

    pub fn is_depthwise(&self) -> bool {
        self.group > 1 && self.weight.dims[1] == 1 && self.group == self.out_channels()
    }

    pub fn is_pointwise(&self) -> bool {
        self.group == 1 && self.kernel() == [1, 1] && self.strides == [1, 1]
    }

    pub fn is_linear(&self) -> bool {
        self.clamp == [f32::NEG_INFINITY, f32::INFINITY]
    }

    pub fn is_relu6(&self) -> bool {
        self.clamp[0] == 0.0 && (self.clamp[1] - 6.0).abs() < 1e-3
    }

    /// Narrows the activation; `None` if the bounds are not numbers in order.
    pub fn clamp_to(&mut self, [lo, hi]: [f32; 2]) -> Option<()> {
        if lo.is_nan() || hi.is_nan() || lo > hi {
            return None;
        }
        self.clamp = self.clamp.map(|bound| bound.clamp(lo, hi));
        Some(())
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Image { .. } => f.write_str("the image"),
            Kind::Sum => f.write_str("Add"),
            Kind::Opaque { op, .. } => write!(f, "{op}"),
            Kind::Broken(why) => write!(f, "a Conv with {why}"),
            Kind::Conv(conv) => {
                let [kh, kw] = conv.kernel();
                let name = if conv.is_depthwise() { "depthwise Conv" } else { "Conv" };
                write!(f, "{name} {kh}x{kw} {} -> {}", conv.in_channels(), conv.out_channels())?;
                match conv.strides {
                    [1, 1] => {}
                    [s, t] if s == t => write!(f, " stride {s}")?,
                    [s, t] => write!(f, " stride {s}, {t}")?,
                }
                match conv.clamp {
                    _ if conv.is_linear() => f.write_str(", linear"),
                    _ if conv.is_relu6() => f.write_str(", ReLU6"),
                    [lo, hi] => write!(f, ", clamped to {lo}..{hi}"),
                }
            }
        }
    }
}
