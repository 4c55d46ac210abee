//! The score from which on a detection counts: what was asked for, else what the model's file recommends.

use crate::session::LoadedDetector;
use anyhow::{Result, bail};
use std::str::FromStr;

/// The score where neither the caller nor the file says one.
const OTHERWISE: f64 = 0.4;

/// A score that was asked for: of one class, or of all that are not named.
#[derive(Clone, Debug, PartialEq)]
pub struct LowestScore {
    pub class: Option<String>,
    /// In `[0, 1]`.
    pub score: f64,
}

impl FromStr for LowestScore {
    type Err = String;

    /// `0.5`, or `NAME=0.5`; a name may hold `=` itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let (class, score) = match text.rsplit_once('=') {
            Some((class, score)) => (Some(class.to_string()), score),
            None => (None, text),
        };
        match score.parse() {
            Ok(score) if (0.0..=1.0).contains(&score) => Ok(Self { class, score }),
            _ => Err("expected a score of 0 to 1, or CLASS=SCORE".into()),
        }
    }
}

/// The lowest score of each class.
///
/// # Errors
/// If a class is named that the model does not have.
pub fn thresholds(loaded: &LoadedDetector, asked: &[LowestScore]) -> Result<Vec<f64>> {
    let names = &loaded.class_names;
    let overall = asked.iter().rev().find(|a| a.class.is_none()).map(|a| a.score);
    let mut all: Vec<f64> = match (overall, &loaded.thresholds) {
        (Some(score), _) => vec![score; names.len()],
        (None, Some((score, classes))) => classes.iter().map(|class| class.unwrap_or(*score)).collect(),
        (None, None) => vec![OTHERWISE; names.len()],
    };
    for (name, score) in asked.iter().filter_map(|a| Some((a.class.as_ref()?, a.score))) {
        match names.iter().position(|n| n == name) {
            Some(class) => all[class] = score,
            None => bail!("--conf {name}={score}: no such class\nhelp: the model has {}", names.join(", ")),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_a_range_and_names_may_hold_the_sign() {
        let read = |text: &str| text.parse::<LowestScore>();
        assert_eq!(read("0.5"), Ok(LowestScore { class: None, score: 0.5 }));
        assert_eq!(read("a=b=1"), Ok(LowestScore { class: Some("a=b".into()), score: 1.0 }));
        for text in ["", "cat", "cat=", "1.01", "-0.1", "NaN", "cat=inf"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
