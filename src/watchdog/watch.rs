//! The watchdog itself: takes signals in, applies the rules, decides on cures. It cannot touch training; the caller
//! reads [`Watchdog::adjustments`] and the actions among the entries.

use super::action::Action;
use super::adjustments::Adjustments;
use super::cause::Cause;
use super::course::Moment;
use super::diagnosis::percent;
use super::digest::{Digest, Folding};
use super::facts::RunFacts;
use super::finding::{CauseEvidence, CauseFound};
use super::history::{History, RuleView};
use super::journal::{Cure, JournalEntry};
use super::ladder::rung;
use super::ledger::Ledger;
use super::mode::Mode;
use super::plausible::{at_most, count};
use super::rules;
use super::signals::{EpochFigures, EpochSignals, FeedRate, StepSignals, short};
use super::treatment::Treatment;
use serde::{Deserialize, Serialize};

/// A cause that was absent for this many digests is reported again when it returns.
const QUIET: u64 = 12;

/// More causes than can be told apart in a run.
const MOST_SIGHTINGS: usize = 1 << 18;

/// Share of the time spent waiting for images, from which on the input pipeline is too slow.
const STARVED: f32 = 0.5;

/// A cause that has been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SeenCause {
    cause: Cause,
    /// Look at which it was last seen, and looks in a row.
    look: u64,
    row: u32,
    told: bool,
}

/// All of it is state: saved with a checkpoint, it goes on as if nothing had been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watchdog {
    mode: Mode,
    /// Lines journalled that do not depend on the clock; a resumed run cuts its journal there.
    lines: u64,
    looks: u64,
    sums: [f64; 2],
    steps: u64,
    /// Naming loss of the epoch so far, and the matched anchors that it is of.
    #[serde(default)]
    named: [f64; 2],
    treatment: Treatment,
    sightings: Vec<SeenCause>,
    folding: Folding,
    ledger: Ledger,
    memory: History,
    facts: RunFacts,
    /// The speed of a run is no part of its state.
    #[serde(skip)]
    starving: u32,
}

impl Watchdog {
    /// The watchdog of a run that begins, and what it has to say before the first step.
    pub fn begin(facts: RunFacts, mode: Mode) -> (Self, Vec<JournalEntry>) {
        let mut watchdog = Self {
            mode,
            lines: 0,
            looks: 0,
            sums: [0.0; 2],
            steps: 0,
            named: [0.0; 2],
            treatment: Treatment::default(),
            sightings: Vec::new(),
            folding: Folding::default(),
            ledger: Ledger::new(facts.classes.len()),
            memory: History::default(),
            facts,
            starving: 0,
        };
        let all = if mode == Mode::Off { Vec::new() } else { rules::before(&watchdog.facts) };
        if let (true, Some(appearance)) =
            (all.iter().any(|f| f.cause() == Cause::LabelsSwapped), &watchdog.facts.appearance)
        {
            watchdog.ledger = watchdog.ledger.doubting(appearance);
        }
        if let Some(presence) = rules::located(&watchdog.facts) {
            watchdog.ledger = watchdog.ledger.locating(presence);
        }
        let mut said = vec![JournalEntry::Run { mode, facts: Box::new(watchdog.facts.clone()) }];
        for found in all {
            said.push(JournalEntry::Diagnosis(found.diagnosis.clone()));
            watchdog.sighted(found.cause()).told = true;
            if found.cause() == Cause::TooFewPhotos {
                // Overfitting is what comes of it: told already, and nothing was seen to help.
                watchdog.sighted(Cause::Overfitting).told = true;
                watchdog.treatment.give_up(Cause::Overfitting);
            }
            said.extend(watchdog.forestall(&found));
        }
        (watchdog.counted(said.len()), said)
    }

    fn counted(mut self, lines: usize) -> Self {
        self.lines += lines as u64;
        self
    }

    /// Before the first step there is nothing to go back to and nothing to compare with: a cure is given and stays.
    fn forestall(&mut self, found: &CauseFound) -> Option<JournalEntry> {
        let now = &self.treatment.adjustments;
        let action = rung(found, 0, &self.facts, now, 1.0)?;
        let applied = self.mode == Mode::Cure && action != Action::Advise;
        self.treatment.forestall(found.cause(), action.clone(), applied, &self.facts);
        let sentence = format!("the run {}", action.words(&self.facts));
        Some(JournalEntry::Cure(Cure { step: 0, cause: found.cause(), action, rung: 0, applied, sentence }))
    }

