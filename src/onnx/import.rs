//! From an ONNX file to the network's numbers, matched by structure and never by tensor names.
//!
//! The walk finds which convolution of the graph stands where ([`super::backbone`], [`super::heads`]); here each is
//! checked against its neighbours and brought into our layouts: OIHW becomes `[kh, kw, I, O]` (depthwise, with I = 1,
//! `[kh, kw, C]`; pointwise `[Cin, Cout]`).

use std::path::Path;

use super::OnnxError;
use super::backbone::{self, BACKBONE_LAYERS, Backbone};
use super::graph::Graph;
use super::heads::{self, Detector};
use super::layers::{Conv, Kind, LayerId, Layers, Pads};
use super::metadata::Metadata;
use super::table::{Match, Stored, roles};
use crate::model::{Activation, ConvKind, ConvSpec, ConvWeights, Padding, Ssd};

/// What of the detector a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Backbone, extras and heads.
    Detector,
    /// Stem to last 1x1 only: `network` has neither extras nor heads and its `classes` is 0. `why` is for the user.
    Backbone { why: String },
}

/// What the graph does to the image before the stem, per channel: the stem sees `scale·x + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    pub scale: [f64; 3],
    pub offset: [f64; 3],
}

/// An imported network.
pub struct Imported {
    /// Batch norm folded, every `scale` 1.
    pub network: Ssd<ConvWeights>,
    pub scope: Scope,
    /// Which tensor went where, in walk order: one entry per convolution.
    pub matched: Vec<Match>,
    /// Side of the square input in pixels; `None` where the file leaves it open or it is not square.
    pub input_size: Option<usize>,
    /// Arithmetic on the image inside the graph; `None` where there is none, and [-1, 1] is assumed.
    pub normalisation: Option<Normalisation>,
    /// What a file written by Fieldtune says of itself; empty for others.
    pub metadata: Metadata,
    /// Weights of convolutions that the network has no place for (a classifier, foreign heads).
    pub unused: Vec<Stored>,
    /// What the user should know: assumptions made, parts left out.
    pub warnings: Vec<String>,
}

impl Imported {
    /// Columns of the class predictors, background included; `None` for a backbone alone.
    pub fn classes(&self) -> Option<usize> {
        (self.scope == Scope::Detector).then_some(self.network.classes)
    }

    /// Stored tensors that went into the network.
    pub fn tensor_count(&self) -> usize {
        self.matched.iter().map(|m| m.tensors.len()).sum()
    }

    /// Weights and biases of the network.
    pub fn parameter_count(&self) -> usize {
        self.network.convs().iter().map(|(_, c)| c.weight.len() + c.bias.len()).sum()
    }
}

/// Reads an SSDLite-MobileNet-V2, or the backbone of one, from an ONNX file.
///
/// Accepted: batch norm folded or not, NCHW or NHWC with transposes, weights behind DequantizeLinear, separate Pad
/// nodes, ReLU6 as Clip, Relu + Min and the like, depthwise kernels trimmed to 2x2 or 1x1 on small maps, heads without
/// depthwise, classifiers (backbone only), and anything after the predictors.
///
/// # Errors
/// If the file is not ONNX, is damaged, or its backbone is not a MobileNetV2 from the stem to the last 1x1: what is
/// missing from a backbone is never filled in.
pub fn import(path: &Path) -> Result<Imported, OnnxError> {
    let graph = Graph::read(path)?;
    let layers = Layers::of(&graph);
    let backbone = backbone::find(&layers).map_err(|end| OnnxError::Backbone {
        path: path.into(),
        matched: end.matched,
        total: BACKBONE_LAYERS,
        node: end.node,
        found: end.found,
        expected: end.expected,
    })?;
    let metadata = Metadata::read(&graph.metadata);
    let mut warnings = Vec::new();
    let sides = input_sides(&graph, &metadata);
    let (found, scope) = match heads::find(&layers, &backbone) {
        Ok(detector) => (tree(&backbone, Some(detector)), Scope::Detector),
        Err(why) => {
            warnings.push(format!("only the backbone is used: {why}; extras and heads start fresh"));
            (tree(&backbone, None), Scope::Backbone { why })
        }
    };
    let mut convert = Convert { path, layers: &layers, sizes: sizes(&layers, sides), warnings };
    let network = convert.network(&found)?;
    let normalisation = normalisation(&layers, found.stem);
    let mut warnings = convert.warnings;
    warnings.extend(normalisation.and_then(Normalisation::warning));
    if scope == Scope::Detector && metadata.producer.is_none() && network.stem.spec.padding != Padding::TfSame {
        warnings.push("padded as PyTorch does: its boxes may be coded x before y; ty, tx, th, tw is assumed".into());
    }
    let input_size = sides.filter(|[h, w]| h == w).map(|[side, _]| side);
    let matched = roles(&found).into_iter().map(|(stage, role, &id)| Match::of(stage, role, &layers, id)).collect();
    let unused = unused(&layers, &found);
    Ok(Imported { network, scope, matched, input_size, normalisation, metadata, unused, warnings })
}

