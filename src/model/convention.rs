//! The meaning of the heads' numbers: part of a network, from the file it comes from to the file it goes to.

use crate::boxes::{AnchorRule, ScoreFunction};
use serde::{Deserialize, Serialize};

/// How class logits become scores, and which anchors the boxes are coded against. Box deltas are ty, tx, th, tw with
/// weights 10, 10, 5, 5 in every network: a reader brings the predictors of other files into that form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Convention {
    pub scores: ScoreFunction,
    pub anchors: AnchorRule,
}
