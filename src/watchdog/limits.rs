//! The limits of this result, from what a run's journal recorded alone: a pure function of the journal, as the story
//! is.

use super::advice::advice;
use super::cause::Cause;
use super::diagnosis::Diagnosis;
use super::facts::RunFacts;
use super::journal::{CureOutcome, JournalEntry};
use super::limit::{Limit, LimitKind};
use super::limit_rules::{self, RunEvidence};
use super::signals::EpochSignals;

/// All that limits the result of the run, most costly first; empty for a journal without an epoch and without a fault.
pub fn limits(entries: &[JournalEntry]) -> Vec<Limit> {
    let mut facts = RunFacts::default();
    let mut epochs: Vec<&EpochSignals> = Vec::new();
    let mut told: Vec<(Cause, &Diagnosis, bool)> = Vec::new();
    for entry in entries {
        match entry {
            JournalEntry::Run { facts: run, .. } => facts = (**run).clone(),
            JournalEntry::Epoch(epoch) => epochs.push(epoch),
            JournalEntry::Diagnosis(found) => match told.iter_mut().find(|t| t.0 == found.cause) {
                Some(known) => (known.1, known.2) = (found, false),
                None => told.push((found.cause, found, false)),
            },
            JournalEntry::Verdict(verdict) => {
                let gone = matches!(verdict.outcome, CureOutcome::Helped | CureOutcome::Untold);
                told.iter_mut().filter(|t| t.0 == verdict.cause).for_each(|t| t.2 = gone);
            }
            JournalEntry::Cure(_) | JournalEntry::GaveUp { .. } | JournalEntry::Digest(_) | JournalEntry::Pace(_) => {}
        }
    }
    let lasting = told.into_iter().filter(|(_, _, gone)| !gone);
    let fault = |(cause, found, _): (Cause, &Diagnosis, bool)| {
        let evidence = format!("{}: {}", sentence_case(cause.words()), found.sentence);
        Limit::new(LimitKind::Fault(cause), evidence, advice(cause, &facts))
    };
    let mut all: Vec<Limit> = lasting.map(fault).collect();
    if let Some(evidence) = RunEvidence::of(&facts, &epochs) {
        let few = all.iter_mut().filter(|limit| limit.kind.is_of_few_photos());
        few.for_each(|limit| limit.gain = limit_rules::gain_of_photos(&evidence));
        all.extend(limit_rules::all(&evidence));
    }
    // A fault that was found says the same with more certainty.
    let known = |kind: &LimitKind, cause: Cause| {
        let same = match kind {
            LimitKind::InputTooSmall => cause == Cause::ObjectsTooSmall,
            LimitKind::TooFewPhotos => {
                matches!(cause, Cause::Overfitting | Cause::TooFewPhotos | Cause::DataExhausted)
            }
            LimitKind::WeakStart => matches!(cause, Cause::WeakStart | Cause::WeightsNotLoaded),
            _ => false,
        };
        same && !cause.is_slight()
    };
    let causes: Vec<Cause> =
        all.iter().filter_map(|l| if let LimitKind::Fault(cause) = l.kind { Some(cause) } else { None }).collect();
    all.retain(|l| !causes.iter().any(|cause| known(&l.kind, *cause)));
    // A limit with a number stands for the same limit without one.
    let sized = all.iter().any(|l| l.kind == LimitKind::InputTooSmall);
    all.retain(|l| !sized || l.kind != LimitKind::Fault(Cause::ObjectsTooSmall));
    all.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
    all
}

