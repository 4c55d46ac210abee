//! One cure in progress at a time: applied, given time to work, judged, reverted where it did not help, and followed
//! by the next step of the cause's ladder until none is left.

use super::action::Action;
use super::adjustments::Adjustments;
use super::cause::Cause;
use super::course::{Course, Moment, aps, losses, recent_ap};
use super::facts::RunFacts;
use super::finding::CauseFound;
use super::history::RuleView;
use super::journal::{Cure, CureOutcome, CureVerdict, JournalEntry};
use super::ladder::rung;
use super::mode::Mode;
use super::plausible::at_most;
use super::signals::short;
use serde::{Deserialize, Serialize};

/// Cures per run, at most.
const MOST_CURES: u32 = 8;

/// More causes than can be told apart in a run, and more rungs than a ladder has.
const MOST_RECORDS: usize = 1 << 18;
const MOST_RUNGS: u32 = 1000;

/// Digests during which a cure is left to work before it is judged.
const LOOKS: u64 = 4;

/// A cure did harm if the loss exceeds this multiple of the loss before it.
const WORSE: f64 = 1.3;

/// A cure did harm if validation AP falls below this share of the AP before it.
const LOST: f64 = 0.75;

/// How often a cause has been treated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CauseRecord {
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
    records: Vec<CauseRecord>,
}

/// Steps after which a cure can be judged.
fn wait(cause: Cause, facts: &RunFacts) -> u64 {
    let looks = LOOKS * u64::from(facts.span());
    match cause {
        // As many epochs as it takes to see that a class is not learned.
        Cause::ClassStarves(_) => looks.max(4 * facts.steps_per_epoch),
        cause if cause.shows_by_epoch() => looks.max(2 * facts.steps_per_epoch),
        _ => looks,
    }
}

/// True if a cure pays: at least 1.5 times its judging time is left of the run. A cure that ends the run, or keeps it
/// from breaking, always pays.
fn pays(cause: Cause, action: &Action, facts: &RunFacts, step: u64) -> bool {
    let left = facts.total_steps.saturating_sub(step);
    cause.is_acute() || matches!(action, Action::Stop | Action::Advise) || 2 * left >= 3 * wait(cause, facts)
}

