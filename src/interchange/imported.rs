//! A network as it came out of a file, with all that the file says about its use.

use super::graph::StoredTensor;
use super::metadata::Metadata;
use super::table::{ConvMatch, place};
use crate::model::{ConvWeights, Ssd};

/// The part of the detector that a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Backbone, extras and heads.
    Detector,
    /// Stem to last 1x1 only: `network` has neither extras nor heads and its `classes` is 0. `why` is for the user.
    Backbone { why: String },
}

/// The input of the file's first convolution for a pixel's byte p, per channel: `factor·p + offset`.
///
/// The imported stem takes Fieldtune's own input, `p / 127.5 - 1`; whatever the file wants was folded into its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    pub factor: [f64; 3],
    pub offset: [f64; 3],
    /// True if the file says so; assumed otherwise.
    pub stated: bool,
}

/// An imported network.
pub struct Imported {
    /// The kind of file and the program that made it, for people.
    pub dialect: String,
    /// Batch norm folded, every `scale` 1; boxes coded ty, tx, th, tw with weights 10, 10, 5, 5; input in [-1, 1].
    pub network: Ssd<ConvWeights>,
    pub scope: Scope,
    /// The place of each tensor, in walk order: one entry per convolution.
    pub matched: Vec<ConvMatch>,
    /// Height and width of the input in pixels; `None` where the file leaves them open.
    pub input_size: Option<[usize; 2]>,
    pub normalisation: Normalisation,
    /// The statements of a file written by Fieldtune about itself; empty for others.
    pub metadata: Metadata,
    /// Names of the classes behind the background, one for each column but the first, where the file has them.
    pub class_names: Option<Vec<String>>,
    /// Weights of convolutions that the network has no place for (a classifier, foreign heads).
    pub unused: Vec<StoredTensor>,
    /// The changes undone without an effect on what the network computes: trimmed kernels, folded arithmetic.
    pub repairs: Vec<String>,
    /// The warnings for the user: assumptions made, parts left out.
    pub warnings: Vec<String>,
}

impl Imported {
    /// Columns of the class predictors, background included; `None` for a backbone alone.
    pub fn classes(&self) -> Option<usize> {
        (self.scope == Scope::Detector).then_some(self.network.classes)
    }

    /// Stored tensors that went into the network.
    pub fn tensor_count(&self) -> usize {
        self.matched.iter().map(|m| m.tensors.len()).sum()
    }

    /// Weights and biases of the network.
    pub fn parameter_count(&self) -> usize {
        self.network.convs().iter().map(|(_, c)| c.weight.len() + c.bias.len()).sum()
    }

    /// The table for people: one line per tensor with its place, then a summary, repairs and warnings.
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
        for repair in &self.repairs {
            text.push_str(&format!("repaired: {repair}\n"));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    }
}
