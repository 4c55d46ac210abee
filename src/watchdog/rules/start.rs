//! Rules that apply before the first step, from the facts of the run alone.

use super::class_counts::{classes, scarce, stray};
use super::sizes::{boxes, tiny};
use super::{network, schedule};
use crate::watchdog::cause::Cause;
use crate::watchdog::diagnosis::percent;
use crate::watchdog::facts::RunFacts;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::presence::Presence;
use crate::watchdog::signals::short;
use crate::watchdog::symptoms::binomial_tail;

/// Spread of channel norms below which weights look like fresh random numbers: those of a channel with n inputs spread
/// by 1/√(2n), trained ones by far more.
const EVEN: f64 = 0.15;

/// Times the usual weight decay at which it is a mistake rather than a choice.
const HEAVY: f64 = 40.0;

/// Share of images without any object from which on they are in the way.
const EMPTY: f64 = 0.4;

/// Images below which a set is few-shot: studies of few-shot detection go up to 30 objects a class (Wang et al. 2020,
/// "Frustratingly simple few-shot object detection").
const FEW: u64 = 30;

/// Showings of each photo from which on a network with more weights than the photos have boxes knows them by heart.
const BY_HEART: u64 = 10;

/// How many times as many boxes must be surely in the wrong place as in doubt, for boxes to be accused, and for images
/// to be set aside. See [`Presence::heap_apart`].
const APART: f64 = 1.0;
const FAR_APART: f64 = 1.5;

/// Share of the images whose labels look wrong in a sound set, at most, and the chance below which more are no chance.
const MISNAMED: f64 = 0.02;
const CHANCE: f64 = 1e-5;

/// Share of the images whose boxes are surely in the wrong place in a sound set, at most: 0 to 0.044 of 160 on twelve
/// sets of scenes and two of photos; with a tenth of the boxes shifted it is 0.1 to 0.16, with four tenths 0.3 to 0.5.
const DISPLACED: f64 = 0.04;

/// Share of the images whose boxes must be where something is for the others to be blamed: 0.35 to 0.6 with four tenths
/// of the boxes shifted, below 0.06 where photos are full of objects.
const IN_PLACE: f64 = 0.2;

/// Share of the images named at most as having their boxes in the wrong place.
const MOST_NAMED: f64 = 0.45;

/// Share of the images that must be agreed with, how surely the others must be contradicted, and how much of the
/// classes must be explained, as [`Appearance`] has them. Where classes are so alike that 0.8 or less is agreed with,
/// 0.54 is explained at most; with a fifth of the labels swapped it is 0.64 to 0.9 on photos, the opposition 0.8 to
/// 1.2.
///
/// [`Appearance`]: crate::watchdog::Appearance
const AGREED: f64 = 0.55;
const OPPOSED: f64 = 0.6;
const EXPLAINED: f32 = 0.55;

pub fn looks_random(facts: &RunFacts) -> bool {
    facts.spread.is_some_and(|s| s < EVEN) || facts.loaded.is_some_and(|l| l < 0.5)
}

/// Diagnoses from the facts alone, most serious first.
pub fn before(facts: &RunFacts) -> Vec<CauseFound> {
    let rules: [fn(&RunFacts) -> Option<CauseFound>; 14] = [
        weights,
        silent,
        schedule_fits,
        boxes,
        displaced,
        misnamed,
        empty,
        decay,
        weak_start,
        few,
        tiny,
        classes,
        scarce,
        stray,
    ];
    let mut found: Vec<CauseFound> = rules.iter().filter_map(|rule| rule(facts)).collect();
    // A cause that concerns little does not stand before one that concerns all; among equals the order is that of trust.
    found.sort_by_key(|found| found.cause().is_slight());
    found
}

fn weights(facts: &RunFacts) -> Option<CauseFound> {
    if let Some(loaded) = facts.loaded.filter(|l| *l < 0.9) {
        let sentence = format!("only {} of the backbone's weights came from the file", percent(loaded));
        return Some(CauseFound::new(CauseEvidence::WeightsNotLoaded, 1.0, sentence).with("loaded", loaded));
    }
    let spread = facts.spread.filter(|s| *s < EVEN)?;
    let sentence = format!(
        "the backbone's weights look like fresh random numbers (their channels differ in size by {}, trained ones by far \
         more): nothing was pretrained here",
        percent(spread)
    );
    Some(CauseFound::new(CauseEvidence::WeightsNotLoaded, 0.9, sentence).with("spread", spread))
}

/// In a network of random numbers silent layers are the least of its faults.
fn silent(facts: &RunFacts) -> Option<CauseFound> {
    if looks_random(facts) { None } else { network::silent_from_the_start(facts) }
}

fn schedule_fits(facts: &RunFacts) -> Option<CauseFound> {
    schedule::misscaled(&facts.factors)
}

