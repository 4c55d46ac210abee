//! The reach of a predictor's output: the operators, constants and outputs downstream of it.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::layers::{DetectionLayer, LayerId, LayerKind, Layers};
use crate::interchange::graph::array::ConstantArray;
use crate::interchange::graph::node::Op;

/// Everything that lies downstream of a layer.
pub struct Reach<'a> {
    layers: &'a Layers,
    /// The layer itself, too.
    pub seen: BTreeSet<LayerId>,
    names: Vec<String>,
}

impl<'a> Reach<'a> {
    pub fn of(layers: &'a Layers, start: LayerId) -> Self {
        let mut seen = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            open.extend(layers.readers(id).iter().filter(|&&next| seen.insert(next)));
        }
        let names = layers.outputs.iter().filter(|(_, id)| seen.contains(id)).map(|(name, _)| name.to_lowercase());
        let names = names.collect();
        Self { layers, seen, names }
    }

    fn kinds(&self) -> impl Iterator<Item = &'a LayerKind> {
        self.seen.iter().map(|&id| &self.layers.all[id].kind)
    }

    pub fn has(&self, wanted: &Op) -> bool {
        self.kinds().any(|kind| matches!(kind, LayerKind::Opaque { op, .. } if op == wanted))
    }

    /// The last dimension that the first Reshape gives the output.
    pub fn columns(&self) -> Option<i64> {
        self.kinds().find_map(|kind| match kind {
            LayerKind::Opaque { columns, .. } => columns.filter(|&c| c > 0),
            _ => None,
        })
    }

    pub fn constants(&self) -> impl Iterator<Item = &'a Rc<ConstantArray>> {
        self.kinds().flat_map(|kind| match kind {
            LayerKind::Opaque { constants, .. } => constants.as_slice(),
            _ => &[],
        })
    }

    /// The operator for detections that it ends in.
    pub fn detections(&self) -> Option<&'a DetectionLayer> {
        self.kinds().find_map(|kind| match kind {
            LayerKind::Detections(detections) => Some(detections.as_ref()),
            _ => None,
        })
    }

    pub fn is_named(&self, words: &[&str]) -> bool {
        self.names.iter().any(|name| words.iter().any(|w| name.contains(w)))
    }

    /// How much more `same` shares with this than `other` does, against what `other` shares with `opposite`.
    pub fn joins(&self, same: &Self, other: &Self, opposite: &Self) -> i64 {
        let shared = |a: &Self, b: &Self| a.seen.intersection(&b.seen).count() as i64;
        shared(self, same) + shared(opposite, other)
    }
}
