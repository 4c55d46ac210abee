//! The shape of SSD-MobileNet-V2 (Sandler et al. 2018, table 2, and the TensorFlow Object Detection API's
//! `ssdlite_mobilenet_v2` and `ssd_mobilenet_v2` for the extras and heads).

use super::convention::Convention;
use super::ssd::{Block, Extra, Head, Ssd};
use super::weights::{Activation, ConvKind, ConvSpec, Padding};

/// (expansion, output channels at width 1, repeats, first stride) of each group of blocks.
const GROUPS: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// (reduce, expand) channels of the extra feature maps.
const EXTRAS: [(usize, usize); 4] = [(256, 512), (128, 256), (128, 256), (64, 128)];

/// The block whose expansion is feature map 0: the first of stride 32, so its expansion is the last map of stride 16.
const TAP: usize = 13;

/// Anchors per cell: 3 on the lowest map, 6 on the others.
fn anchors_per_cell(map: usize) -> usize {
    if map == 0 { 3 } else { 6 }
}

/// Channels scaled by `width`, rounded to a multiple of 8 and never down by more than a tenth.
fn scaled(channels: usize, width: f64) -> usize {
    let exact = channels as f64 * width;
    let rounded = (((exact + 4.0) / 8.0).floor() as usize * 8).max(8);
    if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
}

fn pointwise(cin: usize, cout: usize, activation: Activation) -> ConvSpec {
    ConvSpec {
        kind: ConvKind::Pointwise,
        kernel: [1, 1],
        stride: 1,
        padding: Padding::TfSame,
        in_channels: cin,
        out_channels: cout,
        activation,
    }
}

fn depthwise(channels: usize, stride: usize) -> ConvSpec {
    ConvSpec {
        kind: ConvKind::Depthwise,
        kernel: [3, 3],
        stride,
        padding: Padding::TfSame,
        in_channels: channels,
        out_channels: channels,
        activation: Activation::Relu6,
    }
}

fn dense(cin: usize, cout: usize, stride: usize) -> ConvSpec {
    ConvSpec {
        kind: ConvKind::Dense,
        kernel: [3, 3],
        stride,
        padding: Padding::TfSame,
        in_channels: cin,
        out_channels: cout,
        activation: Activation::Relu6,
    }
}

/// SSDLite's shape at `width` (0.35 to 1.4) with `classes` columns, background included.
///
/// Widths above 1 widen the last layer too; below 1 it stays at 1280 in classifiers, and shrinks here with
/// `scale_last`, which narrow networks trained from scratch want.
pub fn ssdlite_mobilenet_v2(width: f64, classes: usize, scale_last: bool) -> Ssd<ConvSpec> {
    let stem_channels = scaled(32, width);
    let stem = dense(3, stem_channels, 2);
    let (mut channels, mut blocks) = (stem_channels, Vec::new());
    for (expansion, base, repeats, first_stride) in GROUPS {
        let out = scaled(base, width);
        for i in 0..repeats {
            let (stride, wide) = (if i == 0 { first_stride } else { 1 }, channels * expansion);
            blocks.push(Block {
                expand: (expansion > 1).then(|| pointwise(channels, wide, Activation::Relu6)),
                depthwise: depthwise(wide, stride),
                project: pointwise(wide, out, Activation::Linear),
                residual: stride == 1 && channels == out,
            });
            channels = out;
        }
    }
    let last_width = if scale_last { width } else { width.max(1.0) };
    let last = pointwise(channels, scaled(1280, last_width), Activation::Relu6);
    let extra_width = if scale_last { width } else { 1.0 };
    let (mut extras, mut input) = (Vec::new(), last.out_channels);
    for (reduce, expand) in EXTRAS {
        let (reduce, expand) = (scaled(reduce, extra_width), scaled(expand, extra_width));
        extras.push(Extra {
            reduce: pointwise(input, reduce, Activation::Relu6),
            spatial: depthwise(reduce, 2),
            expand: Some(pointwise(reduce, expand, Activation::Relu6)),
        });
        input = expand;
    }
    let tapped = blocks[TAP].depthwise.in_channels;
    let map_channels =
        [tapped, last.out_channels].into_iter().chain(extras.iter().map(|e: &Extra<ConvSpec>| e.output().out_channels));
    let heads = map_channels.enumerate().map(|(i, c)| head(c, anchors_per_cell(i), classes)).collect();
    Ssd { stem, blocks, tap: TAP, last, extras, heads, classes, convention: Convention::default() }
}

