//! The network as a list of steps on numbered values, at one input size: what every written form is made from.
//!
//! Paddings are numbers. A depthwise kernel on a map with a side of 1 is cut to the taps that read the map, which
//! changes no result: OpenCV 4.8 to 4.12 read outside such maps where they are padded.

use std::borrow::Cow;
use std::path::Path;

use super::{names, refused};
use crate::interchange::InterchangeError;
use crate::interchange::table::{Role, roles};
use crate::model::{ConvKind, ConvWeights, LayerStep, LayerWalk, Ssd, Stage};

/// A feature map, `[H, W, C]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MapValue {
    /// Empty for the image: its name belongs to the form.
    pub name: String,
    pub size: [usize; 2],
    pub channels: usize,
}

pub enum ExportStep<'a> {
    Conv {
        /// The name of the node, and the prefix of its weights' names.
        scope: String,
        conv: Cow<'a, ConvWeights>,
        /// Row and column of the kernel's first tap in the network's own kernel.
        first_tap: [usize; 2],
        /// Top, left, bottom, right.
        pads: [usize; 4],
        input: usize,
        output: usize,
    },
    Add {
        scope: String,
        inputs: [usize; 2],
        output: usize,
    },
}

/// A predictor's output, to be flattened to `[anchors, columns]`.
pub struct HeadOutput {
    pub scope: String,
    pub value: usize,
}

pub struct Layout<'a> {
    /// Value 0 is the image.
    pub values: Vec<MapValue>,
    pub steps: Vec<ExportStep<'a>>,
    /// One for each feature map.
    pub boxes: Vec<HeadOutput>,
    pub classes: Vec<HeadOutput>,
    /// Rows, columns and anchors per cell of each feature map.
    pub maps: Vec<([usize; 2], usize)>,
}

impl<'a> Layout<'a> {
    /// # Errors
    /// If a kernel does not fit into its map; `path` is for the message.
    pub fn of(network: &'a Ssd<ConvWeights>, size: [usize; 2], path: &Path) -> Result<Self, InterchangeError> {
        let image = MapValue { name: String::new(), size, channels: network.stem.spec.in_channels };
        let (values, steps) = (vec![image], Vec::new());
        let layout = Self { values, steps, boxes: Vec::new(), classes: Vec::new(), maps: Vec::new() };
        let mut drawing = Drawing { path, layout, stage: Stage::Stem };
        // The walk numbers its values as the layout does.
        let (walk, layers) = (LayerWalk::of(network), roles(network));
        for step in &walk.steps {
            drawing.step(network, &layers, *step)?;
        }
        for ((head, &map), &[boxes, classes]) in network.heads.iter().zip(&walk.maps).zip(&walk.predictors) {
            drawing.layout.maps.push((drawing.layout.values[map].size, head.anchors_per_cell));
            let [boxes, classes] = [boxes, classes].map(|value| drawing.branch(value));
            drawing.layout.boxes.push(boxes);
            drawing.layout.classes.push(classes);
        }
        Ok(drawing.layout)
    }
}

struct Drawing<'a, 'p> {
    path: &'p Path,
    layout: Layout<'a>,
    /// The stage of the last layer.
    stage: Stage,
}

impl<'a> Drawing<'a, '_> {
    fn value(&mut self, name: String, size: [usize; 2], channels: usize) -> usize {
        self.layout.values.push(MapValue { name, size, channels });
        self.layout.values.len() - 1
    }

    fn conv(&mut self, scope: String, conv: &'a ConvWeights, input: usize) -> Result<(), InterchangeError> {
        let (spec, size) = (&conv.spec, self.layout.values[input].size);
        let (top, bottom) = spec.padding.vertical(size[0], spec.kernel[0], spec.stride);
        let (left, right) = spec.padding.horizontal(size[1], spec.kernel[1], spec.stride);
        if size[0] + top + bottom < spec.kernel[0] || size[1] + left + right < spec.kernel[1] {
            let found = format!("a {}x{} map", size[0], size[1]);
            return Err(refused(self.path, &scope, found, "one that its kernel fits into"));
        }
        let end = if spec.activation == crate::model::Activation::Linear { "out" } else { "relu6" };
        let output = self.value(format!("{scope}/{end}"), spec.output_size(size), spec.out_channels);
        let Trimmed { conv, pads, first_tap } = trimmed(conv, [top, left, bottom, right], size);
        self.layout.steps.push(ExportStep::Conv { scope, conv, first_tap, pads, input, output });
        Ok(())
    }

    /// The next step of the walk; `layers` are those of `network` in walk order.
    fn step(
        &mut self,
        network: &'a Ssd<ConvWeights>,
        layers: &[(Stage, Role, &'a ConvWeights)],
        step: LayerStep<usize>,
    ) -> Result<(), InterchangeError> {
        match step {
            LayerStep::Layer { position, input } => {
                let (stage, role, conv) = layers[position];
                self.stage = stage;
                let extra_width = match stage {
                    Stage::Extra(i) => network.extras[i].output().spec.out_channels,
                    _ => 0,
                };
                self.conv(names::conv(stage, role, &conv.spec, extra_width), conv, input)
            }
            LayerStep::Sum([out, input]) => {
                let Stage::Block(i) = self.stage else { panic!("only blocks have residuals, not {:?}", self.stage) };
                let scope = format!("{}/add", names::block(i));
                let MapValue { size, channels, .. } = self.layout.values[out];
                let output = self.value(scope.clone(), size, channels);
                self.layout.steps.push(ExportStep::Add { scope, inputs: [input, out], output });
                Ok(())
            }
        }
    }

    /// The predictor that puts `value` out.
    fn branch(&self, value: usize) -> HeadOutput {
        // Each step has one output.
        let ExportStep::Conv { scope, .. } = &self.layout.steps[value - 1] else {
            panic!("a predictor is a convolution")
        };
        HeadOutput { scope: scope.clone(), value }
    }
}

/// A convolution as it is written.
struct Trimmed<'a> {
    conv: Cow<'a, ConvWeights>,
    pads: [usize; 4],
    first_tap: [usize; 2],
}

