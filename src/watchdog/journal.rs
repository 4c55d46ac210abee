//! Entries of the journal (JSON lines): observations, diagnoses, cures and verdicts. Decisions follow from the
//! observations before them, so [`super::replay`] must reproduce them.

use super::action::Action;
use super::cause::Cause;
use super::diagnosis::Diagnosis;
use super::digest::Digest;
use super::facts::RunFacts;
use super::mode::Mode;
use super::signals::{EpochSignals, FeedRate};
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
pub enum CureOutcome {
    Helped,
    /// The symptom is gone, but the figures do not show that the cure made a difference.
    Untold,
    NoChange,
    Worse,
    /// Cut short by something more urgent.
    Overtaken,
}

/// The result of a cure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CureVerdict {
    pub step: u64,
    pub cause: Cause,
    pub outcome: CureOutcome,
    pub reversed: bool,
    pub sentence: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
pub enum JournalEntry {
    Run { mode: Mode, facts: Box<RunFacts> },
    Digest(Box<Digest>),
    Epoch(Box<EpochSignals>),
    Pace(FeedRate),
    Diagnosis(Diagnosis),
    Cure(Cure),
    Verdict(CureVerdict),
    GaveUp { step: u64, cause: Cause, sentence: String },
}

impl JournalEntry {
    /// True if it was decided rather than seen.
    pub fn is_decision(&self) -> bool {
        matches!(
            self,
            JournalEntry::Diagnosis(_) | JournalEntry::Cure(_) | JournalEntry::Verdict(_) | JournalEntry::GaveUp { .. }
        )
    }

    /// True if it depends on the clock, and so may stand elsewhere in the journal of the same run done again.
    pub fn is_timed(&self) -> bool {
        match self {
            JournalEntry::Pace(_) => true,
            JournalEntry::Diagnosis(found) => found.cause == Cause::PipelineStarved,
            _ => false,
        }
    }

    /// The first impossible entry among those of what was seen. Decisions are not looked at: nothing follows from them.
    ///
    /// # Errors
    /// The value found, and the one expected.
    pub fn check(&self) -> Result<(), String> {
        match self {
            JournalEntry::Run { facts, .. } => facts.check(),
            JournalEntry::Digest(digest) => digest.check(),
            JournalEntry::Epoch(epoch) => epoch.check(),
            JournalEntry::Pace(pace) => super::plausible::count("pace.step", pace.step),
            _ => Ok(()),
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
/// If any other line is no entry, or one with impossible counts.
pub fn parse(text: &str) -> Result<Vec<JournalEntry>, BadLine> {
    let expected = "a line of a watchdog's journal";
    let entries: Vec<JournalEntry> = json_lines(text, expected)?;
    let wrong = entries.iter().enumerate().find_map(|(i, entry)| Some((i, entry.check().err()?)));
    wrong.map_or(Ok(entries), |(i, found)| Err(BadLine { line: i + 1, found, expected }))
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
