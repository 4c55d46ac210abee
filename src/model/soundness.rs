//! The soundness of shapes out of a file as a network: everything that its layers, its memory plan and its anchors take
//! for granted.

use super::ssd::{Block, Ssd};
use super::weights::{ConvKind, ConvSpec, Padding};

/// Bounds on what a file may ask for, far beyond every MobileNetV2.
const MOST_LAYERS: usize = 512;
const MOST_CHANNELS: usize = 1 << 20;
const MOST_KERNEL: usize = 7;
const MOST_STRIDE: usize = 4;
const MOST_ANCHORS: usize = 64;

/// Height or width of a map, with its channels.
#[derive(Clone, Copy)]
struct Map {
    size: [usize; 2],
    channels: usize,
}

impl Ssd<ConvSpec> {
    /// Checks that the network runs on an input of `[height, width]` pixels.
    ///
    /// # Errors
    /// The layer that does not fit, with what was found and expected.
    pub fn check(&self, size: [usize; 2]) -> Result<(), String> {
        if self.convs().len() > MOST_LAYERS {
            return Err(format!("{} layers, expected at most {MOST_LAYERS}", self.convs().len()));
        }
        let mut at = Map { size, channels: 3 };
        at = through("the stem", &self.stem, at)?;
        let mut maps = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            at = through_block(i, block, at, (i == self.tap).then_some(&mut maps))?;
        }
        if maps.is_empty() {
            return Err(format!("tap {}, expected a block with an expansion", self.tap));
        }
        at = through("the last backbone layer", &self.last, at)?;
        maps.push(at);
        for (i, extra) in self.extras.iter().enumerate() {
            for layer in extra.layers() {
                at = through(&format!("extra {i}"), layer, at)?;
            }
            maps.push(at);
        }
        if self.heads.len() != maps.len() {
            return Err(format!("{} heads, expected one for each of {} feature maps", self.heads.len(), maps.len()));
        }
        if !(2..=MOST_CHANNELS).contains(&self.classes) {
            return Err(format!("{} classes, expected 2 or more with the background", self.classes));
        }
        for (i, (head, map)) in self.heads.iter().zip(maps).enumerate() {
            if !(1..=MOST_ANCHORS).contains(&head.anchors_per_cell) {
                return Err(format!(
                    "head {i}: {} anchors per cell, expected 1 to {MOST_ANCHORS}",
                    head.anchors_per_cell
                ));
            }
            let branches = [
                ("boxes", &head.box_depthwise, &head.box_predictor, 4),
                ("classes", &head.class_depthwise, &head.class_predictor, self.classes),
            ];
            for (name, depthwise, predictor, columns) in branches {
                let place = format!("head {i} for {name}");
                let inner = depthwise.as_ref().map_or(Ok(map), |layer| through(&place, layer, map))?;
                let out = through(&place, predictor, inner)?;
                let expected = head.anchors_per_cell * columns;
                if out.size != map.size || out.channels != expected {
                    return Err(format!("{place}: {} channels, expected {expected} at its map's size", out.channels));
                }
            }
        }
        self.check_anchors().map_err(|e| e.to_string())
    }
}

fn through_block(i: usize, block: &Block<ConvSpec>, input: Map, tapped: Option<&mut Vec<Map>>) -> Result<Map, String> {
    let place = format!("block {i}");
    let mut at = input;
    if let Some(expand) = &block.expand {
        at = through(&place, expand, at)?;
        tapped.into_iter().for_each(|maps| maps.push(at));
    }
    if block.depthwise.kind != ConvKind::Depthwise || block.project.kind != ConvKind::Pointwise {
        return Err(format!("{place}: expected a depthwise and a 1x1 layer"));
    }
    at = through(&place, &block.depthwise, at)?;
    at = through(&place, &block.project, at)?;
    if block.residual && (at.size != input.size || at.channels != input.channels) {
        return Err(format!("{place}: its input cannot be added to its output of another shape"));
    }
    Ok(at)
}

/// The map behind a layer.
fn through(place: &str, spec: &ConvSpec, input: Map) -> Result<Map, String> {
    let wrong = |what: String| Err(format!("{place}: {what}"));
    let channels = 1..=MOST_CHANNELS;
    if spec.in_channels != input.channels || !channels.contains(&spec.out_channels) {
        return wrong(format!("{} to {} channels, behind {}", spec.in_channels, spec.out_channels, input.channels));
    }
    let [kh, kw] = spec.kernel;
    if !(1..=MOST_KERNEL).contains(&kh) || !(1..=MOST_KERNEL).contains(&kw) || !(1..=MOST_STRIDE).contains(&spec.stride)
    {
        return wrong(format!("a {kh}x{kw} kernel at stride {}", spec.stride));
    }
    let kind_fits = match spec.kind {
        ConvKind::Pointwise => spec.kernel == [1, 1] && spec.stride == 1,
        ConvKind::Depthwise => spec.in_channels == spec.out_channels,
        ConvKind::Dense => true,
    };
    if !kind_fits {
        return wrong(format!("{spec:?} is no such layer"));
    }
    let padding = match spec.padding {
        Padding::TfSame => [0; 4],
        Padding::Explicit { top, left, bottom, right } => [top, left, bottom, right],
    };
    // More padding than kernel would make outputs of nothing.
    let padded = [kh, kw, kh, kw].iter().zip(padding).all(|(k, p)| p < *k);
    let [h, w] = input.size;
    if !padded || h + padding[0] + padding[2] < 1 || w + padding[1] + padding[3] < 1 {
        return wrong(format!("padding {padding:?} for a {kh}x{kw} kernel"));
    }
    let (top, bottom) = spec.padding.vertical(h, kh, spec.stride);
    let (left, right) = spec.padding.horizontal(w, kw, spec.stride);
    if h + top + bottom < kh || w + left + right < kw {
        return wrong(format!("a {kh}x{kw} kernel on a map of {h}x{w}"));
    }
    let elements = spec.kernel.iter().product::<usize>().checked_mul(spec.in_channels);
    if elements.and_then(|n| n.checked_mul(spec.out_channels)).is_none() {
        return wrong("more weights than can be counted".into());
    }
    Ok(Map { size: spec.output_size(input.size), channels: spec.out_channels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ssd_mobilenet_v2, ssdlite_mobilenet_v2};

    #[test]
    fn real_networks_pass_and_broken_ones_are_told() {
        let sound = ssdlite_mobilenet_v2(0.35, 4, true);
        for size in [64, 96, 300, 1280] {
            sound.check([size, size]).unwrap();
            ssd_mobilenet_v2(1.0, 91).check([size, 2 * size]).unwrap();
        }
        type Break = fn(&mut Ssd<ConvSpec>);
        let broken: [(Break, &str); 9] = [
            (|n| n.stem.in_channels = 1, "the stem"),
            (|n| n.stem.out_channels = usize::MAX, "the stem"),
            (|n| n.stem.stride = 0, "stride 0"),
            (|n| n.blocks[3].residual ^= true, "block 3"),
            (|n| n.blocks[5].project.kernel = [3, 3], "block 5"),
            (|n| n.tap = 99, "tap 99"),
            (|n| n.classes = 0, "0 classes"),
            (|n| n.heads[2].anchors_per_cell = 1 << 60, "head 2"),
            (|n| n.heads.truncate(5), "heads"),
        ];
        for (spoil, part) in broken {
            let mut network = sound.clone();
            spoil(&mut network);
            let error = network.check([96, 96]).unwrap_err();
            assert!(error.contains(part), "{error}, expected {part}");
        }
    }
}
