//! One cure at a time: given, left to work, judged, taken back where it did not help, followed by the next rung, given up
//! when there is none.

use super::cure::{Action, Adjustments, rung};
use super::diagnosis::{Cause, Diagnosis};
use super::facts::RunFacts;
use super::journal::{Cure, Entry, Outcome, Verdict};
use super::memory::View;
use super::signals::short;
use serde::{Deserialize, Serialize};

/// What the watchdog is allowed to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Cure,
    /// Say what is wrong and what would be done.
    Advise,
    Off,
}

/// Cures per run.
const MOST_CURES: u32 = 8;

/// Looks that a cure is left to work.
const LOOKS: u64 = 4;

/// Loss against before at which a cure has made it worse.
const WORSE: f64 = 1.3;

/// A cure at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    pub cause: Cause,
    pub action: Action,
    pub since: u64,
    /// Step from which it can be judged.
    pub until: u64,
    /// What to go back to.
    pub before: Adjustments,
    /// Median loss before; 1e30 where there was none.
    pub loss: f32,
}

/// How often a cause has been treated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    cause: Cause,
    rung: u32,
    given_up: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Treatment {
    pub adjustments: Adjustments,
    pub course: Option<Course>,
    cures: u32,
    records: Vec<Record>,
}

/// Causes that do not wait for another cure to be judged.
fn is_urgent(cause: Cause) -> bool {
    matches!(cause, Cause::NonFinite | Cause::PoisonousImage | Cause::RateTooHigh)
}

/// Causes that only epochs can show to be gone.
fn shows_by_epoch(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ClassStarves(_)
            | Cause::Overfitting
            | Cause::DataExhausted
            | Cause::BoxesWrong
            | Cause::LabelsSwapped
            | Cause::ObjectsUnlabelled
    )
}

impl Treatment {
    /// What is to be done at `step` about what was found, most trusted first.
    pub fn consider(&mut self, found: &[Diagnosis], view: &View, step: u64, mode: Mode) -> Vec<Entry> {
        let mut said = Vec::new();
        if mode == Mode::Off {
            return said;
        }
        self.judge(found, view, step, &mut said);
        if let Some(course) = &self.course {
            let urgent = found.iter().any(|d| is_urgent(d.cause) && d.cause != course.cause);
            if !urgent {
                return said;
            }
            self.end(Outcome::Overtaken, view.facts, step, "something more urgent came up".into(), &mut said);
        }
        for diagnosis in found {
            if self.treat(diagnosis, view, step, mode, &mut said) {
                break;
            }
        }
        said
    }

    fn record(&mut self, cause: Cause) -> &mut Record {
        let at = self.records.iter().position(|r| r.cause == cause).unwrap_or_else(|| {
            self.records.push(Record { cause, rung: 0, given_up: false });
            self.records.len() - 1
        });
        &mut self.records[at]
    }

    /// Gives the next cure for a cause; `false` if there is nothing (more) to do.
    fn treat(&mut self, found: &Diagnosis, view: &View, step: u64, mode: Mode, said: &mut Vec<Entry>) -> bool {
        let cause = found.cause;
        let record = self.record(cause).clone();
        if record.given_up {
            return false;
        }
        let factor = view.last().map_or(1.0, |d| f64::from(d.factor));
        let action = rung(found, record.rung, view.facts, &self.adjustments, factor)
            .filter(|a| self.cures < MOST_CURES || matches!(a, Action::Stop | Action::Advise));
        let Some(action) = action else {
            self.record(cause).given_up = true;
            let sentence = format!("nothing is left to try against {}; the best weights are kept", cause.words());
            said.push(Entry::GaveUp { step, cause, sentence });
            return false;
        };
        let applied = mode == Mode::Cure;
        self.record(cause).rung += 1;
        // Advice is given once; so is everything where nothing is applied.
        self.record(cause).given_up = !applied || matches!(action, Action::Advise | Action::Stop);
        let sentence = format!("the run {}", action.words(view.facts));
        said.push(Entry::Cure(Cure { step, cause, action: action.clone(), rung: record.rung, applied, sentence }));
        if !applied || action == Action::Advise {
            return action != Action::Advise;
        }
        self.cures += 1;
        let before = self.adjustments.clone();
        self.adjustments = before.after(&action, step, factor, view.facts);
        let looks = LOOKS * u64::from(view.facts.span());
        let wait = if shows_by_epoch(cause) { looks.max(2 * view.facts.steps_per_epoch) } else { looks };
        let loss = view.middle(3, |d| d.loss()).or_else(|| view.middle(1, |d| d.loss()));
        self.course = Some(Course {
            cause,
            action,
            since: step,
            until: step + wait,
            before,
            loss: short(loss.unwrap_or(f64::INFINITY)),
        });
        true
    }

    /// Ends the cure at work if its time is over.
    fn judge(&mut self, found: &[Diagnosis], view: &View, step: u64, said: &mut Vec<Entry>) {
        let Some(course) = self.course.clone().filter(|c| step >= c.until) else { return };
        let still = found.iter().any(|d| d.cause == course.cause);
        let before = f64::from(course.loss);
        let after = view.middle(3, |d| d.loss()).unwrap_or(before);
        let worse = after > WORSE * before && !matches!(course.action, Action::WeighClasses { .. });
        let known = before < 1e29;
        let losses = if known {
            format!("the loss was {before:.2} and is {after:.2}")
        } else {
            format!("the loss is {after:.2}")
        };
        let (outcome, sentence) = match (still, worse && known) {
            (false, false) => (Outcome::Helped, format!("the symptom is gone; {losses}")),
            (true, false) => (Outcome::NoChange, format!("the symptom is still there; {losses}")),
            (_, true) => (Outcome::Worse, format!("it got worse: {losses}")),
        };
        self.end(outcome, view.facts, step, sentence, said);
    }

    fn end(&mut self, outcome: Outcome, facts: &RunFacts, step: u64, sentence: String, said: &mut Vec<Entry>) {
        let Some(course) = self.course.take() else { return };
        let failed = matches!(outcome, Outcome::NoChange | Outcome::Worse);
        // A raised rate that made things worse must go even while it is overtaken by what it caused.
        let raised = matches!(course.action, Action::ScaleRate { by } if by > 1.0);
        let reversed = (failed || outcome == Outcome::Overtaken && raised) && course.action.is_reversible();
        if reversed {
            self.adjustments = course.before.clone();
        }
        let undone = if reversed {
            format!("; it is taken back: no longer does the run as follows: {}", course.action.words(facts))
        } else {
            String::new()
        };
        said.push(Entry::Verdict(Verdict {
            step,
            cause: course.cause,
            outcome,
            reversed,
            sentence: format!("{sentence}{undone}"),
        }));
    }
}
