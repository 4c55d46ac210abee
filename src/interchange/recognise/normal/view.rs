//! Nodes that move or frame a map and compute nothing: Transpose, Pad with zeros, Reshape to the shape that is there.

use super::{LayerOutput, MapAxis, NCHW, Normal};
use crate::interchange::graph::node::GraphNode;

impl Normal<'_> {
    pub fn transposed(&self, node: &GraphNode) -> Option<LayerOutput> {
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
    pub fn padded(&self, node: &GraphNode) -> Option<LayerOutput> {
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
                MapAxis::H => (0, 2),
                MapAxis::W => (1, 3),
                MapAxis::N | MapAxis::C if before == 0 && after == 0 => continue,
                MapAxis::N | MapAxis::C => return None,
            };
            value.pad[lo] = value.pad[lo].checked_add(before)?;
            value.pad[hi] = value.pad[hi].checked_add(after)?;
        }
        Some(value)
    }

    /// A Reshape that moves nothing: its target is the shape that its input has already, or one that differs by the
    /// place of the sides of a map of one cell.
    pub fn viewed(&self, node: &GraphNode) -> Option<LayerOutput> {
        let mut value = self.value(node, 0).filter(|v| v.pad == [0; 4])?;
        let (axes, target) = (value.axes?, self.graph.constant(node, 1)?.array.integers());
        let target: [i64; 4] = target.try_into().ok()?;
        let channels = self.all[value.layer].channels? as i64;
        let size = self.all[value.layer].size;
        let fits = |(axis, t): (MapAxis, i64)| match axis {
            MapAxis::N => t <= 1,
            MapAxis::C => t == channels || t == 0,
            MapAxis::H | MapAxis::W => {
                t == 0 || size.is_some_and(|[h, w]| t == if axis == MapAxis::H { h } else { w } as i64)
            }
        };
        let open = target.iter().filter(|&&t| t == -1).count();
        if open <= 1 && axes.into_iter().zip(target).all(fits) {
            return Some(value);
        }
        // As many numbers as channels and ones beside: the map has one cell, and its axes may stand anywhere.
        let at = target.iter().position(|&t| t == channels)?;
        let ones = target.iter().enumerate().all(|(i, &t)| i == at || t == 1);
        if channels <= 1 || !ones {
            return None;
        }
        let mut rest = [MapAxis::N, MapAxis::H, MapAxis::W].into_iter();
        let axis = |i| if i == at { MapAxis::C } else { rest.next().expect("three places are not the channels'") };
        value.axes = Some(std::array::from_fn(axis));
        Some(value)
    }
}
