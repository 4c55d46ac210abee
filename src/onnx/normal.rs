//! From the nodes of a file to the normal form.
//!
//! A value is a layer's output seen through transposes and pads. Scale, shift and clamp that follow a convolution
//! are folded into it as long as nobody else reads what stands between them; whether they act on NCHW or NHWC
//! makes no difference, because every value knows which of its axes is which.

use std::collections::HashMap;

use super::array::Array;
use super::graph::Graph;
use super::layers::{Conv, Kind, Layer, LayerId, Pads};
use super::node::{Node, Op};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    N,
    C,
    H,
    W,
}

const NCHW: [Axis; 4] = [Axis::N, Axis::C, Axis::H, Axis::W];
const NHWC: [Axis; 4] = [Axis::N, Axis::H, Axis::W, Axis::C];

/// A layer's output as some name in the file sees it.
#[derive(Clone)]
struct Value {
    layer: LayerId,
    /// What each axis is; `None` once an opaque node has touched it.
    axes: Option<[Axis; 4]>,
    /// Zeros around it that a Pad node asked for: top, left, bottom, right.
    pad: [usize; 4],
    /// Whether only the name at hand reads the layer.
    sole: bool,
}

/// All layers, inputs before readers, and the graph's outputs with the layer each comes from.
pub(super) fn normal_form(graph: &Graph) -> (Vec<Layer>, Vec<(String, LayerId)>) {
    let mut normal = Normal { graph, all: Vec::new(), values: HashMap::new() };
    for input in &graph.inputs {
        let axes = match input.dims[..] {
            [_, Some(3), _, _] => Some(NCHW),
            [_, _, _, Some(3)] => Some(NHWC),
            _ => None,
        };
        let id = normal.push(&input.name, Kind::Image { scale: vec![1.0; 3], bias: vec![0.0; 3] }, vec![]);
        normal.name(&input.name, id, axes);
    }
    for node in &graph.nodes {
        normal.add(node);
    }
    let outputs = graph.outputs.iter().filter_map(|n| Some((n.clone(), normal.values.get(n)?.layer))).collect();
    (normal.all, outputs)
}

/// The normal form in the making.
struct Normal<'a> {
    graph: &'a Graph,
    all: Vec<Layer>,
    values: HashMap<String, Value>,
}

