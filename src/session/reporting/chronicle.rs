//! The watchdog's entries in a run, as far as a report tells it: facts, decisions, and the epochs without their
//! details.

use super::timeline::Timeline;
use crate::report::page::{MarkKind, StepFigures, WatchdogMark};
use crate::train::each_entry;
use crate::watchdog::{Action, Cause, JournalEntry};
use std::path::Path;

/// Decisions kept; a run that is ill all the time has no more to tell.
const MOST_DECISIONS: usize = 1000;

/// Entries in the order of the journal.
#[derive(Debug, Default)]
pub struct Chronicle {
    entries: Vec<JournalEntry>,
    decisions: usize,
}

impl Chronicle {
    /// The entries of the journal in `folder`; its digests go to `timeline`.
    pub fn of_journal(folder: &Path, timeline: &mut Timeline) -> Self {
        let mut chronicle = Self::default();
        let read = each_entry(folder, &mut |entry| {
            if let JournalEntry::Digest(d) = &entry {
                let [class_loss, box_loss, lr] = [d.class_loss, d.box_loss, d.lr].map(f64::from);
                timeline.add(StepFigures { step: d.step, class_loss, box_loss, lr }, u64::from(d.steps));
            }
            chronicle.add(&entry);
        });
        if let Err(error) = read {
            log::warn!("{error}\nthe report tells the journal up to there");
        }
        chronicle
    }

    pub fn add(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Digest(_) | JournalEntry::Pace(_) => {}
            JournalEntry::Run { .. } => self.entries.push(entry.clone()),
            JournalEntry::Epoch(_) => {
                // Only the last one's suspicion is told.
                let last = self
                    .entries
                    .iter_mut()
                    .rev()
                    .find_map(|e| if let JournalEntry::Epoch(e) = e { Some(e) } else { None });
                if let Some(last) = last {
                    last.suspicion = Default::default();
                    last.class_ap = Vec::new();
                }
                self.entries.push(entry.clone());
            }
            _ if self.decisions < MOST_DECISIONS => {
                self.decisions += 1;
                self.entries.push(entry.clone());
            }
            _ => {}
        }
    }

    pub fn entries(&self) -> &[JournalEntry] {
        &self.entries
    }

    /// Events that stand on the curves.
    pub fn marks(&self) -> Vec<WatchdogMark> {
        let mark = |step: u64, kind: MarkKind, words: String| Some(WatchdogMark { step, kind, words });
        let marks = self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::Diagnosis(d) => {
                mark(d.step, MarkKind::Diagnosis, format!("{}: {}", d.cause.words(), d.sentence))
            }
            JournalEntry::Cure(c) if c.action == Action::Advise => None,
            JournalEntry::Cure(c) if c.applied => mark(c.step, MarkKind::Cure, c.sentence.clone()),
            JournalEntry::Cure(c) => mark(c.step, MarkKind::Advice, c.sentence.clone()),
            JournalEntry::Verdict(v) => mark(v.step, MarkKind::Verdict, v.sentence.clone()),
            JournalEntry::GaveUp { step, sentence, .. } => mark(*step, MarkKind::End, sentence.clone()),
            _ => None,
        });
        marks.collect()
    }

    /// The causes that stood in the way, each once.
    pub fn causes(&self) -> Vec<&'static str> {
        let mut causes: Vec<Cause> = Vec::new();
        for entry in &self.entries {
            if let JournalEntry::Diagnosis(d) = entry
                && !causes.contains(&d.cause)
            {
                causes.push(d.cause);
            }
        }
        causes.into_iter().map(Cause::words).collect()
    }
}