/// The layers in the network's own tree. Without heads, feature map 0 is the expansion of the last block at stride 2,
/// which is where SSD taps MobileNetV2.
fn tree(backbone: &Backbone, detector: Option<Detector>) -> Ssd<LayerId> {
    let detector = detector.unwrap_or(Detector { tap: DEFAULT_TAP, extras: vec![], heads: vec![], classes: 0 });
    Ssd {
        stem: backbone.stem,
        blocks: backbone.blocks.clone(),
        tap: detector.tap,
        last: backbone.last,
        extras: detector.extras,
        heads: detector.heads,
        classes: detector.classes,
    }
}

/// Block `expanded_conv_13`, the last at stride 2.
const DEFAULT_TAP: usize = 13;

/// Height and width of the file's input, where it says.
fn input_sides(graph: &Graph, metadata: &Metadata) -> Option<[usize; 2]> {
    let sides = graph.inputs.iter().find_map(|input| match input.dims[..] {
        [_, Some(3), h, w] | [_, h, w, Some(3)] => Some([h?, w?]),
        _ => None,
    });
    sides.or(metadata.input_size.map(|s| [s, s]))
}

/// Height and width of every layer's output, as far as convolutions carry them from the image.
fn sizes(layers: &Layers, input: Option<[usize; 2]>) -> Vec<Option<[usize; 2]>> {
    let mut sizes: Vec<Option<[usize; 2]>> = Vec::with_capacity(layers.all.len());
    for layer in &layers.all {
        let before = layer.inputs.first().and_then(|&i| sizes[i]);
        sizes.push(match &layer.kind {
            Kind::Image { .. } => input,
            Kind::Sum => before,
            Kind::Conv(conv) => before.and_then(|size| {
                let pads = numbers(conv, size);
                let out = |i: usize| {
                    Some((size[i] + pads[i] + pads[i + 2]).checked_sub(conv.kernel()[i])? / conv.strides[i] + 1)
                };
                Some([out(0)?, out(1)?])
            }),
            Kind::Opaque { .. } | Kind::Broken(_) => None,
        });
    }
    sizes
}

/// A convolution's padding as numbers at a given input size: top, left, bottom, right.
fn numbers(conv: &Conv, [h, w]: [usize; 2]) -> [usize; 4] {
    let [kh, kw] = conv.kernel();
    let same = |n, k, s| Padding::TfSame.vertical(n, k, s);
    let ((t, b), (l, r)) = (same(h.max(1), kh, conv.strides[0]), same(w.max(1), kw, conv.strides[1]));
    match conv.pads {
        Pads::Numbers(pads) => pads,
        Pads::SameUpper => [t, l, b, r],
        Pads::SameLower => [b, r, t, l],
    }
}

struct Convert<'a> {
    path: &'a Path,
    layers: &'a Layers,
    sizes: Vec<Option<[usize; 2]>>,
    warnings: Vec<String>,
}

const NOT_THIS_NETWORK: &str = "the layer does not fit into an SSDLite-MobileNet-V2; check how the file was made";

/// The widest depthwise kernel that can be trained.
const LARGEST_DEPTHWISE: usize = 7;