impl Normal<'_> {
    fn push(&mut self, node: &str, kind: Kind, inputs: Vec<LayerId>) -> LayerId {
        self.all.push(Layer { node: node.into(), kind, inputs });
        self.all.len() - 1
    }

    fn name(&mut self, output: &str, layer: LayerId, axes: Option<[Axis; 4]>) {
        self.values.insert(output.into(), Value { layer, axes, pad: [0; 4], sole: true });
    }

    fn add(&mut self, node: &Node) {
        let seen = match node.op {
            Op::Identity | Op::Cast | Op::Dropout | Op::Dequantize => self.value(node, 0),
            Op::Quantize => self.saturated(node),
            Op::Transpose => self.transposed(node),
            Op::Pad => self.padded(node),
            Op::BatchNorm => self.normalised(node),
            Op::Clip | Op::Relu | Op::Min | Op::Max => self.clamped(node),
            Op::Add | Op::Sub | Op::Mul | Op::Div => self.shifted(node),
            _ => None,
        };
        match (seen, &node.op) {
            (Some(value), _) => {
                self.values.insert(node.output().into(), value);
            }
            (None, Op::Conv) => self.conv(node),
            (None, Op::Add) => self.sum(node),
            (None, _) => self.opaque(node),
        }
    }

    /// The value that input `i` of `node` reads.
    fn value(&self, node: &Node, i: usize) -> Option<Value> {
        let name = node.input(i)?;
        let mut value = self.values.get(name)?.clone();
        value.sole &= self.graph.uses.get(name) == Some(&1);
        Some(value)
    }

    fn opaque(&mut self, node: &Node) {
        let columns = match node.op {
            Op::Reshape => self.graph.constant(node, 1).and_then(|c| c.array.integers().last().copied()),
            _ => None,
        };
        // Asking for a shape does not read the data.
        let inputs = if node.op == Op::Shape { vec![] } else { self.inputs(node) };
        let id = self.push(&node.name, Kind::Opaque { op: node.op.clone(), columns }, inputs);
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            self.name(output, id, None);
        }
    }

    fn inputs(&self, node: &Node) -> Vec<LayerId> {
        (0..node.inputs.len()).filter_map(|i| Some(self.value(node, i)?.layer)).collect()
    }

    fn transposed(&self, node: &Node) -> Option<Value> {
        let mut value = self.value(node, 0)?;
        let axes = value.axes?;
        let perm = node.ints("perm").map_or_else(|| vec![3, 2, 1, 0], <[i64]>::to_vec);
        let perm: [i64; 4] = perm.try_into().ok()?;
        let mut moved = axes;
        for (to, p) in moved.iter_mut().zip(perm) {
            *to = *axes.get(usize::try_from(p).ok()?)?;
        }
        value.axes = Some(moved);
        Some(value)
    }

    /// A Pad node with zeros, on rows and columns only.
    fn padded(&self, node: &Node) -> Option<Value> {
        let graph = self.graph;
        let mut value = self.value(node, 0)?;
        let zeros = node.text("mode").is_none_or(|m| m == "constant")
            && node.float("value").is_none_or(|v| v == 0.0)
            && node
                .input(2)
                .is_none_or(|name| graph.constants.get(name).is_some_and(|c| c.array.single() == Some(0.0)));
        let amounts = graph.integers(node, "pads", 1).or_else(|| node.ints("paddings").map(<[i64]>::to_vec))?;
        let axes = value.axes.unwrap_or(NCHW);
        if !zeros || amounts.len() != 8 || node.input(3).is_some() {
            return None;
        }
        for (axis, (&before, &after)) in axes.into_iter().zip(amounts[..4].iter().zip(&amounts[4..])) {
            let (before, after) = (usize::try_from(before).ok()?, usize::try_from(after).ok()?);
            let (lo, hi) = match axis {
                Axis::H => (0, 2),
                Axis::W => (1, 3),
                Axis::N | Axis::C if before == 0 && after == 0 => continue,
                Axis::N | Axis::C => return None,
            };
            value.pad[lo] = value.pad[lo].checked_add(before)?;
            value.pad[hi] = value.pad[hi].checked_add(after)?;
        }
        Some(value)
    }

    /// The convolution behind a value, if what follows may still be folded into it.
    fn foldable(&mut self, value: &Value) -> Option<&mut Conv> {
        let free = value.sole && value.pad == [0; 4];
        match &mut self.all.get_mut(value.layer)?.kind {
            Kind::Conv(conv) if free => Some(conv),
            _ => None,
        }
    }

    fn normalised(&mut self, node: &Node) -> Option<Value> {
        let graph = self.graph;
        let value = self.value(node, 0)?;
        let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
        let parts = [1, 2, 3, 4].map(|i| graph.constant(node, i));
        let [Some(gamma), Some(beta), Some(mean), Some(variance)] = parts else { return None };
        if value.axes.is_some_and(|axes| axes[1] != Axis::C) {
            return None;
        }
        let conv = self.foldable(&value).filter(|conv| conv.is_linear())?;
        let channels = conv.out_channels();
        if [gamma, beta, mean, variance].iter().any(|c| c.array.data.len() != channels) {
            return None;
        }
        let (mut factor, mut shift) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        for c in 0..channels {
            let [g, b, m, v] = [gamma, beta, mean, variance].map(|p| f64::from(p.array.data[c]));
            let f = g / (v + epsilon).sqrt();
            factor.push(f);
            shift.push(b - m * f);
        }
        affine(&mut conv.scale, &mut conv.bias, &factor, &shift);
        for part in [gamma, beta, mean, variance] {
            conv.tensors.extend(part.tensors.iter().cloned());
        }
        Some(value)
    }

    /// Clip, Relu, and Min or Max with a number.
    fn clamped(&mut self, node: &Node) -> Option<Value> {
        let graph = self.graph;
        let other = || (0..2).find_map(|i| graph.constant(node, i)?.array.single());
        let data = if graph.constant(node, 0).is_some() { 1 } else { 0 };
        let [lo, hi] = match node.op {
            Op::Relu => [0.0, f32::INFINITY],
            Op::Max => [other()?, f32::INFINITY],
            Op::Min => [f32::NEG_INFINITY, other()?],
            // A bound that is there but not constant is nothing to fold.
            _ if (1..3).any(|i| node.input(i).is_some() && graph.constant(node, i).is_none()) => return None,
            _ => [
                graph.number(node, "min", 1).unwrap_or(f32::NEG_INFINITY),
                graph.number(node, "max", 2).unwrap_or(f32::INFINITY),
            ],
        };
        let value = self.value(node, data)?;
        self.foldable(&value)?.clamp_to([lo, hi])?;
        Some(value)
    }

    /// QuantizeLinear on data: passed over, but its range is an activation where an exporter has left ReLU6 to it.
    fn saturated(&mut self, node: &Node) -> Option<Value> {
        let graph = self.graph;
        let value = self.value(node, 0)?;
        let scale = graph.constant(node, 1).and_then(|c| c.array.single());
        let zero = graph.constant(node, 2).map_or(Some(0.0), |c| c.array.single());
        if let (Some(scale), Some(zero), Some(conv)) = (scale, zero, self.foldable(&value))
            && (zero == 0.0 || zero == -128.0)
            && (scale * 255.0 - 6.0).abs() < 0.05
            && conv.is_linear()
        {
            conv.clamp_to([0.0, 6.0]);
        }
        Some(value)
    }

    /// Add, Sub, Mul or Div with a constant per channel.
    fn shifted(&mut self, node: &Node) -> Option<Value> {
        let graph = self.graph;
        let data = if graph.constant(node, 0).is_some() { 1 } else { 0 };
        let constant = graph.constant(node, 1 - data)?;
        let value = self.value(node, data)?;
        let channels = match &self.all.get(value.layer)?.kind {
            Kind::Image { .. } => 3,
            Kind::Conv(conv) if conv.is_linear() => conv.out_channels(),
            _ => return None,
        };
        let numbers = per_channel(&constant.array, value.axes?, channels)?;
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let negated = || numbers.iter().map(|v| -v).collect();
        let (factor, shift) = match (&node.op, data) {
            (Op::Add, _) => (ones, numbers),
            (Op::Sub, 0) => (ones, negated()),
            (Op::Sub, _) => (vec![-1.0; channels], numbers),
            (Op::Mul, _) => (numbers, zeros),
            (Op::Div, 0) => (numbers.iter().map(|v| 1.0 / v).collect(), zeros),
            _ => return None,
        };
        if let Some(conv) = self.foldable(&value) {
            affine(&mut conv.scale, &mut conv.bias, &factor, &shift);
            conv.tensors.extend(constant.tensors.iter().cloned());
            return Some(value);
        }
        match &mut self.all[value.layer].kind {
            Kind::Image { scale, bias } if value.sole => affine(scale, bias, &factor, &shift),
            _ => return None,
        }
        Some(value)
    }

    fn sum(&mut self, node: &Node) {
        match (self.value(node, 0), self.value(node, 1)) {
            (Some(a), Some(b)) if a.axes == b.axes && a.pad == [0; 4] && b.pad == [0; 4] => {
                let id = self.push(&node.name, Kind::Sum, vec![a.layer, b.layer]);
                self.name(node.output(), id, a.axes);
            }
            _ => self.opaque(node),
        }
    }

    fn conv(&mut self, node: &Node) {
        let value = self.value(node, 0);
        let kind = match self.read_conv(node, value.as_ref()) {
            Ok(conv) => Kind::Conv(Box::new(conv)),
            Err(why) => Kind::Broken(why),
        };
        let inputs = value.into_iter().map(|v| v.layer).collect();
        let id = self.push(&node.name, kind, inputs);
        self.name(node.output(), id, Some(NCHW));
    }

    fn read_conv(&self, node: &Node, value: Option<&Value>) -> Result<Conv, String> {
        let graph = self.graph;
        let name = node.input(1).ok_or("no weight")?;
        let weight = graph.constants.get(name).ok_or_else(|| format!("weight `{name}` that the file does not hold"))?;
        let array = weight.array.clone();
        let &[out, per_group, kh, kw] = array.dims.as_slice() else {
            return Err(format!("a weight of dimensions {:?}", array.dims));
        };
        let group = node.int("group").unwrap_or(1);
        let group = usize::try_from(group).ok().filter(|&g| g > 0 && out % g == 0);
        let group = group.ok_or_else(|| format!("a group that does not divide {out} channels"))?;
        if out == 0 || per_group == 0 || kh == 0 || kw == 0 || group > out {
            return Err(format!("a weight of dimensions {:?}", array.dims));
        }
        if node.ints("kernel_shape").is_some_and(|k| k != [kh as i64, kw as i64]) {
            return Err(format!("kernel_shape that is not that of its weight, {kh}x{kw}"));
        }
        if value.and_then(|v| v.axes).is_some_and(|axes| axes != NCHW) {
            return Err("an input that is not in NCHW order".into());
        }
        let mut tensors = weight.tensors.to_vec();
        let bias = match (node.input(2), graph.constant(node, 2)) {
            (None, _) => vec![0.0; out],
            (Some(name), None) => return Err(format!("bias `{name}` that the file does not hold")),
            (Some(name), Some(bias)) if bias.array.data.len() != out => {
                return Err(format!("bias `{name}` of {} values for {out} channels", bias.array.data.len()));
            }
            (Some(_), Some(bias)) => {
                tensors.extend(bias.tensors.iter().cloned());
                bias.array.data.iter().map(|&b| f64::from(b)).collect()
            }
        };
        let strides = pair(node.ints("strides")).ok_or("strides that are not two positive numbers")?;
        let dilated = node.ints("dilations").is_some_and(|d| d.iter().any(|&d| d != 1));
        let pads = self.pads(node, value.map_or([0; 4], |v| v.pad))?;
        let clamp = [f32::NEG_INFINITY, f32::INFINITY];
        Ok(Conv { weight: array, group, strides, dilated, pads, scale: vec![1.0; out], bias, clamp, tensors })
    }

    fn pads(&self, node: &Node, before: [usize; 4]) -> Result<Pads, String> {
        match node.text("auto_pad").unwrap_or("NOTSET") {
            "SAME_UPPER" if before == [0; 4] => Ok(Pads::SameUpper),
            "SAME_LOWER" if before == [0; 4] => Ok(Pads::SameLower),
            "VALID" => Ok(Pads::Numbers(before)),
            "NOTSET" | "" => {
                let own = node.ints("pads").unwrap_or(&[0; 4]);
                let mut pads = before;
                let sound = own.len() == 4
                    && pads.iter_mut().zip(own).all(|(p, &o)| {
                        // No kernel of this network reaches further; a larger number is damage.
                        (0..=16).contains(&o) && *p <= 16 && {
                            *p += o as usize;
                            true
                        }
                    });
                sound.then_some(Pads::Numbers(pads)).ok_or_else(|| format!("pads {own:?}"))
            }
            other => Err(format!("auto_pad `{other}`")),
        }
    }
}

