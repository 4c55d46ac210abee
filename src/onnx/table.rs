//! Which tensor of the file went where in the network, as values and as a printed table.

use std::fmt;

use super::import::{Imported, Scope};
use super::layers::{LayerId, Layers};
use crate::model::{Ssd, Stage};

/// What a convolution does inside its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Stem,
    Expand,
    Depthwise,
    Project,
    Last,
    Reduce,
    Predictor,
}

/// A tensor as the file stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub name: String,
    /// The file's dimensions, OIHW for a weight.
    pub dims: Vec<usize>,
}

/// One convolution of the network and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub stage: Stage,
    pub role: Role,
    /// The file's Conv node.
    pub node: String,
    /// Everything folded into it: weight, bias, batch norm, quantisation parameters.
    pub tensors: Vec<Stored>,
}

impl From<(String, Vec<usize>)> for Stored {
    fn from((name, dims): (String, Vec<usize>)) -> Self {
        Self { name, dims }
    }
}

impl Match {
    pub(super) fn of(stage: Stage, role: Role, layers: &Layers, id: LayerId) -> Self {
        let tensors = layers.conv(id).map_or(vec![], |c| c.tensors.iter().cloned().map(Stored::from).collect());
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
        let layers =
            [(Role::Reduce, &extra.reduce), (Role::Depthwise, &extra.depthwise), (Role::Expand, &extra.expand)];
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
            Role::Predictor => "predictor",
        })
    }
}

fn place(stage: Stage) -> String {
    match stage {
        Stage::Stem => "stem".into(),
        Stage::Block(i) => format!("block {i}"),
        Stage::Last => "last".into(),
        Stage::Extra(i) => format!("extra {i}"),
        Stage::BoxHead(i) => format!("box head {i}"),
        Stage::ClassHead(i) => format!("class head {i}"),
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        write!(f, "{} [{}]", self.name, dims.join(", "))
    }
}

impl Imported {
    /// The table for people: one line per tensor with its place, then a summary and the warnings.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for m in &self.matched {
            let to = format!("{} {}", place(m.stage), m.role);
            for tensor in &m.tensors {
                text.push_str(&format!("{to:<24} <- {tensor}\n"));
            }
        }
        let what = match &self.scope {
            Scope::Detector => format!("detector with {} classes", self.network.classes),
            Scope::Backbone { .. } => "backbone alone".into(),
        };
        text.push_str(&format!(
            "{} tensors, {} parameters matched: {what}\n",
            self.tensor_count(),
            self.parameter_count()
        ));
        if !self.unused.is_empty() {
            let values: usize = self.unused.iter().map(|t| t.dims.iter().product::<usize>()).sum();
            text.push_str(&format!("{} tensors of {values} values have no place in it\n", self.unused.len()));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    }
}
