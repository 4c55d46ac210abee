//! The journal: JSON lines of what was seen, found, done, and what came of it. Decisions follow from the lines before
//! them, so [`replay`] must come to the same ones.

use super::cure::Action;
use super::diagnosis::{Cause, Diagnosis};
use super::digest::Digest;
use super::facts::RunFacts;
use super::signals::{EpochSignals, Pace};
use super::treatment::Mode;
use super::watch::Watchdog;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A cure given, or in advice the one that would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cure {
    pub step: u64,
    pub cause: Cause,
    pub action: Action,
    /// How many were tried for this cause before.
    pub rung: u32,
    pub applied: bool,
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Helped,
    NoChange,
    Worse,
    /// Cut short by something more urgent.
    Overtaken,
}

/// What a cure came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub step: u64,
    pub cause: Cause,
    pub outcome: Outcome,
    pub reversed: bool,
    pub sentence: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
pub enum Entry {
    Run { mode: Mode, facts: Box<RunFacts> },
    Digest(Box<Digest>),
    Epoch(Box<EpochSignals>),
    Pace(Pace),
    Diagnosis(Diagnosis),
    Cure(Cure),
    Verdict(Verdict),
    GaveUp { step: u64, cause: Cause, sentence: String },
}

impl Entry {
    /// Whether it was decided rather than seen.
    pub fn is_decision(&self) -> bool {
        matches!(self, Entry::Diagnosis(_) | Entry::Cure(_) | Entry::Verdict(_) | Entry::GaveUp { .. })
    }

    /// Whether it depends on the clock, and so may stand elsewhere in the journal of the same run done again.
    pub fn is_timed(&self) -> bool {
        match self {
            Entry::Pace(_) => true,
            Entry::Diagnosis(found) => found.cause == Cause::PipelineStarved,
            _ => false,
        }
    }

    /// Without a line end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("entries hold finite numbers, text and lists only")
    }
}

/// A line of a journal or a trace that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    pub found: String,
    pub expected: &'static str,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "line {}: {}, expected {}", self.line, self.found, self.expected)
    }
}

impl std::error::Error for BadLine {}

/// Reads a journal's lines. A last line that was cut off is left out.
///
/// # Errors
/// If any other line is no entry.
pub fn parse(text: &str) -> Result<Vec<Entry>, BadLine> {
    json_lines(text, "a line of a watchdog's journal")
}

/// Reads a value a line. A last line that was cut off is left out.
///
/// # Errors
/// If any other line is no such value.
pub(super) fn json_lines<T: DeserializeOwned>(text: &str, expected: &'static str) -> Result<Vec<T>, BadLine> {
    let mut values = Vec::new();
    let (whole, count) = (text.ends_with('\n'), text.lines().count());
    for (i, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(_) if i + 1 == count && !whole => {}
            Err(error) => return Err(BadLine { line: i + 1, found: error.to_string(), expected }),
        }
    }
    Ok(values)
}

/// What a watchdog decides on seeing what a journal says was seen: the journal as it should be.
pub fn replay(entries: &[Entry]) -> Vec<Entry> {
    let mut watchdog: Option<Watchdog> = None;
    let mut all = Vec::new();
    for entry in entries.iter().filter(|e| !e.is_decision()) {
        match (entry, &mut watchdog) {
            (Entry::Run { mode, facts }, _) => {
                let (begun, said) = Watchdog::begin((**facts).clone(), *mode);
                watchdog = Some(begun);
                all.extend(said);
            }
            (Entry::Digest(digest), Some(w)) => all.extend(w.digest((**digest).clone())),
            (Entry::Epoch(epoch), Some(w)) => all.extend(w.epoch_signals((**epoch).clone())),
            (Entry::Pace(pace), Some(w)) => all.extend(w.pace(*pace)),
            _ => {}
        }
    }
    all
}
