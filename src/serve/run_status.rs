//! The state of a run, as figures for a page, for Prometheus and for a notification.

use crate::train::{EpochRecord, Event, StepReport};
use crate::watchdog::{Action, JournalEntry};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::SystemTime;

/// Messages that are kept.
const MESSAGES: usize = 30;

/// The work under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// No run is under way.
    #[default]
    Waiting,
    Training,
    Validating,
    Paused,
    /// Asked to stop; the state is being saved.
    Stopping,
    Finished,
    /// Stopped; can be resumed.
    Stopped,
    Failed,
    /// A run of another process, whose files alone are seen.
    Watched,
}

impl RunState {
    pub const ALL: [RunState; 9] = [
        Self::Waiting,
        Self::Training,
        Self::Validating,
        Self::Paused,
        Self::Stopping,
        Self::Finished,
        Self::Stopped,
        Self::Failed,
        Self::Watched,
    ];

    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Training => "training",
            Self::Validating => "validating",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Watched => "watched",
        }
    }
}

/// A message of the watchdog or the storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusMessage {
    pub step: u64,
    pub text: String,
}

/// All that is known of a run; figures that are not known yet are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunStatus {
    /// The run folder's name.
    pub run: String,
    pub state: RunState,
    /// Counted from 1.
    pub epoch: u64,
    pub epochs: u64,
    pub step: u64,
    pub steps: u64,
    pub class_loss: Option<f64>,
    pub box_loss: Option<f64>,
    pub learning_rate: Option<f64>,
    pub images_per_second: Option<f64>,
    /// Time left at the pace so far, in words.
    pub left: Option<String>,
    pub ap: Option<f64>,
    pub best_ap: Option<f64>,
    pub saved_step: Option<u64>,
    /// The reason why it is slow that is no fault of learning, or the thing that is waited for.
    pub note: String,
    pub messages: VecDeque<StatusMessage>,
    /// Seconds since 1970 of the last change.
    pub changed: u64,
    /// The best epoch so far, counted from 1.
    pub best_epoch: Option<u64>,
}

impl RunStatus {
    /// Takes an event in.
    pub fn see(&mut self, event: &Event, notes: &str) {
        match event {
            Event::Step(report) => self.step(report, notes),
            Event::Epoch { record, best, .. } => self.epoch(record, *best),
            Event::Checkpoint { step } => self.saved_step = Some(*step),
            Event::Judging { .. } if self.state == RunState::Training => self.state = RunState::Validating,
            Event::Refused { error, .. } => self.say(self.step, error.to_string()),
            Event::Watchdog(entry) => {
                if let Some((step, text)) = words(entry) {
                    self.say(step, text);
                }
            }
            Event::MicroBatch | Event::Judging { .. } => {}
        }
    }

    fn step(&mut self, report: &StepReport, notes: &str) {
        self.state = RunState::Training;
        (self.epoch, self.step, self.steps) = (report.epoch, report.step, report.total);
        (self.class_loss, self.box_loss) = (Some(report.stats.class), Some(report.stats.boxes));
        self.learning_rate = Some(report.stats.lr);
        self.images_per_second = Some(report.images_per_second);
        self.left = Some(crate::session::eta(report));
        self.note = notes.trim_start_matches("; ").into();
    }

    fn epoch(&mut self, record: &EpochRecord, best: bool) {
        self.ap = record.ap;
        if best {
            (self.best_ap, self.best_epoch) = (record.ap, Some(record.epoch));
        }
    }

    /// Adds a message; of too many the oldest goes.
    pub fn say(&mut self, step: u64, text: String) {
        if self.messages.len() == MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(StatusMessage { step, text });
    }

    /// A change was made now.
    pub fn touch(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.changed = now.map_or(0, |time| time.as_secs());
    }
}

/// The watchdog's sentence for an entry, as in the log.
pub fn words(entry: &JournalEntry) -> Option<(u64, String)> {
    match entry {
        JournalEntry::Diagnosis(d) => Some((d.step, format!("{}: {}", d.cause.words(), d.sentence))),
        JournalEntry::Cure(c) if c.action == Action::Advise => None,
        JournalEntry::Cure(c) if c.applied => Some((c.step, c.sentence.clone())),
        JournalEntry::Cure(c) => Some((c.step, format!("advice: {}", c.sentence))),
        JournalEntry::Verdict(v) => Some((v.step, v.sentence.clone())),
        JournalEntry::GaveUp { step, sentence, .. } => Some((*step, sentence.clone())),
        JournalEntry::Run { .. } | JournalEntry::Digest(_) | JournalEntry::Epoch(_) | JournalEntry::Pace(_) => None,
    }
}