    /// Checks that it can be the memory of a run on so many training images.
    ///
    /// # Errors
    /// The value in it that no such run has.
    pub fn check(&self, images: usize) -> Result<(), String> {
        let images = u32::try_from(images).map_err(|_| format!("{images} images"))?;
        for (name, value) in [("lines", self.lines), ("looks", self.looks), ("steps", self.steps)] {
            count(name, value)?;
        }
        at_most("sightings", self.sightings.len(), MOST_SIGHTINGS)?;
        self.sightings.iter().try_for_each(|s| count("sightings.look", s.look))?;
        self.facts.check()?;
        self.folding.check()?;
        self.memory.check()?;
        self.ledger.check(images)?;
        self.treatment.check(images)
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// The differences from the recipe from now on.
    pub fn adjustments(&self) -> &Adjustments {
        &self.treatment.adjustments
    }

    /// Lines journalled so far, but for those that depend on the clock.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// True if nothing is suspected: weights saved now are worth going back to.
    pub fn is_calm(&self) -> bool {
        let seen = |s: &SeenCause| s.look + 2 >= self.looks && s.row > 0;
        self.treatment.course.is_none() && !self.sightings.iter().any(seen)
    }

    /// Scores of all images, for a report.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes in an optimizer step.
    pub fn step(&mut self, signals: &StepSignals) -> Vec<JournalEntry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        self.ledger.add(&signals.images);
        if signals.is_finite() {
            self.sums[0] += signals.class_loss;
            self.sums[1] += signals.box_loss;
            self.steps += 1;
            for image in &signals.images {
                self.named[0] += f64::from(image.naming);
                self.named[1] += f64::from(image.positives);
            }
        }
        match self.folding.add(signals, self.facts.span()) {
            Some(digest) => self.digest(digest),
            None => Vec::new(),
        }
    }

