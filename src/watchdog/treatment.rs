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

/// Loss against before at which a cure has made it worse, and validation AP against before.
const WORSE: f64 = 1.3;
const LOST: f64 = 0.75;

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
    /// Best validation AP of the two epochs before, where there was one.
    pub ap: Option<f32>,
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
    /// Given before the first step: they stay, but what came of them is told.
    early: Vec<Course>,
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

/// When something is decided, and upon which look: what only epochs show is not gone because a look at steps shows
/// nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub step: u64,
    pub epoch_ended: bool,
}

impl Moment {
    /// Whether what came of a cure can be seen now.
    fn shows(self, course: &Course) -> bool {
        self.step >= course.until && self.epoch_ended == shows_by_epoch(course.cause)
    }
}

/// Steps after which a cure can be judged.
fn wait(cause: Cause, facts: &RunFacts) -> u64 {
    let looks = LOOKS * u64::from(facts.span());
    match cause {
        // As many epochs as it takes to see that a class is not learned.
        Cause::ClassStarves(_) => looks.max(4 * facts.steps_per_epoch),
        cause if shows_by_epoch(cause) => looks.max(2 * facts.steps_per_epoch),
        _ => looks,
    }
}

/// Whether enough of the run is left for a cure to pay: half as long again as it takes to judge it. What ends the run or
/// keeps it from breaking always pays.
fn pays(cause: Cause, action: &Action, facts: &RunFacts, step: u64) -> bool {
    let left = facts.total_steps.saturating_sub(step);
    let vital = matches!(cause, Cause::NonFinite | Cause::PoisonousImage);
    vital || matches!(action, Action::Stop | Action::Advise) || 2 * left >= 3 * wait(cause, facts)
}

/// Best validation AP of the last two epochs.
fn recent_ap(view: &View) -> Option<f32> {
    view.memory.epochs.iter().rev().take(2).filter_map(|e| e.ap).reduce(f32::max)
}

impl Treatment {
    /// Gives a cure before the first step, or advises it.
    pub fn forestall(&mut self, cause: Cause, action: Action, applied: bool, facts: &RunFacts) {
        let record = self.record(cause);
        (record.rung, record.given_up) = (1, !applied);
        if !applied {
            return;
        }
        let before = self.adjustments.clone();
        self.adjustments = before.after(&action, 0, 1.0, facts);
        let until = wait(cause, facts) + facts.held_steps;
        self.early.push(Course { cause, action, since: 0, until, before, loss: short(f64::INFINITY), ap: None });
    }

    /// Tells what came of the cures given before the first step.
    fn judge_early(&mut self, found: &[Diagnosis], view: &View, at: Moment, said: &mut Vec<Entry>) {
        let step = at.step;
        let Some(start) = view.start_loss().map(|s| s.iter().sum::<f64>()) else { return };
        let Some(now) = view.middle(3, |d| d.loss()) else { return };
        let (due, waiting) = std::mem::take(&mut self.early).into_iter().partition(|c: &Course| at.shows(c));
        self.early = waiting;
        for course in due {
            let still = found.iter().any(|d| d.cause == course.cause);
            let (outcome, gone) = match (still, now < start) {
                (true, _) => (Outcome::NoChange, "the symptom is still there"),
                (false, true) => (Outcome::Helped, "the symptom is gone"),
                (false, false) => (Outcome::NoChange, "the symptom is gone, but nothing is learned yet"),
            };
            let sentence = format!("{gone}; the loss was {start:.2} at the start and is {now:.2}");
            said.push(Entry::Verdict(Verdict { step, cause: course.cause, outcome, reversed: false, sentence }));
        }
    }

    /// What is to be done at `step` about what was found, most trusted first.
    pub fn consider(&mut self, found: &[Diagnosis], view: &View, at: Moment, mode: Mode) -> Vec<Entry> {
        let (mut said, step) = (Vec::new(), at.step);
        if mode == Mode::Off {
            return said;
        }
        self.judge_early(found, view, at, &mut said);
        self.judge(found, view, at, &mut said);
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
        let pays = pays(cause, &action, view.facts, step);
        let applied = mode == Mode::Cure && pays;
        self.record(cause).rung += 1;
        // Advice is given once; so is everything where nothing is applied.
        self.record(cause).given_up = !applied || matches!(action, Action::Advise | Action::Stop);
        let late = if pays { "" } else { ": too late for it to pay in this run" };
        let sentence = format!("the run {}{late}", action.words(view.facts));
        said.push(Entry::Cure(Cure { step, cause, action: action.clone(), rung: record.rung, applied, sentence }));
        if !applied || action == Action::Advise {
            return action != Action::Advise;
        }
        self.cures += 1;
        let before = self.adjustments.clone();
        self.adjustments = before.after(&action, step, factor, view.facts);
        let loss = view.middle(3, |d| d.loss()).or_else(|| view.middle(1, |d| d.loss()));
        self.course = Some(Course {
            cause,
            action,
            since: step,
            until: step + wait(cause, view.facts),
            before,
            loss: short(loss.unwrap_or(f64::INFINITY)),
            ap: recent_ap(view),
        });
        true
    }

