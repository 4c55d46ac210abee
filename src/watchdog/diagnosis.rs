//! A diagnosis as the journal holds it: one named cause, how sure, and the sentence a person reads.

use super::cause::Cause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Step at which it was made.
    pub step: u64,
    pub cause: Cause,
    /// 0 to 1: how much the evidence leaves to other causes.
    pub confidence: f32,
    /// With the numbers, for a person.
    pub sentence: String,
    /// The numbers again, by name, for whoever reads the journal; no decision is made from them.
    pub evidence: BTreeMap<String, f32>,
    /// Images concerned, most suspicious first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<u32>,
}

/// A share as a person writes it.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0995 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// A small list of names, the rest counted.
pub fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len() {
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}
