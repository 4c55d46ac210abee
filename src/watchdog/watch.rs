//! The watchdog: takes signals in, remembers, finds, decides, and says so. It cannot touch training; whoever calls it
//! reads [`Watchdog::adjustments`] and the actions among the entries.

use super::cure::{Action, Adjustments, rung};
use super::diagnosis::{Cause, Diagnosis, percent};
use super::digest::{Digest, Folding};
use super::facts::RunFacts;
use super::journal::{Cure, Entry};
use super::ledger::Ledger;
use super::memory::{Memory, View};
use super::rules;
use super::signals::{EpochFigures, EpochSignals, Pace, StepSignals, short};
use super::treatment::{Mode, Moment, Treatment};
use serde::{Deserialize, Serialize};

/// Looks without a cause after which it is told anew.
const QUIET: u64 = 12;

/// Share of the time spent waiting for images at which the pipeline is the matter.
const STARVED: f32 = 0.5;

/// A cause that has been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sighting {
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
    treatment: Treatment,
    sightings: Vec<Sighting>,
    folding: Folding,
    ledger: Ledger,
    memory: Memory,
    facts: RunFacts,
    /// The speed of a run is no part of its state.
    #[serde(skip)]
    starving: u32,
}

impl Watchdog {
    /// The watchdog of a run that begins, and what it has to say before the first step.
    pub fn begin(facts: RunFacts, mode: Mode) -> (Self, Vec<Entry>) {
        let mut watchdog = Self {
            mode,
            lines: 0,
            looks: 0,
            sums: [0.0; 2],
            steps: 0,
            treatment: Treatment::default(),
            sightings: Vec::new(),
            folding: Folding::default(),
            ledger: Ledger::new(facts.classes.len()),
            memory: Memory::default(),
            facts,
            starving: 0,
        };
        let all = if mode == Mode::Off { Vec::new() } else { rules::before(&watchdog.facts) };
        if let (true, Some(appearance)) =
            (all.iter().any(|d| d.cause == Cause::LabelsSwapped), &watchdog.facts.appearance)
        {
            watchdog.ledger = watchdog.ledger.doubting(appearance);
        }
        if let Some(presence) = rules::located(&watchdog.facts) {
            watchdog.ledger = watchdog.ledger.locating(presence);
        }
        let mut said = vec![Entry::Run { mode, facts: Box::new(watchdog.facts.clone()) }];
        for found in all {
            said.push(Entry::Diagnosis(found.clone()));
            watchdog.sighted(found.cause).told = true;
            said.extend(watchdog.forestall(&found));
        }
        (watchdog.counted(said.len()), said)
    }

    fn counted(mut self, lines: usize) -> Self {
        self.lines += lines as u64;
        self
    }

    /// Before the first step there is nothing to go back to and nothing to compare with: a cure is given and stays.
    fn forestall(&mut self, found: &Diagnosis) -> Option<Entry> {
        let now = &self.treatment.adjustments;
        let action = rung(found, 0, &self.facts, now, 1.0)?;
        let applied = self.mode == Mode::Cure && action != Action::Advise;
        self.treatment.forestall(found.cause, action.clone(), applied, &self.facts);
        let sentence = format!("the run {}", action.words(&self.facts));
        Some(Entry::Cure(Cure { step: 0, cause: found.cause, action, rung: 0, applied, sentence }))
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// What is different from the recipe from now on.
    pub fn adjustments(&self) -> &Adjustments {
        &self.treatment.adjustments
    }

    /// Lines journalled so far, but for those that depend on the clock.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether nothing is suspected: weights saved now are worth going back to.
    pub fn is_calm(&self) -> bool {
        let seen = |s: &Sighting| s.look + 2 >= self.looks && s.row > 0;
        self.treatment.course.is_none() && !self.sightings.iter().any(seen)
    }

    /// Scores of all images, for a report.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes in an optimizer step.
    pub fn step(&mut self, signals: &StepSignals) -> Vec<Entry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        self.ledger.add(&signals.images);
        if signals.is_finite() {
            self.sums[0] += signals.class_loss;
            self.sums[1] += signals.box_loss;
            self.steps += 1;
        }
        match self.folding.add(signals, self.facts.span()) {
            Some(digest) => self.digest(digest),
            None => Vec::new(),
        }
    }

