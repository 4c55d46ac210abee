//! The graph in normal form: convolutions with their padding, batch norm and activation inside, sums of two
//! feature maps, and opaque nodes for all the rest.

use std::rc::Rc;

use crate::interchange::graph::StoredTensor;
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::node::Op;
use crate::model::Padding;

/// Index into [`Layers::all`].
pub type LayerId = usize;

/// Zeros around a convolution's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pads {
    /// Top, left, bottom, right.
    Numbers([usize; 4]),
    /// Computed from the size, the smaller half before.
    SameUpper,
    /// Computed from the size, the larger half before.
    SameLower,
}

/// A convolution and what was folded into it: `clamp(scale·conv(x, weight) + bias)`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[Cout, Cin / group, kh, kw]`.
    pub weight: Rc<ConstantArray>,
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
    pub tensors: Vec<StoredTensor>,
}

/// An [`Op::DetectionOutput`] with what it says about the network before it.
#[derive(Clone, Debug)]
pub struct DetectionLayer {
    pub boxes: LayerId,
    pub scores: LayerId,
    /// `[A, 4]`, centre form, in `order`.
    pub anchors: Option<Rc<ConstantArray>>,
    /// The name of the rule that gives the anchors, where they are not listed.
    pub rule: Option<String>,
    /// The box coder's weights, in the order of the columns.
    pub weights: [f32; 4],
    pub order: Order,
    /// Classes without the background.
    pub classes: Option<usize>,
}

/// The order of x and y in boxes and anchors: ty, tx, th, tw or tx, ty, tw, th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Yx,
    Xy,
}

#[derive(Clone, Debug)]
pub enum LayerKind {
    /// The image, `scale·x + bias` per channel of it; for a byte p of it, x is `factor·p + offset` of `pixels`.
    Image {
        scale: Vec<f64>,
        bias: Vec<f64>,
        pixels: Option<[f64; 2]>,
    },
    Conv(Box<Conv>),
    /// Two feature maps added.
    Sum,
    /// An operator that the network proper does not contain, and the constants it reads; for a Reshape, its target's
    /// last dimension.
    Opaque {
        op: Op,
        columns: Option<i64>,
        constants: Vec<Rc<ConstantArray>>,
    },
    /// Boxes, scores and anchors made into detections.
    Detections(Box<DetectionLayer>),
    /// A convolution that cannot be read, and why.
    Broken(String),
}

pub struct FileLayer {
    pub node: String,
    pub kind: LayerKind,
    pub inputs: Vec<LayerId>,
    /// Channels of its output, as far as they are known.
    pub channels: Option<usize>,
    /// Height and width of its output, as far as convolutions carry them from the image.
    pub size: Option<[usize; 2]>,
}

pub struct Layers {
    /// Inputs stand before the layers that read them.
    pub all: Vec<FileLayer>,
    /// The graph's outputs and the layer each comes from.
    pub outputs: Vec<(String, LayerId)>,
    readers: Vec<Vec<LayerId>>,
}

impl Layers {
    /// `all` with inputs before the layers that read them.
    pub fn new(all: Vec<FileLayer>, outputs: Vec<(String, LayerId)>) -> Self {
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

    /// True if a convolution or a sum reads the layer: it is inside the network and no output of it.
    pub fn feeds_network(&self, layer: LayerId) -> bool {
        let inside =
            |&id: &LayerId| matches!(self.all[id].kind, LayerKind::Conv(_) | LayerKind::Broken(_) | LayerKind::Sum);
        self.readers(layer).iter().any(inside)
    }

    /// Height and width of every layer's output where the layer that `stem` reads is `input`: as found, or computed
    /// anew where the file leaves its input open.
    pub fn sizes(&self, stem: LayerId, input: [usize; 2]) -> Vec<Option<[usize; 2]>> {
        let image = self.all[stem].inputs.first().copied();
        let mut sizes: Vec<Option<[usize; 2]>> = Vec::with_capacity(self.all.len());
        for (id, layer) in self.all.iter().enumerate() {
            let before = |i: usize| layer.inputs.get(i).and_then(|&input| sizes[input]);
            sizes.push(match &layer.kind {
                _ if Some(id) == image => Some(input),
                LayerKind::Conv(conv) => before(0).and_then(|size| conv.output_size(size)),
                LayerKind::Sum => before(0).or(before(1)),
                _ => layer.size,
            });
        }
        sizes
    }

    pub fn conv(&self, layer: LayerId) -> Option<&Conv> {
        match &self.all[layer].kind {
            LayerKind::Conv(conv) => Some(conv),
            _ => None,
        }
    }
}

impl Conv {
    /// The padding as numbers at a given input size: top, left, bottom, right.
    pub fn padding(&self, [h, w]: [usize; 2]) -> [usize; 4] {
        let [kh, kw] = self.kernel();
        let same = |n, k, s| Padding::TfSame.vertical(n, k, s);
        let ((t, b), (l, r)) = (same(h.max(1), kh, self.strides[0]), same(w.max(1), kw, self.strides[1]));
        match self.pads {
            Pads::Numbers(pads) => pads,
            Pads::SameUpper => [t, l, b, r],
            Pads::SameLower => [b, r, t, l],
        }
    }

    /// Height and width of the output; `None` where the kernel does not fit into the padded input.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let pads = self.padding(size);
        let out = |i: usize| {
            let padded = size[i].checked_add(pads[i])?.checked_add(pads[i + 2])?;
            Some(padded.checked_sub(self.kernel()[i])? / self.strides[i] + 1)
        };
        Some([out(0)?, out(1)?])
    }

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

    /// One kernel over all channels that is more than a product.
    pub fn is_dense(&self) -> bool {
        self.group == 1 && !self.is_pointwise()
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

impl std::fmt::Display for FileLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            LayerKind::Image { .. } => f.write_str("the image"),
            LayerKind::Sum => f.write_str("Add"),
            LayerKind::Opaque { op, .. } => write!(f, "{op}"),
            LayerKind::Detections(_) => write!(f, "{}", Op::DetectionOutput),
            LayerKind::Broken(why) => write!(f, "a Conv with {why}"),
            LayerKind::Conv(conv) => {
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