/// The convolution without the taps of a depthwise kernel that only ever see padding, along every side of 1.
fn trimmed(conv: &ConvWeights, pads: [usize; 4], size: [usize; 2]) -> Trimmed<'_> {
    let spec = &conv.spec;
    // (first tap kept, taps kept) along an axis; on a side of 1 there is one output, whose window begins at -before.
    let kept = |axis: usize| {
        let (k, before, after) = (spec.kernel[axis], pads[axis], pads[axis + 2]);
        let alone = size[axis] == 1 && before < k && before + 1 + after < k + spec.stride;
        if spec.kind == ConvKind::Depthwise && alone { (before, 1) } else { (0, k) }
    };
    let [(y, rows), (x, columns)] = [kept(0), kept(1)];
    if [rows, columns] == spec.kernel {
        return Trimmed { conv: Cow::Borrowed(conv), pads, first_tap: [0, 0] };
    }
    let channels = spec.out_channels;
    let mut cut = conv.clone();
    cut.spec.kernel = [rows, columns];
    cut.weight = (0..rows * columns)
        .map(|tap| (y + tap / columns) * spec.kernel[1] + x + tap % columns)
        .flat_map(|tap| conv.weight[tap * channels..][..channels].iter().copied())
        .collect();
    let pad = |axis: usize| if spec.kernel[axis % 2] == cut.spec.kernel[axis % 2] { pads[axis] } else { 0 };
    let pads = std::array::from_fn(pad);
    Trimmed { conv: Cow::Owned(cut), pads, first_tap: [y, x] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, ConvSpec, Padding};

    fn depthwise(stride: usize) -> ConvWeights {
        let spec = ConvSpec {
            kind: ConvKind::Depthwise,
            kernel: [3, 3],
            stride,
            padding: Padding::TfSame,
            in_channels: 2,
            out_channels: 2,
            activation: Activation::Relu6,
        };
        ConvWeights { spec, weight: (0..18).map(|i| i as f32).collect(), scale: vec![1.0; 2], bias: vec![0.0; 2] }
    }

    #[test]
    fn taps_that_see_padding_only_are_cut_and_no_others() {
        for stride in [1, 2] {
            let conv = depthwise(stride);
            let Trimmed { conv: cut, pads, first_tap } = trimmed(&conv, [1; 4], [1, 1]);
            assert_eq!((cut.weight.as_slice(), cut.spec.kernel, pads), (&[8.0, 9.0][..], [1, 1], [0; 4]));
            assert_eq!(first_tap, [1, 1]);
            let Trimmed { conv: cut, pads, first_tap } = trimmed(&conv, [1; 4], [1, 5]);
            assert_eq!((cut.weight.as_slice(), cut.spec.kernel), (&[6.0, 7.0, 8.0, 9.0, 10.0, 11.0][..], [1, 3]));
            assert_eq!((pads, first_tap), ([0, 1, 0, 1], [1, 0]));
            assert_eq!(trimmed(&conv, [0, 0, 1, 1], [2, 2]).conv.as_ref(), &conv);
        }
        // PyTorch's padding at stride 1 on a wider border gives two outputs, which need two taps.
        assert_eq!(trimmed(&depthwise(1), [2, 1, 1, 1], [1, 1]).conv.spec.kernel, [3, 1]);
    }
}