    /// Takes in the end of an epoch.
    pub fn epoch(&mut self, figures: &EpochFigures) -> Vec<Entry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        let steps = self.steps.max(1) as f64;
        let [class, boxes] = std::mem::take(&mut self.sums);
        self.steps = 0;
        let suspicion = self.ledger.close();
        self.epoch_signals(EpochSignals {
            epoch: figures.epoch,
            step: figures.step,
            training: [short(class / steps), short(boxes / steps)],
            validation: figures.validation.map(|v| v.map(short)),
            ap: figures.ap.map(short),
            ap50: figures.ap50.map(short),
            class_ap: figures.class_ap.iter().map(|ap| short(ap.unwrap_or(0.0))).collect(),
            suspicion,
        })
    }

    /// As [`Watchdog::step`], from a journal.
    pub fn digest(&mut self, digest: Digest) -> Vec<Entry> {
        let step = digest.step;
        let mut said = vec![Entry::Digest(Box::new(digest.clone()))];
        self.memory.digest(digest);
        self.looks += 1;
        let found = rules::online(&View { facts: &self.facts, memory: &self.memory });
        let sure = self.sure(found, &mut said);
        self.act(&sure, Moment { step, epoch_ended: false }, &mut said);
        self.lines += said.len() as u64;
        said
    }

    /// As [`Watchdog::epoch`], from a journal.
    pub fn epoch_signals(&mut self, epoch: EpochSignals) -> Vec<Entry> {
        let step = epoch.step;
        let mut said = vec![Entry::Epoch(Box::new(epoch.clone()))];
        self.memory.epoch(epoch);
        let found = rules::epochal(&View { facts: &self.facts, memory: &self.memory });
        for diagnosis in &found {
            let look = self.looks;
            let sighting = self.sighted(diagnosis.cause);
            (sighting.look, sighting.row) = (look, 2);
            if !std::mem::replace(&mut sighting.told, true) {
                said.push(Entry::Diagnosis(diagnosis.clone()));
            }
        }
        self.act(&found, Moment { step, epoch_ended: true }, &mut said);
        self.lines += said.len() as u64;
        said
    }

    /// How fast the run is; said twice in a row, it is told.
    pub fn pace(&mut self, pace: Pace) -> Vec<Entry> {
        if self.mode == Mode::Off {
            return Vec::new();
        }
        let mut said = vec![Entry::Pace(pace)];
        self.starving = if pace.waiting > STARVED { self.starving + 1 } else { 0 };
        if self.starving == 2 {
            let sentence = format!(
                "the network waits for images {} of the time and trains {:.1} a second",
                percent(f64::from(pace.waiting)),
                pace.images_per_second
            );
            let found = Diagnosis::new(Cause::PipelineStarved, 0.95, sentence).with("waiting", f64::from(pace.waiting));
            said.push(Entry::Diagnosis(Diagnosis { step: pace.step, ..found }));
        }
        said
    }

    fn sighted(&mut self, cause: Cause) -> &mut Sighting {
        let at = self.sightings.iter().position(|s| s.cause == cause).unwrap_or_else(|| {
            self.sightings.push(Sighting { cause, look: 0, row: 0, told: false });
            self.sightings.len() - 1
        });
        &mut self.sightings[at]
    }

    /// Of what a look found, what was found at the look before too, or cannot wait; told the first time.
    fn sure(&mut self, found: Vec<Diagnosis>, said: &mut Vec<Entry>) -> Vec<Diagnosis> {
        let look = self.looks;
        let mut sure = Vec::new();
        for diagnosis in found {
            // What keeps the network from learning may have been told a moment ago.
            let mut breakers = self.sightings.iter().filter(|s| s.told && s.cause.stops_learning()).peekable();
            let broken = breakers.peek().is_some();
            let told_itself = breakers.any(|s| s.cause == diagnosis.cause);
            if broken && !told_itself && diagnosis.cause.follows_from_no_learning() {
                continue;
            }
            let sighting = self.sighted(diagnosis.cause);
            if sighting.look + QUIET < look {
                sighting.told = false;
            }
            sighting.row = if sighting.look + 1 >= look { sighting.row + 1 } else { 1 };
            sighting.look = look;
            if sighting.row < 2 && !matches!(diagnosis.cause, Cause::NonFinite | Cause::PoisonousImage) {
                continue;
            }
            if !std::mem::replace(&mut sighting.told, true) {
                said.push(Entry::Diagnosis(diagnosis.clone()));
            }
            sure.push(diagnosis);
        }
        sure
    }

    fn act(&mut self, found: &[Diagnosis], at: Moment, said: &mut Vec<Entry>) {
        let view = View { facts: &self.facts, memory: &self.memory };
        let decided = self.treatment.consider(found, &view, at, self.mode);
        let changed = decided.iter().any(|e| match e {
            Entry::Cure(cure) => cure.applied && cure.action != Action::Advise,
            Entry::Verdict(verdict) => verdict.reversed,
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
        let told = |said: &[Entry]| {
            let causes = said.iter().map(|e| if let Entry::Diagnosis(d) = e { Some(d.cause) } else { None });
            causes.collect::<Option<Vec<_>>>().expect("diagnoses only")
        };
        for cause in [Cause::RateTooLow, Cause::RateTooHigh] {
            let (mut watchdog, mut said) = (Watchdog::begin(RunFacts::default(), Mode::Advise).0, Vec::new());
            for look in 1..=6 {
                watchdog.looks = look;
                // The consequence outlasts the cause's own symptom.
                let causes = if look < 4 { vec![cause, Cause::BoxesWrong] } else { vec![Cause::BoxesWrong] };
                let found = causes.into_iter().map(|c| Diagnosis::new(c, 0.9, String::new())).collect();
                watchdog.sure(found, &mut said);
            }
            assert_eq!(told(&said), [cause]);
        }
    }
}
