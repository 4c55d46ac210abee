//! The place of each of the file's tensors in the network, as values and as a printed table.

use std::fmt;

use super::graph::StoredTensor;
use super::recognise::layers::{LayerId, Layers};
use crate::model::{Ssd, Stage};

/// The role of a convolution inside its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Stem,
    Expand,
    Depthwise,
    Project,
    Last,
    Reduce,
    /// The 3x3 of a plain SSD's extra.
    Dense,
    Predictor,
}

/// One convolution of the network and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvMatch {
    pub stage: Stage,
    pub role: Role,
    /// The file's Conv node.
    pub node: String,
    /// Everything folded into it: weight, bias, batch norm, quantisation parameters.
    pub tensors: Vec<StoredTensor>,
}

impl ConvMatch {
    pub(super) fn of(stage: Stage, role: Role, layers: &Layers, id: LayerId) -> Self {
        let tensors = layers.conv(id).map_or(vec![], |c| c.tensors.clone());
        Self { stage, role, node: layers.all[id].node.clone(), tensors }
    }
}

/// Every layer with its stage and role, in walk order.
pub(super) fn roles<L>(network: &Ssd<L>) -> Vec<(Stage, Role, &L)> {
    let mut all = vec![(Stage::Stem, Role::Stem, &network.stem)];
    for (i, block) in network.blocks.iter().enumerate() {
        all.extend(block.expand.iter().map(|l| (Stage::Block(i), Role::Expand, l)));
        all.push((Stage::Block(i), Role::Depthwise, &block.depthwise));
        all.push((Stage::Block(i), Role::Project, &block.project));
    }
    all.push((Stage::Last, Role::Last, &network.last));
    for (i, extra) in network.extras.iter().enumerate() {
        // A dense kernel needs no expansion behind it.
        let spatial = if extra.expand.is_some() { Role::Depthwise } else { Role::Dense };
        let layers = [(Role::Reduce, &extra.reduce), (spatial, &extra.spatial)].into_iter();
        let layers = layers.chain(extra.expand.iter().map(|l| (Role::Expand, l)));
        all.extend(layers.map(|(role, l)| (Stage::Extra(i), role, l)));
    }
    for (i, head) in network.heads.iter().enumerate() {
        all.extend(head.box_depthwise.iter().map(|l| (Stage::BoxHead(i), Role::Depthwise, l)));
        all.push((Stage::BoxHead(i), Role::Predictor, &head.box_predictor));
        all.extend(head.class_depthwise.iter().map(|l| (Stage::ClassHead(i), Role::Depthwise, l)));
        all.push((Stage::ClassHead(i), Role::Predictor, &head.class_predictor));
    }
    all
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Stem => "conv",
            Role::Expand => "expand",
            Role::Depthwise => "depthwise",
            Role::Project => "project",
            Role::Last => "conv",
            Role::Reduce => "reduce",
            Role::Dense => "dense",
            Role::Predictor => "predictor",
        })
    }
}

/// A stage in words.
pub fn place(stage: Stage) -> String {
    match stage {
        Stage::Stem => "stem".into(),
        Stage::Block(i) => format!("block {i}"),
        Stage::Last => "last".into(),
        Stage::Extra(i) => format!("extra {i}"),
        Stage::BoxHead(i) => format!("box head {i}"),
        Stage::ClassHead(i) => format!("class head {i}"),
    }
}
