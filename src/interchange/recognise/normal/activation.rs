//! Activations: Clip and its spellings, and the range of a quantiser.

use super::affine::affine;
use super::{LayerOutput, Normal};
use crate::interchange::graph::node::{GraphNode, Op};
use crate::interchange::recognise::layers::LayerKind;

/// The widest range of a quantised ReLU6: 6, and what calibrators round up.
const WIDEST_RELU6: f32 = 6.05;

impl Normal<'_> {
    /// Clip, Relu, and Min or Max with a number.
    pub fn clamped(&mut self, node: &GraphNode) -> Option<LayerOutput> {
        let graph = self.graph;
        let other = || (0..2).find_map(|i| graph.constant(node, i)?.array.uniform());
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

    /// QuantizeLinear on data: passed over, but its range is an activation where an exporter has left ReLU6 to it. Such a
    /// range begins at the least number of its type and ends at 6, or before it where calibration saw no more.
    pub fn saturated(&mut self, node: &GraphNode) -> Option<LayerOutput> {
        let graph = self.graph;
        let mut value = self.value(node, 0)?;
        value.quantized = true;
        let scale = graph.constant(node, 1).and_then(|c| c.array.uniform());
        let zero = graph.constant(node, 2);
        let [least, most] = zero.and_then(|c| c.range).unwrap_or([0.0, 255.0]);
        let zero = zero.map_or(Some(0.0), |c| c.array.uniform());
        if let (Some(scale), Some(zero), Some(conv)) = (scale, zero, self.foldable(&value))
            && zero == least
            && scale * (most - least) > 0.0
            && scale * (most - least) <= WIDEST_RELU6
            && conv.clamp[1] == f32::INFINITY
        {
            conv.clamp_to([0.0, 6.0]);
        }
        Some(value)
    }

    /// DequantizeLinear on data: passed over, but a byte image that is dequantised is scaled by it.
    pub fn dequantized(&mut self, node: &GraphNode) -> Option<LayerOutput> {
        let graph = self.graph;
        let mut value = self.value(node, 0)?;
        let scale = graph.constant(node, 1).and_then(|c| c.array.uniform());
        let zero = graph.constant(node, 2).map_or(Some(0.0), |c| c.array.uniform());
        let stored = !std::mem::take(&mut value.quantized);
        if let (true, Some(s), Some(z), LayerKind::Image { scale, bias, .. }) =
            (stored, scale, zero, &mut self.all[value.layer].kind)
        {
            let (s, z) = (f64::from(s), f64::from(z));
            affine(scale, bias, &[s; 3], &[-s * z; 3]);
        }
        Some(value)
    }
}
