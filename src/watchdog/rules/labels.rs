//! Rules for wrong labels: images whose losses stay high, and runs that stand still although everything else is
//! healthy.

use super::start;
use crate::watchdog::diagnosis::percent;
use crate::watchdog::facts::RunFacts;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;
use crate::watchdog::suspects::{MINED, NAMING, OUTSTANDING, PARTS, Suspect, Suspicion};
use crate::watchdog::symptoms::{is_flat, median};

/// Digests that a plateau lasts at least.
const WINDOWS: [usize; 3] = [10, 20, 40];

/// Share of outstanding images below which a data set is as good as hand-made ones are.
const FEW: f64 = 0.06;

/// Chance of so many images standing out below which it is none.
const CHANCE: f64 = 1e-5;

/// Naming loss of the median image, against a guess, above which the classes are not learned well enough to judge
/// labels.
const UNLEARNED: f32 = 0.65;

/// Images whose labels the network holds for less likely than a guess would.
fn swapped(view: &RuleView, suspicion: &Suspicion) -> Option<CauseFound> {
    let share = f64::from(suspicion.contradicted) / f64::from(suspicion.images);
    // Where the network mixes classes up everywhere, the labels are not to blame.
    let judged = suspicion.epochs >= 3 && suspicion.usual_guess < UNLEARNED && view.facts.classes.len() > 1;
    if !judged || suspicion.contradiction() > CHANCE || share < FEW {
        return None;
    }
    let mut suspects: Vec<&Suspect> = suspicion.worst.iter().filter(|s| s.is_contradicted()).collect();
    suspects.sort_by(|a, b| b.swapped().total_cmp(&a.swapped()));
    let sentence = format!(
        "in {} of {} training images the network, epoch after epoch, holds the labels' classes for less likely than a \
         guess would; in the median image its doubt is {} of a guess's",
        suspicion.contradicted,
        suspicion.images,
        percent(f64::from(suspicion.usual_guess))
    );
    let found = CauseFound::new(CauseEvidence::LabelsSwapped, 0.85, sentence).with("share", share);
    Some(found.naming(suspects.iter().map(|s| s.index).collect()))
}

/// Images whose losses stand out epoch after epoch.
pub fn named(view: &RuleView) -> Option<CauseFound> {
    let suspicion = &view.memory.epochs.last()?.suspicion;
    if suspicion.images < 16 {
        return None;
    }
    swapped(view, suspicion).or_else(|| outstanding(view, suspicion))
}

fn outstanding(view: &RuleView, suspicion: &Suspicion) -> Option<CauseFound> {
    if suspicion.epochs < 4 {
        return None;
    }
    let part = (0..PARTS).min_by(|&a, &b| suspicion.level(a).total_cmp(&suspicion.level(b)))?;
    let share = f64::from(suspicion.outstanding[part]) / f64::from(suspicion.images);
    let epochs = &view.memory.epochs;
    let lasting = epochs.len() >= 3 && epochs[epochs.len() - 3..].iter().all(|e| e.suspicion.level(part) < CHANCE);
    // Scores beside the labels have a heavy tail in sound data too.
    if !lasting || share < if part == MINED { 2.0 * FEW } else { FEW } {
        return None;
    }
    let stands_out = |s: &&Suspect| {
        f64::from(s.placing.max(s.naming).max(s.mined).max(s.boxes).max(s.misplaced() as f32)) > OUTSTANDING
    };
    let mut suspects: Vec<&Suspect> = suspicion.worst.iter().filter(stands_out).collect();
    let middle = |f: fn(&Suspect) -> f32| median(&suspects.iter().map(|s| f64::from(f(s))).collect::<Vec<_>>());
    let parts @ [placing, naming, mined, boxes] =
        [middle(|s| s.placing), middle(|s| s.naming), middle(|s| s.mined), middle(|s| s.boxes)];
    let (evidence, why) = if part == NAMING && naming > placing.max(mined).max(boxes) {
        (CauseEvidence::LabelsSwapped, "boxes are right, class names are not")
    } else if part != MINED && placing.max(boxes) > 1.0 {
        (CauseEvidence::BoxesWrong, "nothing is found where the boxes are")
    } else {
        (CauseEvidence::ObjectsUnlabelled, "objects are seen where no label is")
    };
    if evidence == CauseEvidence::BoxesWrong {
        // A high loss is that of a hard photo, too: where it was looked at, something must be seen beside the box.
        suspects.retain(|s| s.displaced.is_none_or(|d| f64::from(d) > OUTSTANDING));
        if sees_nothing(view.facts) || (suspects.len() as f64) < FEW * f64::from(suspicion.images) {
            return None;
        }
    }
    let sentence = format!(
        "{} of {} training images keep a loss far above the others' over {} epochs (deviations {placing:.1} in finding \
         the objects, {naming:.1} in naming them, {mined:.1} beside them, {boxes:.1} in place): {why}",
        suspicion.outstanding[part], suspicion.images, suspicion.epochs
    );
    let mut found = CauseFound::new(evidence, 0.8, sentence).naming(suspects.iter().map(|s| s.index).collect());
    for (name, value) in ["placing", "naming", "mined", "boxes"].iter().zip(parts) {
        found = found.with(name, value);
    }
    Some(found)
}

