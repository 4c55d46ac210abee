//! Scale and shift per channel: batch norm, and arithmetic with constants.

use super::{LayerOutput, MapAxis, Normal};
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::node::{GraphNode, Op};
use crate::interchange::recognise::layers::LayerKind;

impl Normal<'_> {
    pub fn normalised(&mut self, node: &GraphNode) -> Option<LayerOutput> {
        let graph = self.graph;
        let value = self.value(node, 0)?;
        let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
        let parts = [1, 2, 3, 4].map(|i| graph.constant(node, i));
        let [Some(gamma), Some(beta), Some(mean), Some(variance)] = parts else { return None };
        if value.axes.is_some_and(|axes| axes[1] != MapAxis::C) {
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

    /// Add, Sub, Mul or Div with a constant per channel.
    pub fn shifted(&mut self, node: &GraphNode) -> Option<LayerOutput> {
        let graph = self.graph;
        let data = if graph.constant(node, 0).is_some() { 1 } else { 0 };
        let constant = graph.constant(node, 1 - data)?;
        let value = self.value(node, data)?;
        let channels = match &self.all.get(value.layer)?.kind {
            LayerKind::Image { .. } => 3,
            LayerKind::Conv(conv) if conv.is_linear() => conv.out_channels(),
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
            LayerKind::Image { scale, bias, .. } if value.sole => affine(scale, bias, &factor, &shift),
            _ => return None,
        }
        Some(value)
    }
}

/// One number per channel from a constant that broadcasts against `axes` along the channel axis only.
fn per_channel(constant: &ConstantArray, axes: [MapAxis; 4], channels: usize) -> Option<Vec<f64>> {
    let missing = 4usize.checked_sub(constant.dims.len())?;
    let sound =
        constant.dims.iter().zip(&axes[missing..]).all(|(&d, &axis)| d == 1 || (axis == MapAxis::C && d == channels));
    match (sound, constant.data.as_slice()) {
        (true, &[one]) => Some(vec![f64::from(one); channels]),
        (true, all) => Some(all.iter().map(|&v| f64::from(v)).collect()),
        (false, _) => None,
    }
}

/// `v -> factor·v + shift` per channel, after the scale and bias so far.
pub fn affine(scale: &mut [f64], bias: &mut [f64], factor: &[f64], shift: &[f64]) {
    for (((s, b), f), t) in scale.iter_mut().zip(bias).zip(factor).zip(shift) {
        *s *= f;
        *b = *b * f + t;
    }
}