/// With a capital at its beginning.
fn sentence_case(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::super::limit::Change;
    use super::super::mode::Mode;
    use super::super::remedy::Remedy;
    use super::super::shortfall::{ClassMixup, Shortfall};
    use super::*;

    fn journal(facts: RunFacts, epochs: Vec<EpochSignals>) -> Vec<JournalEntry> {
        let run = JournalEntry::Run { mode: Mode::Advise, facts: Box::new(facts) };
        std::iter::once(run).chain(epochs.into_iter().map(|e| JournalEntry::Epoch(Box::new(e)))).collect()
    }

    fn facts() -> RunFacts {
        let classes = ["wolf", "fox", "dog"].map(String::from).to_vec();
        let objects = vec![100; 3];
        RunFacts {
            classes,
            objects,
            images: 200,
            judged_images: 50,
            judged_objects: vec![25; 3],
            ..RunFacts::default()
        }
    }

    /// Epochs of a run whose AP50 follows `ap50`, with the naming loss and the shortfall of its last one.
    fn epochs(ap50: &[f32], naming: [f32; 2], shortfall: Shortfall) -> Vec<EpochSignals> {
        let one = |(epoch, ap): (u64, &f32)| EpochSignals {
            epoch,
            step: 100 * epoch,
            training: [1.2, 0.5],
            validation: Some([1.25, 0.5]),
            ap: Some(0.6 * ap),
            ap50: Some(*ap),
            class_ap: vec![0.5, 0.2, 0.4],
            naming: Some(naming),
            ap50_interval: Some([ap - 0.04, ap + 0.04]),
            shortfall: Some(shortfall.clone()),
            ..EpochSignals::default()
        };
        (1..).zip(ap50).map(one).collect()
    }

    fn kinds(all: &[Limit]) -> Vec<LimitKind> {
        all.iter().map(|l| l.kind).collect()
    }

    #[test]
    fn classes_that_look_alike_are_named_with_their_pairs() {
        let mixups = vec![ClassMixup { label: 1, answer: 0, count: 9, of: 25 }];
        let shortfall = Shortfall { naming: 0.2, placing: 0.01, mixups, ..Shortfall::default() };
        let flat = [0.5, 0.61, 0.6, 0.62, 0.61, 0.6, 0.62, 0.61, 0.62, 0.61];
        let told = limits(&journal(facts(), epochs(&flat, [0.1, 0.9], shortfall.clone())));
        assert_eq!(kinds(&told), [LimitKind::LookAlikes]);
        assert!(told[0].evidence.contains("9 of 25 of fox are called wolf"), "{told:?}");
        assert!(told[0].advice.contains("photos of fox"), "learned on training photos only: {told:?}");
        // Learned on neither: the run was too short, whatever the curve says.
        let told = limits(&journal(facts(), epochs(&flat, [0.7, 0.75], shortfall)));
        assert!(kinds(&told).contains(&LimitKind::StillLearning), "{told:?}");
    }

    #[test]
    fn a_curve_that_rises_tells_by_how_much() {
        let rise: Vec<f32> = (1..=12).map(|i| 0.2 + 0.1 * (i as f32).ln()).collect();
        let told = limits(&journal(facts(), epochs(&rise, [0.1, 0.1], Shortfall::default())));
        assert_eq!(kinds(&told), [LimitKind::StillLearning]);
        let [low, high] = told[0].gain.unwrap();
        assert!(low < 0.112 && 0.105 < high && high < 0.15, "0.1 · ln 3 = 0.11: {told:?}");
        let flat = [0.3, 0.5, 0.51, 0.49, 0.5, 0.52, 0.49, 0.5, 0.51, 0.5];
        assert_eq!(limits(&journal(facts(), epochs(&flat, [0.1, 0.1], Shortfall::default()))), []);
    }

    #[test]
    fn small_objects_that_are_missed_ask_for_a_larger_input() {
        let sides = super::super::ObjectSides { input: 160, cell: 16, median: 14.0, below: 0.4, enough: 256 };
        let facts = RunFacts { sides: Some(sides), ..facts() };
        let shortfall = Shortfall {
            missed: 0.2,
            missed_small: 0.15,
            found_small: [10, 60],
            found_others: [80, 90],
            ..Shortfall::default()
        };
        let told = limits(&journal(facts, epochs(&[0.5; 8], [0.1, 0.1], shortfall)));
        assert_eq!(kinds(&told)[0], LimitKind::InputTooSmall);
        assert!(told[0].advice.contains("--imgsz 256") && told[0].evidence.contains("10 of 60"), "{told:?}");
    }

    #[test]
    fn look_alikes_of_few_pixels_ask_for_a_larger_input_before_more_photos() {
        let sides = super::super::ObjectSides { input: 160, cell: 16, median: 50.0, below: 0.05, enough: 160 };
        let mixups = vec![ClassMixup { label: 1, answer: 0, count: 9, of: 25 }];
        let shortfall = Shortfall { naming: 0.2, placing: 0.04, mixups, ..Shortfall::default() };
        let found = |cause| {
            let (step, confidence, sentence) = (0, 0.9, "it is so".to_string());
            JournalEntry::Diagnosis(Diagnosis {
                step,
                cause,
                confidence,
                sentence,
                evidence: Default::default(),
                images: vec![],
            })
        };
        let mut entries = journal(RunFacts { sides: Some(sides), ..facts() }, epochs(&[0.5; 8], [0.7, 0.8], shortfall));
        entries.insert(1, found(Cause::TooFewPhotos));
        let told = limits(&entries);
        assert_eq!(told[0].kind, LimitKind::LookAlikes, "{told:?}");
        assert_eq!((told[0].remedies[0], told[0].change), (Remedy::LargerInput, Some(Change::InputSide(256))));
        assert!(told[0].advice.contains("--imgsz 256"), "{told:?}");
        let few = told.iter().find(|l| l.kind == LimitKind::Fault(Cause::TooFewPhotos)).expect("it is told");
        assert!(few.gain.expect("by the mistakes")[1] < 0.05, "lessons hold on other photos: {few:?}");
        // A broken run is told of before all that follows from it.
        entries.insert(1, found(Cause::RateTooLow));
        assert_eq!(limits(&entries)[0].kind, LimitKind::Fault(Cause::RateTooLow));
    }

    #[test]
    fn what_concerns_the_measuring_is_told_last() {
        let mut few = epochs(&[0.5; 8], [0.1, 0.1], Shortfall { placing: 0.08, ..Shortfall::default() });
        few.iter_mut().for_each(|e| e.ap50_interval = Some([0.3, 0.7]));
        let told = limits(&journal(RunFacts { twins: Some(20), ..facts() }, few));
        assert_eq!(kinds(&told), [LimitKind::LooseBoxes, LimitKind::Twins, LimitKind::FewJudged]);
        assert_eq!(limits(&[]), []);
    }
}