impl Convert<'_> {
    fn network(&mut self, found: &Ssd<LayerId>) -> Result<Ssd<ConvWeights>, OnnxError> {
        let (mut converted, mut pads) = (Vec::new(), Vec::new());
        for (_, &id) in found.convs() {
            let (weights, numbers) = self.conv(id)?;
            converted.push(weights);
            pads.push(numbers);
        }
        let mut each = converted.into_iter();
        let mut network = found.map(|_, _| each.next().expect("map and convs walk the same tree"));
        self.check_blocks(found, &network)?;
        settle_padding(&mut network, &pads, self.sizes[found.stem].is_some());
        Ok(network)
    }

    /// A sum needs equal shapes on both sides.
    fn check_blocks(&self, found: &Ssd<LayerId>, network: &Ssd<ConvWeights>) -> Result<(), OnnxError> {
        for (ids, block) in found.blocks.iter().zip(&network.blocks) {
            let input = block.expand.as_ref().unwrap_or(&block.depthwise).spec.in_channels;
            let (output, stride) = (block.project.spec.out_channels, block.depthwise.spec.stride);
            if block.residual && (input != output || stride != 1) {
                let found = format!("a residual over stride {stride} from {input} to {output} channels");
                return Err(self.wrong(ids.project, found, "stride 1 and equal channels"));
            }
        }
        Ok(())
    }

    fn wrong(&self, id: LayerId, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
        OnnxError::node(self.path, &self.layers.all[id].node, found, expected, NOT_THIS_NETWORK)
    }

    /// The numbers of one convolution, and its padding at the file's input size.
    fn conv(&mut self, id: LayerId) -> Result<(ConvWeights, [usize; 4]), OnnxError> {
        let layers = self.layers;
        let layer = &layers.all[id];
        let Some(conv) = layers.conv(id) else { return Err(self.wrong(id, layer.to_string(), "a Conv")) };
        let read = layer.inputs.first().and_then(|&input| self.channels(input));
        if let Some(channels) = read.filter(|&c| c != conv.in_channels()) {
            let expected = format!("one that reads the {channels} channels of its input");
            return Err(self.wrong(id, layer.to_string(), expected));
        }
        if conv.strides[0] != conv.strides[1] || conv.dilated {
            return Err(self.wrong(id, format!("{layer}, dilated or of uneven stride"), "an even stride, no dilation"));
        }
        let kind = match (conv.is_pointwise(), conv.is_depthwise()) {
            (true, _) => ConvKind::Pointwise,
            (_, true) => ConvKind::Depthwise,
            _ => ConvKind::Dense,
        };
        if kind == ConvKind::Depthwise && conv.kernel().iter().any(|&k| k > LARGEST_DEPTHWISE) {
            let expected = format!("at most {LARGEST_DEPTHWISE}x{LARGEST_DEPTHWISE}");
            return Err(self.wrong(id, layer.to_string(), expected));
        }
        let size = layer.inputs.first().and_then(|&input| self.sizes[input]);
        let Some(pads) = known_pads(conv, size) else {
            return Err(self.wrong(id, "automatic padding without an input size", "an input of fixed size"));
        };
        let spec = ConvSpec {
            kind,
            kernel: conv.kernel(),
            stride: conv.strides[0],
            padding: Padding::TfSame,
            in_channels: conv.in_channels(),
            out_channels: conv.out_channels(),
            activation: if conv.is_linear() { Activation::Linear } else { Activation::Relu6 },
        };
        let mut weights = ConvWeights {
            spec,
            weight: reordered(conv),
            scale: vec![1.0; spec.out_channels],
            bias: conv.bias.iter().map(|&b| b as f32).collect(),
        };
        if weights.weight.iter().chain(&weights.bias).any(|v| !v.is_finite()) {
            return Err(self.wrong(id, "weights that are not finite numbers", "finite numbers"));
        }
        let pads = self.widen(&mut weights, pads, size);
        weights.spec.padding = padding(&weights.spec, pads, size);
        if weights.spec.kind == ConvKind::Pointwise && weights.spec.padding != Padding::TfSame {
            return Err(self.wrong(id, format!("a 1x1 Conv with padding {pads:?}"), "no padding"));
        }
        Ok((weights, pads))
    }

    fn channels(&self, id: LayerId) -> Option<usize> {
        match &self.layers.all[id].kind {
            Kind::Conv(conv) => Some(conv.out_channels()),
            Kind::Sum => self.layers.all[id].inputs.iter().find_map(|&i| self.channels(i)),
            _ => None,
        }
    }

    /// Exporters trim a depthwise kernel whose outer taps would only ever see padding, on 2x2 and 1x1 maps. Put back
    /// as zeros with the padding that goes with them, they change nothing, and every depthwise is 3x3.
    fn widen(&mut self, weights: &mut ConvWeights, pads: [usize; 4], size: Option<[usize; 2]>) -> [usize; 4] {
        let ConvSpec { kind, kernel: [kh, kw], stride, out_channels, .. } = weights.spec;
        if kind != ConvKind::Depthwise || kh > 3 || kw > 3 || [kh, kw] == [3, 3] {
            return pads;
        }
        let offset = |k: usize, n: Option<usize>, before: usize| {
            let same = n.map_or(1, |n| Padding::TfSame.vertical(n, 3, stride).0);
            same.saturating_sub(before).min(3 - k)
        };
        let (dy, dx) = (offset(kh, size.map(|s| s[0]), pads[0]), offset(kw, size.map(|s| s[1]), pads[1]));
        let mut wide = vec![0.0; 9 * out_channels];
        for (i, tap) in weights.weight.chunks_exact(out_channels).enumerate() {
            let at = ((i / kw + dy) * 3 + i % kw + dx) * out_channels;
            wide[at..at + out_channels].copy_from_slice(tap);
        }
        weights.weight = wide;
        weights.spec.kernel = [3, 3];
        self.warnings
            .push(format!("a {kh}x{kw} depthwise kernel was trimmed by its exporter; its zero taps are put back"));
        [pads[0] + dy, pads[1] + dx, pads[2] + 3 - kh - dy, pads[3] + 3 - kw - dx]
    }
}