/// The plain SSD's shape at `width` with `classes` columns, background included: dense extras, predictors without
/// depthwise. Its extras are as wide at every width.
pub fn ssd_mobilenet_v2(width: f64, classes: usize) -> Ssd<ConvSpec> {
    let mut network = ssdlite_mobilenet_v2(width, classes, false);
    for extra in &mut network.extras {
        let Some(expand) = extra.expand.take() else { continue };
        extra.spatial = dense(extra.reduce.out_channels, expand.out_channels, 2);
    }
    for head in &mut network.heads {
        (head.box_depthwise, head.class_depthwise) = (None, None);
    }
    network
}

/// The two predictors on a map of `channels`.
pub fn head(channels: usize, anchors_per_cell: usize, classes: usize) -> Head<ConvSpec> {
    Head {
        box_depthwise: Some(depthwise(channels, 1)),
        box_predictor: pointwise(channels, anchors_per_cell * 4, Activation::Linear),
        class_depthwise: Some(depthwise(channels, 1)),
        class_predictor: pointwise(channels, anchors_per_cell * classes, Activation::Linear),
        anchors_per_cell,
    }
}

/// The extra feature maps of the standard network behind a last layer of `channels`.
pub fn extras(channels: usize) -> Vec<Extra<ConvSpec>> {
    let mut input = channels;
    EXTRAS
        .into_iter()
        .map(|(reduce, expand)| {
            let extra = Extra {
                reduce: pointwise(input, reduce, Activation::Relu6),
                spatial: depthwise(reduce, 2),
                expand: Some(pointwise(reduce, expand, Activation::Relu6)),
            };
            input = expand;
            extra
        })
        .collect()
}

impl Ssd<ConvSpec> {
    /// Height and width of every feature map for an input of `[height, width]` pixels.
    pub fn map_sizes(&self, size: [usize; 2]) -> Vec<[usize; 2]> {
        let mut at = self.stem.output_size(size);
        let mut maps = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            if i == self.tap {
                maps.push(at);
            }
            at = block.depthwise.output_size(at);
        }
        maps.push(at);
        for extra in &self.extras {
            at = extra.spatial.output_size(at);
            maps.push(at);
        }
        maps
    }

    /// Anchors in all for an input of `[height, width]` pixels.
    pub fn anchor_count(&self, size: [usize; 2]) -> usize {
        self.map_sizes(size).iter().zip(&self.heads).map(|([h, w], head)| h * w * head.anchors_per_cell).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_width_network_has_the_known_size() {
        let net = ssdlite_mobilenet_v2(1.0, 91, false);
        let parameters: usize = net.convs().iter().map(|(_, c)| c.weight_len() + c.out_channels).sum();
        assert_eq!((net.convs().len() * 2, parameters), (176, 4_475_167));
        assert_eq!(net.map_sizes([300, 300]), [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]]);
        assert_eq!(net.anchor_count([300, 300]), 1917);
    }

    #[test]
    fn every_depthwise_width_suits_the_vectors() {
        for width in [0.35, 0.5, 0.75, 1.0, 1.4] {
            let net = ssdlite_mobilenet_v2(width, 2, false);
            for (stage, conv) in net.convs() {
                assert_eq!(conv.out_channels % 2, 0, "{stage:?} at width {width}");
                if conv.kind == ConvKind::Depthwise {
                    assert_eq!(conv.out_channels % 8, 0, "{stage:?} at width {width}");
                }
            }
        }
    }
}