impl Treatment {
    /// # Errors
    /// If it cannot be about a run on so many images.
    pub fn check(&self, images: u32) -> Result<(), String> {
        at_most("treatment.records", self.records.len().max(self.early.len()), MOST_RECORDS)?;
        at_most("treatment.cures", self.cures, MOST_RUNGS)?;
        self.records.iter().try_for_each(|r| at_most("treatment.rung", r.rung, MOST_RUNGS))?;
        let courses = self.course.iter().chain(&self.early);
        courses.into_iter().try_for_each(|course| course.check(images))?;
        self.adjustments.check(images)
    }

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
        self.early.push(Course {
            cause,
            action,
            since: 0,
            until,
            before,
            loss: short(f64::INFINITY),
            ap: None,
            losses: Vec::new(),
            aps: Vec::new(),
        });
    }

    /// Nothing (more) is to be tried against this cause.
    pub fn give_up(&mut self, cause: Cause) {
        self.record(cause).given_up = true;
    }

    /// Tells what came of the cures given before the first step.
    fn judge_early(&mut self, found: &[CauseFound], view: &RuleView, at: Moment, said: &mut Vec<JournalEntry>) {
        let step = at.step;
        let Some(start) = view.start_loss().map(|s| s.iter().sum::<f64>()) else { return };
        let Some(now) = view.middle(3, |d| d.loss()) else { return };
        let (due, waiting) = std::mem::take(&mut self.early).into_iter().partition(|c: &Course| at.shows(c));
        self.early = waiting;
        for course in due {
            let still = found.iter().any(|f| f.cause() == course.cause);
            // The loss falls in sound runs, too, and there is no run without the cure to compare with.
            let (outcome, gone) = match (still, now < start) {
                (true, _) => (CureOutcome::NoChange, "the symptom is still there"),
                (false, true) => {
                    (CureOutcome::Untold, "the symptom is gone, but nothing was seen of the run without the cure")
                }
                (false, false) => (CureOutcome::NoChange, "the symptom is gone, but nothing is learned yet"),
            };
            let sentence = format!("{gone}; the loss was {start:.2} at the start and is {now:.2}");
            said.push(JournalEntry::Verdict(CureVerdict {
                step,
                cause: course.cause,
                outcome,
                reversed: false,
                sentence,
            }));
        }
    }

    /// The decisions at `step` about the findings, most trusted first.
    pub fn consider(&mut self, found: &[CauseFound], view: &RuleView, at: Moment, mode: Mode) -> Vec<JournalEntry> {
        let (mut said, step) = (Vec::new(), at.step);
        if mode == Mode::Off {
            return said;
        }
        self.judge_early(found, view, at, &mut said);
        self.judge(found, view, at, &mut said);
        if let Some(course) = &self.course {
            let slight = course.cause.is_slight();
            let costlier =
                |f: &CauseFound| f.cause().is_urgent() || slight && !f.cause().is_slight() && self.cures(f, view);
            if !found.iter().any(|f| f.cause() != course.cause && costlier(f)) {
                return said;
            }
            let why = if slight { "something that costs more came up" } else { "something more urgent came up" };
            self.end(CureOutcome::Overtaken, view.facts, step, why.into(), &mut said);
        }
        let mut found: Vec<&CauseFound> = found.iter().collect();
        found.sort_by_key(|f| f.cause().is_slight());
        for finding in found {
            if self.treat(finding, view, step, mode, &mut said) {
                break;
            }
        }
        said
    }

    /// True if there is a cure to be given for a cause.
    fn cures(&self, found: &CauseFound, view: &RuleView) -> bool {
        let record = self.records.iter().find(|r| r.cause == found.cause());
        let factor = view.last().map_or(1.0, |d| f64::from(d.factor));
        let next = rung(found, record.map_or(0, |r| r.rung), view.facts, &self.adjustments, factor);
        record.is_none_or(|r| !r.given_up) && next.is_some_and(|action| action != Action::Advise)
    }

    fn record(&mut self, cause: Cause) -> &mut CauseRecord {
        let at = self.records.iter().position(|r| r.cause == cause).unwrap_or_else(|| {
            self.records.push(CauseRecord { cause, rung: 0, given_up: false });
            self.records.len() - 1
        });
        &mut self.records[at]
    }

    /// Gives the next cure for a cause; `false` if there is nothing (more) to do.
    fn treat(
        &mut self,
        found: &CauseFound,
        view: &RuleView,
        step: u64,
        mode: Mode,
        said: &mut Vec<JournalEntry>,
    ) -> bool {
        let cause = found.cause();
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
            said.push(JournalEntry::GaveUp { step, cause, sentence });
            return false;
        };
        let pays = pays(cause, &action, view.facts, step);
        let applied = mode == Mode::Cure && pays;
        self.record(cause).rung += 1;
        // Advice is given once; so is everything where nothing is applied.
        self.record(cause).given_up = !applied || matches!(action, Action::Advise | Action::Stop);
        let late = if pays { "" } else { ": too late for it to pay in this run" };
        let sentence = format!("the run {}{late}", action.words(view.facts));
        said.push(JournalEntry::Cure(Cure {
            step,
            cause,
            action: action.clone(),
            rung: record.rung,
            applied,
            sentence,
        }));
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
            losses: losses(view),
            aps: aps(view),
        });
        true
    }

    /// Ends the cure at work if its time is over.
    fn judge(&mut self, found: &[CauseFound], view: &RuleView, at: Moment, said: &mut Vec<JournalEntry>) {
        let Some(course) = self.course.clone().filter(|c| at.shows(c)) else { return };
        let step = at.step;
        let still = found.iter().any(|f| f.cause() == course.cause);
        let before = f64::from(course.loss);
        let after = view.middle(3, |d| d.loss()).unwrap_or(before);
        // Other weights or other photos make another loss; and before numbers left their range the loss was of a later
        // state than that gone back to.
        let other_loss = matches!(course.action, Action::WeighClasses { .. } | Action::Augment | Action::Repeat { .. });
        let comparable = course.cause != Cause::NonFinite && !other_loss;
        let worse = after > WORSE * before && comparable;
        let known = before < 1e29;
        let aps = course.ap.zip(recent_ap(view)).filter(|_| course.cause.shows_by_epoch());
        let worse = worse || aps.is_some_and(|(before, after)| f64::from(after) < LOST * f64::from(before));
        let losses = if let Some((was, is)) = aps {
            format!("the loss was {before:.2} and is {after:.2}, validation AP was {was:.3} and is {is:.3}")
        } else if known {
            format!("the loss was {before:.2} and is {after:.2}")
        } else {
            format!("the loss is {after:.2}")
        };
        let (outcome, sentence) = match (still, worse && known) {
            (false, false) if course.told(view) => (CureOutcome::Helped, format!("the symptom is gone; {losses}")),
            (false, false) => {
                let what = format!("the symptom is gone; {losses}, which it might have come to without the cure");
                (CureOutcome::Untold, what)
            }
            (true, false) => (CureOutcome::NoChange, format!("the symptom is still there; {losses}")),
            (_, true) => (CureOutcome::Worse, format!("it got worse: {losses}")),
        };
        self.end(outcome, view.facts, step, sentence, said);
    }

    fn end(
        &mut self,
        outcome: CureOutcome,
        facts: &RunFacts,
        step: u64,
        sentence: String,
        said: &mut Vec<JournalEntry>,
    ) {
        let Some(course) = self.course.take() else { return };
        let failed = matches!(outcome, CureOutcome::NoChange | CureOutcome::Worse);
        // A raised rate that made things worse must go even while it is overtaken by what it caused.
        let raised = matches!(course.action, Action::ScaleRate { by } if by > 1.0);
        let reversed = (failed || outcome == CureOutcome::Overtaken && raised) && course.action.is_reversible();
        if reversed {
            self.adjustments = course.before.clone();
        }
        let undone = if reversed {
            format!("; it is taken back: no longer does the run as follows: {}", course.action.words(facts))
        } else {
            String::new()
        };
        said.push(JournalEntry::Verdict(CureVerdict {
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
    use super::super::finding::CauseEvidence;
    use super::super::history::History;
    use super::*;

    #[test]
    fn what_only_epochs_show_is_judged_after_an_epoch() {
        let classes = vec!["a".into(), "b".into()];
        let facts = RunFacts { total_steps: 400, steps_per_epoch: 20, classes, ..RunFacts::default() };
        let memory = History::default();
        let view = RuleView { facts: &facts, memory: &memory };
        let found = [CauseFound::new(CauseEvidence::ClassStarves { class: 1, share: 0.01 }, 0.9, String::new())];
        let mut treatment = Treatment::default();
        let mut at = |step, epoch_ended, found: &[CauseFound]| {
            treatment.consider(found, &view, Moment { step, epoch_ended }, Mode::Cure)
        };
        assert!(matches!(at(40, true, &found)[..], [JournalEntry::Cure(_)]));
        // A look at steps sees nothing of classes, which does not mean that the symptom is gone.
        assert!(at(130, false, &[]).is_empty());
        let said = at(130, true, &found);
        assert!(
            matches!(&said[0], JournalEntry::Verdict(v) if v.outcome == CureOutcome::NoChange && v.reversed),
            "{said:?}"
        );
        assert!(matches!(&said[1], JournalEntry::Cure(c) if c.rung == 1), "{said:?}");
    }

    #[test]
    fn photos_made_harder_are_not_blamed_for_their_loss() {
        let facts = RunFacts { total_steps: 400, steps_per_epoch: 20, may_augment: true, ..RunFacts::default() };
        let digest = |step, class_loss| crate::watchdog::Digest { step, class_loss, ..Default::default() };
        let mut memory = History { digests: (1..=3).map(|i| digest(8 * i, 1.0)).collect(), ..History::default() };
        let found = [CauseFound::new(CauseEvidence::Overfitting, 0.9, String::new())];
        let mut treatment = Treatment::default();
        let mut at = |step, found: &[CauseFound], memory: &History| {
            let view = RuleView { facts: &facts, memory };
            treatment.consider(found, &view, Moment { step, epoch_ended: true }, Mode::Cure)
        };
        assert!(matches!(&at(40, &found, &memory)[..], [JournalEntry::Cure(c)] if c.action == Action::Augment));
        memory.digests = (6..=8).map(|i| digest(10 * i, 3.5)).collect();
        let said = at(80, &[], &memory);
        assert!(matches!(&said[..], [JournalEntry::Verdict(v)] if v.outcome == CureOutcome::Untold), "{said:?}");
    }

    #[test]
    fn the_cure_of_a_rare_class_makes_way_for_one_that_costs_more() {
        let classes = vec!["a".into(), "b".into()];
        let facts = RunFacts { total_steps: 4000, steps_per_epoch: 20, images: 40, classes, ..RunFacts::default() };
        let memory = History::default();
        let view = RuleView { facts: &facts, memory: &memory };
        let rare = CauseFound::new(CauseEvidence::ClassStarves { class: 1, share: 0.01 }, 0.9, String::new());
        let wrong = CauseFound::new(CauseEvidence::BoxesWrong, 0.9, String::new()).naming(vec![1, 2]);
        let mut treatment = Treatment::default();
        let mut at = |step, found: &[CauseFound]| {
            treatment.consider(found, &view, Moment { step, epoch_ended: true }, Mode::Cure)
        };
        assert!(
            matches!(&at(40, std::slice::from_ref(&rare))[..], [JournalEntry::Cure(c)] if c.cause == Cause::ClassStarves(1))
        );
        let said = at(60, &[rare.clone(), wrong.clone()]);
        let overtaken = |e: &JournalEntry| matches!(e, JournalEntry::Verdict(v) if v.outcome == CureOutcome::Overtaken && !v.reversed);
        assert!(overtaken(&said[0]), "{said:?}");
        assert!(matches!(&said[1], JournalEntry::Cure(c) if c.cause == Cause::BoxesWrong), "{said:?}");
        // And does not come back while that is judged.
        assert!(at(80, &[rare, wrong]).is_empty());
    }

    #[test]
    fn what_was_given_before_the_run_is_not_given_again() {
        let classes = vec!["a".into(), "b".into()];
        let shown_in = vec![Vec::new(), vec![2]];
        let facts = RunFacts { total_steps: 400, images: 40, classes, shown_in, ..RunFacts::default() };
        let found = CauseFound::new(CauseEvidence::ClassStarves { class: 1, share: 0.02 }, 0.9, String::new());
        let mut treatment = Treatment::default();
        let first = rung(&found, 0, &facts, &Adjustments::default(), 1.0).unwrap();
        treatment.forestall(found.cause(), first, true, &facts);
        let view = RuleView { facts: &facts, memory: &History::default() };
        let said = treatment.consider(&[found], &view, Moment { step: 20, epoch_ended: true }, Mode::Cure);
        assert!(matches!(&said[..], [JournalEntry::Cure(c)] if c.rung == 1), "{said:?}");
    }
}