/// The network's response where the labels are; `None` where there is too little of it.
pub fn located(facts: &RunFacts) -> Option<&Presence> {
    let broken =
        matches!(silent(facts).map(|found| found.cause()), Some(Cause::DeadStage(_) | Cause::SaturatedStage(_)));
    let sees = !broken && !looks_random(facts);
    facts.presence.as_ref().filter(|p| sees && p.agreement().is_some_and(|agreement| agreement >= IN_PLACE))
}

/// Boxes beside which something is seen rather than where they are.
fn displaced(facts: &RunFacts) -> Option<CauseFound> {
    let presence = located(facts)?;
    let agreement = presence.agreement()?;
    let (surely, judged) = (presence.surely_displaced(), presence.images.len());
    let apart = presence.heap_apart();
    if apart < APART || binomial_tail(surely as u64, judged as u64, DISPLACED) > CHANCE {
        return None;
    }
    let mut images = presence.displaced();
    let sentence = format!(
        "in {} of {judged} training images a place beside a label looks more like an object than the label's own, by what \
         is inside the labels of other images; in {surely} of them as surely as others are in place, where boxes are right \
         that is so in some {}",
        images.len(),
        percent(DISPLACED)
    );
    let share = images.len() as f64 / judged as f64;
    // With more than half of the images set aside there would be nothing to learn from.
    images.truncate((MOST_NAMED * facts.images as f64) as usize);
    let found = CauseFound::new(CauseEvidence::BoxesWrong, if apart >= FAR_APART { 0.9 } else { 0.6 }, sentence);
    let found = found.with("share", share).with("apart", apart);
    Some(found.with("agreement", agreement).naming(images))
}

/// Objects that look like another class than their labels say, as surely as others look like their own.
fn misnamed(facts: &RunFacts) -> Option<CauseFound> {
    // A cutting without an object does not look like its name.
    let judged = !looks_random(facts) && boxes(facts).is_none() && displaced(facts).is_none();
    let appearance = facts.appearance.as_ref().filter(|_| judged)?;
    let (agreement, opposition) = (appearance.agreement()?, appearance.opposition());
    let (images, judged) = (appearance.contradicted(), appearance.images.len());
    let chance = binomial_tail(images.len() as u64, judged as u64, MISNAMED);
    if agreement < AGREED || opposition < OPPOSED || appearance.explained < EXPLAINED || chance > CHANCE {
        return None;
    }
    let sentence = format!(
        "in {} of {judged} training images objects look like another class than their labels say, by what the objects of \
         all other images look like to the network; it is {} as sure of that as it is of the labels it agrees with, where \
         classes are hard to tell apart it would be half as sure",
        images.len(),
        percent(opposition)
    );
    let share = images.len() as f64 / judged as f64;
    let found = CauseFound::new(CauseEvidence::LabelsSwapped, 0.9, sentence).with("share", share);
    Some(found.with("agreement", agreement).with("opposition", opposition).naming(images))
}

/// So many images without any object that most steps are about nothing.
fn empty(facts: &RunFacts) -> Option<CauseFound> {
    let share = facts.empty_images as f64 / facts.images.max(1) as f64;
    if facts.images < 16 || !(EMPTY..1.0).contains(&share) {
        return None;
    }
    let sentence = format!(
        "{} of {} training images have no object: steps on them teach only what is none",
        facts.empty_images, facts.images
    );
    Some(CauseFound::new(CauseEvidence::NoPositives { share: short(share) }, 0.8, sentence).with("share", share))
}

/// Fewer photos than few-shot studies call many, shown so often that they are known by heart.
fn few(facts: &RunFacts) -> Option<CauseFound> {
    let passes = facts.total_steps / facts.steps_per_epoch.max(1);
    if facts.images == 0 || facts.images >= FEW || passes < BY_HEART {
        return None;
    }
    let objects: u64 = facts.objects.iter().sum();
    let sentence = format!(
        "{} training images with {objects} objects are shown {passes} times each: {} weights learn so few by heart, and \
         what they make of other photos comes from the pretraining alone",
        facts.images, facts.weights
    );
    let found = CauseFound::new(CauseEvidence::TooFewPhotos, 0.8, sentence);
    Some(found.with("images", facts.images as f64).with("passes", passes as f64))
}

fn decay(facts: &RunFacts) -> Option<CauseFound> {
    let times = facts.weight_decay / facts.usual_weight_decay.max(1e-12);
    if times < HEAVY {
        return None;
    }
    let sentence = format!("a weight decay of {:.0e} is {times:.0} times what fine-tuning uses", facts.weight_decay);
    Some(CauseFound::new(CauseEvidence::WeightDecayTooLarge, 0.7, sentence).with("times", times))
}

