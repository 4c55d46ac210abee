//! The function that makes scores of an anchor's class logits.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The function that a network was trained with; it belongs to the network as its weights do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreFunction {
    /// Softmax over all K columns, background included (cross-entropy).
    #[default]
    Softmax,
    /// A sigmoid for each column but the background's (binary cross-entropy, focal loss).
    Sigmoid,
}

impl ScoreFunction {
    /// `[K]` scores of one anchor's `[K]` logits. A row with NaN or infinity gives NaN where it matters.
    pub fn scores(self, logits: &[f32], scores: &mut [f64]) {
        match self {
            ScoreFunction::Softmax => {
                let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for (score, &logit) in scores.iter_mut().zip(logits) {
                    *score = f64::from(logit - max).exp();
                    sum += *score;
                }
                scores.iter_mut().for_each(|score| *score /= sum);
            }
            ScoreFunction::Sigmoid => {
                for (score, &logit) in scores.iter_mut().zip(logits) {
                    *score = 1.0 / (1.0 + f64::from(-logit).exp());
                }
            }
        }
    }
}

impl fmt::Display for ScoreFunction {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            ScoreFunction::Softmax => "softmax",
            ScoreFunction::Sigmoid => "sigmoid",
        })
    }
}

impl FromStr for ScoreFunction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "softmax" => Ok(ScoreFunction::Softmax),
            "sigmoid" => Ok(ScoreFunction::Sigmoid),
            other => Err(format!("found {other:?}, expected softmax or sigmoid")),
        }
    }
}