/// True if the network was asked where objects are and could not tell.
fn sees_nothing(facts: &RunFacts) -> bool {
    facts.presence.is_some() && start::located(facts).is_none()
}

/// Sides of the median object, in cells of the finest feature map, below which a run that stands still is one whose
/// input is too small. Scenes with sound labels stand at 1.8 and 2.1 cells and learn at 3.1.
const FEW_CELLS: f64 = 2.25;

/// Steps from which on a run in which everything learns has left its start.
const SETTLED_AFTER: u64 = 40;

/// The run stands at the loss of a network that ignores the image, though it moves and its stages are alive.
pub fn parked(view: &RuleView) -> Option<CauseFound> {
    // The noisier the loss, the longer it takes to prove that it stands.
    WINDOWS.iter().find_map(|&window| parked_for(view, window))
}

fn parked_for(view: &RuleView, window: usize) -> Option<CauseFound> {
    let recent = view.recent(window);
    let blind = view.blind_class_loss()?;
    let start = view.start_loss()?;
    // While the backbone is held, heads alone may well stand still for a while.
    let begin = SETTLED_AFTER + view.facts.held_steps;
    if recent.len() < window || recent[0].step < begin || median(&factors(&recent)) < 0.2 {
        return None;
    }
    let class: Vec<f64> = recent.iter().map(|d| f64::from(d.class_loss)).collect();
    let boxes: Vec<f64> = recent.iter().map(|d| f64::from(d.box_loss)).collect();
    let (now, place) = (median(&class), median(&boxes));
    let unplaced = match view.facts.blind_box_loss {
        Some(blind) => place > 0.78 * blind,
        None => place > 0.62 * start[1],
    };
    if !(0.93 * blind..1.12 * blind).contains(&now) || !unplaced || !is_flat(&class, 0.12 * blind) {
        return None;
    }
    // A journal of another hand may go back.
    let steps = recent[window - 1].step.saturating_sub(recent[0].step);
    let at = format!(
        "for {steps} steps the class loss has stood at {now:.2} ({blind:.2} is what a network that ignores the image gets) \
         and the box loss at {place:.2} of {:.2} at the start, although every stage is alive and moves",
        start[1]
    );
    let found = |evidence, confidence, why: &str| {
        CauseFound::new(evidence, confidence, format!("{at}: {why}")).with("class_loss", now).with("box_loss", place)
    };
    if start::looks_random(view.facts) {
        return Some(found(
            CauseEvidence::WeightsNotLoaded,
            0.8,
            "the backbone's weights look like fresh random numbers",
        ));
    }
    if view.facts.sides.is_some_and(|sides| sides.cells() < FEW_CELLS) {
        let why = "objects are so small at this input that neither boxes nor starting weights can be judged";
        return Some(found(CauseEvidence::ObjectsTooSmall, 0.6, why));
    }
    // Channels that are dead are no lack where the others tell photos apart: a file may come with most of them dead.
    let dead = view.facts.dead.is_some_and(|d| d > 0.5);
    if view.facts.response.map_or(dead, |response| response < 0.25) || sees_nothing(view.facts) {
        return Some(found(CauseEvidence::WeakStart, 0.6, "the features it starts from carry little for this task"));
    }
    let mut worst: Vec<Suspect> = view.memory.epochs.last().map_or(Vec::new(), |e| e.suspicion.worst.clone());
    worst.retain(|s| s.misplaced() > 1.0);
    worst.sort_by(|a, b| b.misplaced().total_cmp(&a.misplaced()));
    let wrong = found(CauseEvidence::BoxesWrong, 0.55, "the labels do not say what the images show");
    Some(wrong.naming(worst.iter().map(|s| s.index).collect()))
}

fn factors(digests: &[&crate::watchdog::digest::Digest]) -> Vec<f64> {
    digests.iter().map(|d| f64::from(d.factor)).collect()
}
