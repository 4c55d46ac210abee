//! The numbers of each convolution, checked against its neighbours and brought into our layouts: OIHW becomes
//! `[kh, kw, I, O]` (depthwise, with I = 1, `[kh, kw, C]`; pointwise `[Cin, Cout]`).

use std::path::Path;

use super::layers::{Conv, LayerId, Layers};
use super::padding;
use crate::interchange::InterchangeError;
use crate::model::{Activation, ConvKind, ConvSpec, ConvWeights, Padding, Ssd, Stage};

const NOT_THIS_NETWORK: &str = "the layer does not fit into an SSD-MobileNet-V2; check how the file was made";

/// The widest depthwise kernel that can be trained.
const LARGEST_DEPTHWISE: usize = 7;

pub struct Convert<'a> {
    pub path: &'a Path,
    pub layers: &'a Layers,
    /// Height and width of every layer's output.
    pub sizes: Vec<Option<[usize; 2]>>,
    /// True if the file itself says how large its input is.
    pub sized: bool,
    /// Nodes whose kernels were trimmed.
    pub trimmed: Vec<String>,
}

impl Convert<'_> {
    /// # Errors
    /// If a layer does not fit to those around it, at any size or at the file's.
    pub fn network(&mut self, found: &Ssd<LayerId>) -> Result<Ssd<ConvWeights>, InterchangeError> {
        let (mut converted, mut pads) = (Vec::new(), Vec::new());
        for (stage, &id) in found.convs() {
            let (weights, numbers) = self.conv(stage, id)?;
            converted.push(weights);
            pads.push(numbers);
        }
        let mut each = converted.into_iter();
        let mut network = found.map(|_, _| each.next().expect("map and convs walk the same tree"));
        self.check_blocks(found, &network)?;
        self.check_heads(found)?;
        padding::settle(&mut network, &pads, self.sized);
        Ok(network)
    }

    /// A sum needs equal shapes on both sides.
    fn check_blocks(&self, found: &Ssd<LayerId>, network: &Ssd<ConvWeights>) -> Result<(), InterchangeError> {
        for (ids, block) in found.blocks.iter().zip(&network.blocks).filter(|(_, block)| block.residual) {
            let input = block.expand.as_ref().unwrap_or(&block.depthwise).spec.in_channels;
            let (output, stride) = (block.project.spec.out_channels, block.depthwise.spec.stride);
            if input != output || stride != 1 {
                let found = format!("a residual over stride {stride} from {input} to {output} channels");
                return Err(self.wrong(ids.project, found, "stride 1 and equal channels"));
            }
            let before = self.layers.all[*ids.expand.as_ref().unwrap_or(&ids.depthwise)].inputs.first();
            let sides = [before.and_then(|&id| self.sizes[id]), self.sizes[ids.project]];
            if let [Some(before), Some(after)] = sides
                && before != after
            {
                let found = format!("a residual from {}x{} to {}x{}", before[0], before[1], after[0], after[1]);
                return Err(self.wrong(ids.project, found, "maps of equal size"));
            }
        }
        Ok(())
    }

    /// A predictor has a row of anchors for every cell of its map.
    fn check_heads(&self, found: &Ssd<LayerId>) -> Result<(), InterchangeError> {
        let tapped = found.blocks[found.tap].expand.into_iter();
        let maps = tapped.chain([found.last]).chain(found.extras.iter().map(|e| *e.output()));
        for (head, map) in found.heads.iter().zip(maps) {
            for id in [head.box_predictor, head.class_predictor] {
                if self.sizes[id] != self.sizes[map] {
                    let [at, of] =
                        [id, map].map(|id| self.sizes[id].map_or("no size".into(), |[h, w]| format!("{h}x{w}")));
                    return Err(self.wrong(id, format!("a predictor of {at} cells on a map of {of}"), "as many"));
                }
            }
        }
        Ok(())
    }

    fn wrong(&self, id: LayerId, found: impl Into<String>, expected: impl Into<String>) -> InterchangeError {
        InterchangeError::node(self.path, &self.layers.all[id].node, found, expected, NOT_THIS_NETWORK)
    }

    /// The numbers of one convolution, and its padding at the file's input size.
    fn conv(&mut self, stage: Stage, id: LayerId) -> Result<(ConvWeights, [usize; 4]), InterchangeError> {
        let layers = self.layers;
        let layer = &layers.all[id];
        let Some(conv) = layers.conv(id) else { return Err(self.wrong(id, layer.to_string(), "a Conv")) };
        let before = layer.inputs.first().copied();
        if let Some(channels) = before.and_then(|id| layers.all[id].channels).filter(|&c| c != conv.in_channels()) {
            let expected = format!("one that reads the {channels} channels of its input");
            return Err(self.wrong(id, layer.to_string(), expected));
        }
        if conv.strides[0] != conv.strides[1] || conv.strides[0] > 2 || conv.dilated {
            let found = format!("{layer}, dilated or of uneven stride");
            return Err(self.wrong(id, found, "stride 1 or 2, no dilation"));
        }
        let kind = match (conv.is_pointwise(), conv.is_depthwise()) {
            (true, _) => ConvKind::Pointwise,
            (_, true) => ConvKind::Depthwise,
            _ => ConvKind::Dense,
        };
        let largest = if kind == ConvKind::Depthwise { LARGEST_DEPTHWISE } else { 3 };
        if conv.kernel().iter().any(|&k| k > largest) {
            return Err(self.wrong(id, layer.to_string(), format!("a kernel of at most {largest}x{largest}")));
        }
        let size = before.and_then(|input| self.sizes[input]);
        let stated = size.filter(|_| self.sized);
        let Some(pads) = padding::numbers(conv, stated) else {
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
        let pads = if stage == Stage::Stem { pads } else { self.widen(&mut weights, pads, stated, &layer.node) };
        if size.is_some() && self.sizes[id].is_none() {
            let [h, w] = size.unwrap_or_default();
            return Err(self.wrong(id, format!("{layer} on a map of {h}x{w}"), "one that its kernel fits into"));
        }
        weights.spec.padding = padding::rule(&weights.spec, pads, stated);
        if weights.spec.kind == ConvKind::Pointwise && weights.spec.padding != Padding::TfSame {
            return Err(self.wrong(id, format!("a 1x1 Conv with padding {pads:?}"), "no padding"));
        }
        Ok((weights, pads))
    }

    /// Exporters trim a kernel whose outer taps would only ever see padding, on 2x2 and 1x1 maps. Put back as zeros
    /// with the padding that goes with them, they change nothing, and every kernel is 3x3.
    fn widen(
        &mut self,
        weights: &mut ConvWeights,
        pads: [usize; 4],
        size: Option<[usize; 2]>,
        node: &str,
    ) -> [usize; 4] {
        let ConvSpec { kind, kernel: [kh, kw], stride, .. } = weights.spec;
        if kind == ConvKind::Pointwise || kh > 3 || kw > 3 || [kh, kw] == [3, 3] {
            return pads;
        }
        let offset = |k: usize, n: Option<usize>, before: usize| {
            let same = n.map_or(1, |n| Padding::TfSame.vertical(n, 3, stride).0);
            same.saturating_sub(before).min(3 - k)
        };
        let (dy, dx) = (offset(kh, size.map(|s| s[0]), pads[0]), offset(kw, size.map(|s| s[1]), pads[1]));
        let row = weights.weight.len() / (kh * kw);
        let mut wide = vec![0.0; 9 * row];
        for (i, tap) in weights.weight.chunks_exact(row).enumerate() {
            let at = ((i / kw + dy) * 3 + i % kw + dx) * row;
            wide[at..at + row].copy_from_slice(tap);
        }
        weights.weight = wide;
        weights.spec.kernel = [3, 3];
        // On a side of 1 the missing taps could never have read the map, and our own files leave them out.
        let void = |k: usize, side: usize| k == 3 || size.is_some_and(|s| s[side] == 1);
        if kind != ConvKind::Depthwise || !(void(kh, 0) && void(kw, 1)) {
            self.trimmed.push(format!("{node} {kh}x{kw}"));
        }
        [pads[0] + dy, pads[1] + dx, pads[2] + 3 - kh - dy, pads[3] + 3 - kw - dx]
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