    /// Ends the cure at work if its time is over.
    fn judge(&mut self, found: &[Diagnosis], view: &View, at: Moment, said: &mut Vec<Entry>) {
        let Some(course) = self.course.clone().filter(|c| at.shows(c)) else { return };
        let step = at.step;
        let still = found.iter().any(|d| d.cause == course.cause);
        let before = f64::from(course.loss);
        let after = view.middle(3, |d| d.loss()).unwrap_or(before);
        // Other weights or other photos make another loss; and before numbers left their range the loss was of a later
        // state than that gone back to.
        let other_loss = matches!(course.action, Action::WeighClasses { .. } | Action::Augment | Action::Repeat { .. });
        let comparable = course.cause != Cause::NonFinite && !other_loss;
        let worse = after > WORSE * before && comparable;
        let known = before < 1e29;
        let aps = course.ap.zip(recent_ap(view)).filter(|_| shows_by_epoch(course.cause));
        let worse = worse || aps.is_some_and(|(before, after)| f64::from(after) < LOST * f64::from(before));
        let losses = if let Some((was, is)) = aps {
            format!("the loss was {before:.2} and is {after:.2}, validation AP was {was:.3} and is {is:.3}")
        } else if known {
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

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn what_only_epochs_show_is_judged_after_an_epoch() {
        let classes = vec!["a".into(), "b".into()];
        let facts = RunFacts { total_steps: 400, steps_per_epoch: 20, classes, ..RunFacts::default() };
        let memory = Memory::default();
        let view = View { facts: &facts, memory: &memory };
        let found = [Diagnosis::new(Cause::ClassStarves(1), 0.9, String::new()).with("share", 0.01)];
        let mut treatment = Treatment::default();
        let mut at = |step, epoch_ended, found: &[Diagnosis]| {
            treatment.consider(found, &view, Moment { step, epoch_ended }, Mode::Cure)
        };
        assert!(matches!(at(40, true, &found)[..], [Entry::Cure(_)]));
        // A look at steps sees nothing of classes, which does not mean that the symptom is gone.
        assert!(at(130, false, &[]).is_empty());
        let said = at(130, true, &found);
        assert!(matches!(&said[0], Entry::Verdict(v) if v.outcome == Outcome::NoChange && v.reversed), "{said:?}");
        assert!(matches!(&said[1], Entry::Cure(c) if c.rung == 1), "{said:?}");
    }

    #[test]
    fn photos_made_harder_are_not_blamed_for_their_loss() {
        let facts = RunFacts { total_steps: 400, steps_per_epoch: 20, may_augment: true, ..RunFacts::default() };
        let digest = |step, class_loss| crate::watchdog::Digest { step, class_loss, ..Default::default() };
        let mut memory = Memory { digests: (1..=3).map(|i| digest(8 * i, 1.0)).collect(), ..Memory::default() };
        let found = [Diagnosis::new(Cause::Overfitting, 0.9, String::new())];
        let mut treatment = Treatment::default();
        let mut at = |step, found: &[Diagnosis], memory: &Memory| {
            let view = View { facts: &facts, memory };
            treatment.consider(found, &view, Moment { step, epoch_ended: true }, Mode::Cure)
        };
        assert!(matches!(&at(40, &found, &memory)[..], [Entry::Cure(c)] if c.action == Action::Augment));
        memory.digests = (6..=8).map(|i| digest(10 * i, 3.5)).collect();
        let said = at(80, &[], &memory);
        assert!(matches!(&said[..], [Entry::Verdict(v)] if v.outcome == Outcome::Helped), "{said:?}");
    }

    #[test]
    fn what_was_given_before_the_run_is_not_given_again() {
        let classes = vec!["a".into(), "b".into()];
        let shown_in = vec![Vec::new(), vec![2]];
        let facts = RunFacts { total_steps: 400, images: 40, classes, shown_in, ..RunFacts::default() };
        let found = Diagnosis::new(Cause::ClassStarves(1), 0.9, String::new()).with("share", 0.02);
        let mut treatment = Treatment::default();
        let first = rung(&found, 0, &facts, &Adjustments::default(), 1.0).unwrap();
        treatment.forestall(found.cause, first, true, &facts);
        let view = View { facts: &facts, memory: &Memory::default() };
        let said = treatment.consider(&[found], &view, Moment { step: 20, epoch_ended: true }, Mode::Cure);
        assert!(matches!(&said[..], [Entry::Cure(c)] if c.rung == 1), "{said:?}");
    }
}