    /// Takes in the end of an epoch.
    pub fn epoch(&mut self, figures: &EpochFigures) -> Vec<JournalEntry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        let steps = self.steps.max(1) as f64;
        let [class, boxes] = std::mem::take(&mut self.sums);
        self.steps = 0;
        let [naming, positives] = std::mem::take(&mut self.named);
        let naming = figures.naming.filter(|_| positives > 0.0).map(|held_out| [naming / positives, held_out]);
        let suspicion = self.ledger.close();
        self.epoch_signals(EpochSignals {
            epoch: figures.epoch,
            step: figures.step,
            training: [short(class / steps), short(boxes / steps)],
            validation: figures.validation.map(|v| v.map(short)),
            ap: figures.ap.map(short),
            ap50: figures.ap50.map(short),
            class_ap: figures.class_ap.iter().map(|ap| short(ap.unwrap_or(0.0))).collect(),
            naming: naming.map(|v| v.map(short)),
            ap_interval: figures.ap_interval.map(|v| v.map(short)),
            ap50_interval: figures.ap50_interval.map(|v| v.map(short)),
            shortfall: figures.shortfall.clone(),
            suspicion,
        })
    }

    /// As [`Watchdog::step`], from a journal.
    pub fn digest(&mut self, digest: Digest) -> Vec<JournalEntry> {
        let step = digest.step;
        let mut said = vec![JournalEntry::Digest(Box::new(digest.clone()))];
        self.memory.digest(digest);
        self.looks += 1;
        let found = rules::online(&RuleView { facts: &self.facts, memory: &self.memory });
        let sure = self.sure(found, &mut said);
        self.act(&sure, Moment { step, epoch_ended: false }, &mut said);
        self.lines += said.len() as u64;
        said
    }

    /// As [`Watchdog::epoch`], from a journal.
    pub fn epoch_signals(&mut self, epoch: EpochSignals) -> Vec<JournalEntry> {
        let step = epoch.step;
        let mut said = vec![JournalEntry::Epoch(Box::new(epoch.clone()))];
        self.memory.epoch(epoch);
        let found = rules::epochal(&RuleView { facts: &self.facts, memory: &self.memory });
        for finding in &found {
            let look = self.looks;
            let sighting = self.sighted(finding.cause());
            (sighting.look, sighting.row) = (look, 2);
            if !std::mem::replace(&mut sighting.told, true) {
                said.push(JournalEntry::Diagnosis(finding.diagnosis.clone()));
            }
        }
        self.act(&found, Moment { step, epoch_ended: true }, &mut said);
        self.lines += said.len() as u64;
        said
    }

    /// How fast the run is; said twice in a row, it is told.
    pub fn pace(&mut self, pace: FeedRate) -> Vec<JournalEntry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        let mut said = vec![JournalEntry::Pace(pace)];
        self.starving = if pace.waiting > STARVED { self.starving.saturating_add(1) } else { 0 };
        if self.starving == 2 {
            let sentence = format!(
                "the network waits for images {} of the time and trains {:.1} a second",
                percent(f64::from(pace.waiting)),
                pace.images_per_second
            );
            let found = CauseFound::new(CauseEvidence::PipelineStarved, 0.95, sentence)
                .with("waiting", f64::from(pace.waiting));
            said.push(JournalEntry::Diagnosis(found.at(pace.step).diagnosis));
        }
        said
    }

    fn sighted(&mut self, cause: Cause) -> &mut SeenCause {
        let at = self.sightings.iter().position(|s| s.cause == cause).unwrap_or_else(|| {
            self.sightings.push(SeenCause { cause, look: 0, row: 0, told: false });
            self.sightings.len() - 1
        });
        &mut self.sightings[at]
    }

    /// Of what a look found, what was found at the look before too, or cannot wait; told the first time.
    fn sure(&mut self, found: Vec<CauseFound>, said: &mut Vec<JournalEntry>) -> Vec<CauseFound> {
        let look = self.looks;
        let mut sure = Vec::new();
        for finding in found {
            let cause = finding.cause();
            // The cause that keeps the network from learning may have been told a moment ago.
            let mut breakers = self.sightings.iter().filter(|s| s.told && s.cause.stops_learning()).peekable();
            let broken = breakers.peek().is_some();
            let told_itself = breakers.any(|s| s.cause == cause);
            if broken && !told_itself && cause.follows_from_no_learning() {
                continue;
            }
            let sighting = self.sighted(cause);
            if sighting.look + QUIET < look {
                sighting.told = false;
            }
            sighting.row = if sighting.look + 1 >= look { sighting.row.saturating_add(1) } else { 1 };
            sighting.look = look;
            if sighting.row < 2 && !cause.is_acute() {
                continue;
            }
            if !std::mem::replace(&mut sighting.told, true) {
                said.push(JournalEntry::Diagnosis(finding.diagnosis.clone()));
            }
            sure.push(finding);
        }
        sure
    }

    fn act(&mut self, found: &[CauseFound], at: Moment, said: &mut Vec<JournalEntry>) {
        let view = RuleView { facts: &self.facts, memory: &self.memory };
        let decided = self.treatment.consider(found, &view, at, self.mode);
        let changed = decided.iter().any(|e| match e {
            JournalEntry::Cure(cure) => cure.applied && cure.action != Action::Advise,
            JournalEntry::Verdict(verdict) => verdict.reversed,
            _ => false,
        });
        said.extend(decided);
        if changed {
            // Another network or other conditions: looks from before would be held against them.
            self.memory.forget(at.step);
            self.sightings.iter_mut().for_each(|s| (s.row, s.told) = (0, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_told_cause_is_not_told() {
        let told = |said: &[JournalEntry]| {
            let causes = said.iter().map(|e| if let JournalEntry::Diagnosis(d) = e { Some(d.cause) } else { None });
            causes.collect::<Option<Vec<_>>>().expect("diagnoses only")
        };
        for evidence in [CauseEvidence::RateTooLow { update_ratio: 1e-6 }, CauseEvidence::RateTooHigh { heat: 2.0 }] {
            let (mut watchdog, mut said) = (Watchdog::begin(RunFacts::default(), Mode::Advise).0, Vec::new());
            for look in 1..=6 {
                watchdog.looks = look;
                // The consequence outlasts the cause's own symptom.
                let causes =
                    if look < 4 { vec![evidence, CauseEvidence::BoxesWrong] } else { vec![CauseEvidence::BoxesWrong] };
                let found = causes.into_iter().map(|c| CauseFound::new(c, 0.9, String::new())).collect();
                watchdog.sure(found, &mut said);
            }
            assert_eq!(told(&said), [evidence.cause()]);
        }
    }
}