fn pair(ints: Option<&[i64]>) -> Option<[usize; 2]> {
    match ints {
        None => Some([1, 1]),
        Some(&[a, b]) => {
            Some([usize::try_from(a).ok().filter(|&a| a > 0)?, usize::try_from(b).ok().filter(|&b| b > 0)?])
        }
        Some(_) => None,
    }
}

/// One number per channel from a constant that broadcasts against `axes` along the channel axis only.
fn per_channel(constant: &Array, axes: [Axis; 4], channels: usize) -> Option<Vec<f64>> {
    let missing = 4usize.checked_sub(constant.dims.len())?;
    let sound =
        constant.dims.iter().zip(&axes[missing..]).all(|(&d, &axis)| d == 1 || (axis == Axis::C && d == channels));
    match (sound, constant.data.as_slice()) {
        (true, &[one]) => Some(vec![f64::from(one); channels]),
        (true, all) => Some(all.iter().map(|&v| f64::from(v)).collect()),
        (false, _) => None,
    }
}

/// `v -> factor·v + shift` per channel, after the scale and bias so far.
fn affine(scale: &mut [f64], bias: &mut [f64], factor: &[f64], shift: &[f64]) {
    for (((s, b), f), t) in scale.iter_mut().zip(bias).zip(factor).zip(shift) {
        *s *= f;
        *b = *b * f + t;
    }
}