fn known_pads(conv: &Conv, size: Option<[usize; 2]>) -> Option<[usize; 4]> {
    match (conv.pads, size) {
        (Pads::Numbers(pads), _) => Some(pads),
        (_, Some(size)) => Some(numbers(conv, size)),
        // Any size will do where it does not matter.
        (Pads::SameUpper | Pads::SameLower, None) if conv.strides == [1, 1] => Some(numbers(conv, [64, 64])),
        (Pads::SameUpper, None) => Some(numbers(conv, [64, 64])),
        (Pads::SameLower, None) => None,
    }
}

/// TensorFlow's rule where the numbers are those of the rule at this size, else the numbers.
fn padding(spec: &ConvSpec, [top, left, bottom, right]: [usize; 4], size: Option<[usize; 2]>) -> Padding {
    // At stride 1 the rule does not depend on the size, and at stride 2 an even one is the common case.
    let [h, w] = size.unwrap_or([64, 64]);
    let ([kh, kw], rule) = (spec.kernel, Padding::TfSame);
    let same =
        rule.vertical(h, kh, spec.stride) == (top, bottom) && rule.horizontal(w, kw, spec.stride) == (left, right);
    if same { rule } else { Padding::Explicit { top, left, bottom, right } }
}

/// One network has one rule, so that it keeps its meaning at other sizes. Where a strided layer departs from
/// TensorFlow's, numbers that equal it on an odd map by chance, such as PyTorch's (1, 1, 1, 1), stay numbers. Where the
/// file leaves its size open nothing can be compared, but more rows after than before is TensorFlow's alone.
fn settle_padding(network: &mut Ssd<ConvWeights>, pads: &[[usize; 4]], sized: bool) {
    let mut strided = network.convs_mut();
    let strided: Vec<_> = strided.iter_mut().map(|(_, c)| c).zip(pads).filter(|(c, _)| c.spec.stride > 1).collect();
    let same = if sized {
        strided.iter().all(|(c, _)| c.spec.padding == Padding::TfSame)
    } else {
        strided.iter().any(|(_, [top, left, bottom, right])| (top, left) < (bottom, right))
    };
    for (conv, &[top, left, bottom, right]) in strided {
        conv.spec.padding = if same { Padding::TfSame } else { Padding::Explicit { top, left, bottom, right } };
    }
}

/// The weight in our layout, output channel fastest, the folded scale multiplied in.
fn reordered(conv: &Conv) -> Vec<f32> {
    let &[out, inner, kh, kw] = conv.weight.dims.as_slice() else { return vec![] };
    let taps = kh * kw;
    let mut weight = vec![0.0; conv.weight.data.len()];
    for (o, filter) in conv.weight.data.chunks_exact(inner * taps).enumerate() {
        for (i, plane) in filter.chunks_exact(taps).enumerate() {
            for (tap, &w) in plane.iter().enumerate() {
                weight[(tap * inner + i) * out + o] = (f64::from(w) * conv.scale[o]) as f32;
            }
        }
    }
    weight
}

fn normalisation(layers: &Layers, stem: LayerId) -> Option<Normalisation> {
    let &input = layers.all[stem].inputs.first()?;
    let Kind::Image { scale, bias } = &layers.all[input].kind else { return None };
    let (scale, offset) = (scale.as_slice().try_into().ok()?, bias.as_slice().try_into().ok()?);
    (scale != [1.0; 3] || offset != [0.0; 3]).then_some(Normalisation { scale, offset })
}

impl Normalisation {
    /// What to say where it is not Fieldtune's [-1, 1] from either 0..255 or 0..1.
    fn warning(self) -> Option<String> {
        let usual = |scale: f64, offset: f64| {
            let near = |a: f64, b: f64| (a - b).abs() < 0.01 * b.abs();
            near(offset, -1.0) && (near(scale, 2.0) || near(scale, 1.0 / 127.5))
        };
        let fits = self.scale.iter().zip(self.offset).all(|(&s, o)| usual(s, o));
        (!fits).then(|| {
            format!(
                "the file normalises its input itself, by {:?} and {:?}; Fieldtune trains it on [-1, 1]",
                self.scale, self.offset
            )
        })
    }
}

/// The weights of convolutions that are not part of the network.
fn unused(layers: &Layers, found: &Ssd<LayerId>) -> Vec<Stored> {
    let used: Vec<LayerId> = found.convs().into_iter().map(|(_, &id)| id).collect();
    let left = (0..layers.all.len()).filter(|id| !used.contains(id));
    left.filter_map(|id| layers.conv(id)).flat_map(|c| c.tensors.iter().cloned().map(Stored::from)).collect()
}