fn weak_start(facts: &RunFacts) -> Option<CauseFound> {
    let response = facts.response.filter(|r| *r < 0.05)?;
    let sentence = format!(
        "before any step the backbone's output differs between photos by only {response:.3} of its size (0.5 to 0.9 is \
         usual): its features carry next to nothing of these photos"
    );
    Some(CauseFound::new(CauseEvidence::WeakStart, 0.8, sentence).with("response", response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::{Appearance, StageFacts, StageKind};

    fn causes(facts: &RunFacts) -> Vec<Cause> {
        before(facts).into_iter().map(|found| found.cause()).collect()
    }

    #[test]
    fn few_photos_shown_often_are_said_to_be_few() {
        let set = |images, epochs| RunFacts {
            images,
            objects: vec![images],
            steps_per_epoch: images / 2,
            total_steps: epochs * (images / 2),
            weights: 3_000_000,
            ..RunFacts::default()
        };
        assert_eq!(causes(&set(12, 32)), [Cause::TooFewPhotos]);
        assert_eq!(causes(&set(12, 4)), []);
        assert_eq!(causes(&set(60, 32)), []);
    }

    #[test]
    fn photos_without_objects_may_be_some_but_not_half() {
        let set = |empty_images| RunFacts { images: 100, empty_images, objects: vec![80], ..RunFacts::default() };
        assert_eq!(causes(&set(50)), [Cause::NoPositives]);
        assert_eq!(causes(&set(20)), []);
    }

    #[test]
    fn names_that_looks_contradict_are_swapped() {
        let set = |wrong: usize, margin: f32| {
            let margins: Vec<f32> = (0..100).map(|i| if i < wrong { margin } else { 1.0 }).collect();
            let appearance =
                Appearance { images: (0..100).collect(), margins, agreed: 100 - wrong as u32, explained: 0.7 };
            RunFacts { appearance: Some(appearance), spread: Some(0.5), ..RunFacts::default() }
        };
        assert_eq!(causes(&set(20, -0.9)), [Cause::LabelsSwapped]);
        assert_eq!(before(&set(20, -0.9))[0].diagnosis.images, (0..20).collect::<Vec<u32>>());
        assert_eq!(causes(&set(20, -0.3)), [], "hesitation");
        assert_eq!(causes(&set(3, -0.9)), [], "a few");
        assert_eq!(causes(&set(50, -0.9)), [], "nothing to go by");
        assert_eq!(causes(&RunFacts { spread: Some(0.1), ..set(20, -0.9) }), [Cause::WeightsNotLoaded]);
    }

    #[test]
    fn boxes_beside_which_something_is_seen_are_wrong() {
        let set = |wrong: u32, agreed: u32, margin: f64| {
            let of = |i: u32| {
                if i < wrong {
                    margin
                } else if i < 100 - agreed {
                    -0.02
                } else {
                    0.2
                }
            };
            let presence = Presence::of(&(0..100).map(|i| (i, of(i))).collect::<Vec<_>>());
            RunFacts { presence: Some(presence), spread: Some(0.5), images: 100, ..RunFacts::default() }
        };
        assert_eq!(causes(&set(30, 60, -0.3)), [Cause::BoxesWrong]);
        assert_eq!(before(&set(30, 60, -0.3))[0].diagnosis.images, (0..30).collect::<Vec<u32>>());
        assert_eq!(before(&set(60, 40, -0.3))[0].diagnosis.images.len(), 45, "some must be left");
        assert_eq!(causes(&set(5, 80, -0.3)), [], "a few");
        assert_eq!(causes(&set(30, 60, -0.15)), [], "not surely");
        assert_eq!(causes(&set(80, 10, -0.3)), [], "nothing to go by");
        assert_eq!(causes(&RunFacts { spread: Some(0.1), ..set(30, 60, -0.3) }), [Cause::WeightsNotLoaded]);
        // Objects cut out at the wrong place look like anything.
        let margins: Vec<f32> = (0..100).map(|i| if i < 20 { -0.9 } else { 1.0 }).collect();
        let appearance = Appearance { images: (0..100).collect(), margins, agreed: 80, explained: 0.7 };
        let both = RunFacts { appearance: Some(appearance), ..set(30, 60, -0.3) };
        assert_eq!(causes(&both), [Cause::BoxesWrong]);
        // A broken network cannot judge boxes, and specks cannot be judged by name.
        let stage =
            StageFacts { name: "block 3".into(), kind: StageKind::Backbone, trained: true, fresh_predictor: false };
        let blind = RunFacts { stages: vec![stage], silent: vec![[1.0, 0.0]], ..set(30, 60, -0.3) };
        assert_eq!(causes(&blind), [Cause::DeadStage(0)]);
        let specks = RunFacts { unmatched: (0..20).collect(), extents: vec![0.02; 20], presence: None, ..both.clone() };
        assert_eq!(causes(&specks), [Cause::BoxesUnmatched]);
        // One heap of margins is a network that sees little, and says nothing; a heap not far apart is told with less
        // certainty, and nothing is set aside.
        assert_eq!(causes(&set(30, 30, -0.3)), []);
        assert!(before(&set(30, 45, -0.3))[0].diagnosis.confidence < 0.75);
        assert!(before(&set(30, 60, -0.3))[0].diagnosis.confidence > 0.75);
    }
}
