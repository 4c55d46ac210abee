//! Writes the layers of a known network into a graph, taking each tensor out of the state dict.

use std::path::Path;

use super::state_dict::StateDict;
use crate::interchange::InterchangeError;
use crate::interchange::graph::draft::GraphDraft;
use crate::interchange::graph::node::{GraphNode, Op};

/// PyTorch's default, which all these networks keep.
const EPSILON: f32 = 1e-5;

/// Strides of MobileNetV2's seventeen blocks.
pub const STRIDES: [i64; 17] = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];

pub struct PickleWriter<'a> {
    pub path: &'a Path,
    pub dict: StateDict,
    pub draft: GraphDraft,
}

/// A convolution with batch norm behind it, by the names of their modules.
pub struct Normed<'a> {
    pub conv: &'a str,
    pub norm: &'a str,
    pub stride: i64,
    pub relu6: bool,
}

/// The names of an inverted residual's modules: convolution and batch norm of each step.
pub struct BlockNames {
    pub expand: Option<[String; 2]>,
    pub depthwise: [String; 2],
    pub project: [String; 2],
}

impl PickleWriter<'_> {
    /// Stores a tensor under its own name.
    fn store(&mut self, name: &str) -> Result<Vec<usize>, InterchangeError> {
        let array = self.dict.take(self.path, name)?;
        let dims = array.dims.clone();
        self.draft.store(name, array, None);
        Ok(dims)
    }

    /// A convolution alone, padded as PyTorch's are; returns its output and its output channels.
    pub fn conv(&mut self, input: &str, name: &str, stride: i64) -> Result<(String, usize), InterchangeError> {
        let (weight, bias, end) = (format!("{name}.weight"), format!("{name}.bias"), format!("{name}/conv"));
        let dims = self.store(&weight)?;
        let [out, inner, kh, kw] = dims[..] else {
            let found = format!("dimensions {dims:?}");
            let help = "the file is damaged or of another network";
            return Err(InterchangeError::tensor(self.path, &weight, found, "those of a convolution", help));
        };
        let mut inputs = vec![input, &weight];
        if self.dict.has(&bias) {
            self.store(&bias)?;
            inputs.push(&bias);
        }
        let group = if inner == 1 && out > 1 { out } else { 1 };
        let [v, h] = [kh, kw].map(|k| (k / 2) as i64);
        let node = GraphNode::new(Op::Conv, &inputs, &end)
            .with("group", group as i64)
            .with("strides", [stride; 2])
            .with("pads", [v, h, v, h]);
        self.draft.add(GraphNode { name: name.into(), ..node });
        Ok((end, out))
    }

    /// A convolution with its batch norm; returns its output and its output channels.
    pub fn normed(&mut self, input: &str, layer: Normed) -> Result<(String, usize), InterchangeError> {
        let (inside, channels) = self.conv(input, layer.conv, layer.stride)?;
        let parts = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{}.{part}", layer.norm));
        for part in &parts {
            self.store(part)?;
        }
        let mut end = format!("{}/norm", layer.norm);
        let [gamma, beta, mean, variance] = &parts;
        let norm =
            GraphNode::new(Op::BatchNorm, &[&inside, gamma, beta, mean, variance], &end).with("epsilon", EPSILON);
        self.draft.add(norm);
        if layer.relu6 {
            let active = format!("{}/relu6", layer.norm);
            self.draft.add(GraphNode::new(Op::Clip, &[&end], &active).with("min", 0.0f32).with("max", 6.0f32));
            end = active;
        }
        Ok((end, channels))
    }

    /// An inverted residual on a map of `channels`. Returns its output, output channels, and its expansion's output.
    pub fn block(
        &mut self,
        input: &str,
        channels: usize,
        names: &BlockNames,
        stride: i64,
    ) -> Result<(String, usize, Option<String>), InterchangeError> {
        let mut at = input.to_owned();
        let mut expanded = None;
        if let Some([conv, norm]) = &names.expand {
            at = self.normed(&at, Normed { conv, norm, stride: 1, relu6: true })?.0;
            expanded = Some(at.clone());
        }
        let [conv, norm] = &names.depthwise;
        at = self.normed(&at, Normed { conv, norm, stride, relu6: true })?.0;
        let [conv, norm] = &names.project;
        let (mut end, out) = self.normed(&at, Normed { conv, norm, stride: 1, relu6: false })?;
        if stride == 1 && out == channels {
            let sum = format!("{conv}/sum");
            self.draft.add(GraphNode::new(Op::Add, &[input, &end], &sum));
            end = sum;
        }
        Ok((end, out, expanded))
    }

    /// The names inside torchvision's inverted residual `prefix`: nested since version 0.4, flat before and in the
    /// projects that copied it then.
    pub fn torchvision_names(&self, prefix: &str) -> BlockNames {
        let name = |part: &str| format!("{prefix}.conv.{part}");
        let pair = |a: &str, b: &str| [name(a), name(b)];
        let has = |part: &str| self.dict.has(&format!("{}.weight", name(part)));
        match (has("0.0"), has("3"), has("6")) {
            (true, true, _) => {
                BlockNames { expand: Some(pair("0.0", "0.1")), depthwise: pair("1.0", "1.1"), project: pair("2", "3") }
            }
            (true, false, _) => BlockNames { expand: None, depthwise: pair("0.0", "0.1"), project: pair("1", "2") },
            (false, _, true) => {
                BlockNames { expand: Some(pair("0", "1")), depthwise: pair("3", "4"), project: pair("6", "7") }
            }
            (false, _, false) => BlockNames { expand: None, depthwise: pair("0", "1"), project: pair("3", "4") },
        }
    }
}
