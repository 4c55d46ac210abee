//! The work of a node on the messages of a server: it trains on the round's arrays, or evaluates them.

use super::array::ArrayRecord;
use std::collections::BTreeMap;

/// A value of a message's settings or metrics.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    F64(f64),
    I64(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    F64s(Vec<f64>),
    I64s(Vec<i64>),
    Texts(Vec<String>),
}

/// A message's "config" or "metrics".
pub type Settings = BTreeMap<String, SettingValue>;

/// A node's answer after training.
#[derive(Clone, Debug)]
pub struct Update {
    pub arrays: ArrayRecord,
    /// Has "num-examples", the photos trained on.
    pub metrics: Settings,
}

/// The message that is answered, and its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundId {
    pub run: u64,
    pub message: String,
}

/// Does the work of a node; whoever carries the messages knows nothing of networks.
pub trait Participant {
    /// Trains from the round's arrays as the settings say.
    ///
    /// # Errors
    /// If the arrays or settings do not fit, or data or disk fail.
    fn train(&mut self, round: &RoundId, arrays: ArrayRecord, config: &Settings) -> anyhow::Result<Update>;

    /// Measures the round's arrays on the held-back photos; gives "num-examples" and the figures.
    ///
    /// # Errors
    /// As [`Participant::train`].
    fn evaluate(&mut self, round: &RoundId, arrays: ArrayRecord, config: &Settings) -> anyhow::Result<Settings>;
}
