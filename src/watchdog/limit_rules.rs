//! Rules for what limits a result, from the facts and the epochs of a run. Each asks for a gain that matters.

use super::diagnosis::{listed, percent};
use super::facts::RunFacts;
use super::limit::{Change, Limit, LimitKind};
use super::remedy::Remedy;
use super::shortfall::{ClassMixup, Shortfall};
use super::signals::EpochSignals;

/// Gain in AP50 below which a kind of mistake is not worth telling.
const MATTERS: f64 = 0.02;

/// How many times as long a run the gain of a longer one is told for.
const LONGER: f64 = 3.0;

/// Share of a guess's naming loss above which classes are not learned on the photos that it was measured on.
const UNNAMED: f64 = 0.25;

/// Width of AP50's interval from which on there are too few photos to judge by.
const WIDE: f32 = 0.12;

/// Share of the classes' variance that a linear probe must explain for the features to tell them apart.
const EXPLAINED: f32 = 0.3;

/// Sides of the median object, in cells of the finest feature map, at which a larger input brings most and from which
/// on it brings nothing that can be told. Scenes whose median object has 3.1 cells gained 0.16 AP by half as many pixels
/// more a side, photos with 10 cells nothing.
const SCANT_CELLS: f64 = 2.0;
const AMPLE_CELLS: f64 = 6.0;

/// Validation loss over training loss up to which lessons hold on other photos, and from which on they do not.
const SMALL_GAP: f64 = 1.0;
const LARGE_GAP: f64 = 1.8;

/// Gain of AP50 by the trend of the last epochs, for a longer run, from which on it is a fast one.
const FAST: f64 = 0.1;

/// The facts of a run that is over.
#[derive(Clone, Copy, Debug)]
pub struct RunEvidence<'a> {
    facts: &'a RunFacts,
    epochs: &'a [&'a EpochSignals],
    /// The epoch of highest AP.
    best: &'a EpochSignals,
    ap50: f64,
}

impl<'a> RunEvidence<'a> {
    /// `None` for a run without an epoch that was judged.
    pub fn of(facts: &'a RunFacts, epochs: &'a [&'a EpochSignals]) -> Option<Self> {
        let judged = epochs.iter().copied().filter(|e| e.ap.is_some());
        let best = judged.max_by(|a, b| a.ap.unwrap_or(0.0).total_cmp(&b.ap.unwrap_or(0.0)))?;
        Some(Self { facts, epochs, best, ap50: f64::from(best.ap50?) })
    }

    fn shortfall(&self) -> Option<&'a Shortfall> {
        self.best.shortfall.as_ref()
    }

    /// Naming loss on training and on validation images at the best epoch, against a guess's.
    fn naming(&self) -> Option<[f64; 2]> {
        let known = self.facts.classes.len();
        let guess = (known.max(2) as f64).ln();
        self.best.naming.filter(|_| known > 1).map(|naming| naming.map(|v| f64::from(v) / guess))
    }

    /// The loss on validation images over that on training images, at the best epoch.
    fn gap(&self) -> Option<f64> {
        let sum = |loss: [f32; 2]| f64::from(loss[0] + loss[1]);
        let trained = sum(self.best.training);
        self.best.validation.map(sum).filter(|_| trained > 0.0).map(|held_out| held_out / trained)
    }

    /// The classes of lowest AP that are judged at all.
    fn weakest(&self) -> Vec<String> {
        let judged = |c: &usize| !self.facts.is_stray(*c) && self.facts.objects.get(*c).is_some_and(|n| *n > 0);
        let mut classes: Vec<usize> = (0..self.best.class_ap.len()).filter(judged).collect();
        classes.sort_by(|a, b| self.best.class_ap[*a].total_cmp(&self.best.class_ap[*b]));
        classes.iter().take(2).map(|c| self.facts.class_name(*c).to_string()).collect()
    }
}

/// The evidence for each remedy of mistakes that were measured, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lifts {
    /// Objects are small for this input.
    larger_input: f64,
    /// Lessons from training images do not hold on others.
    more_photos: f64,
    /// The training loss is still high, or AP rises.
    longer: f64,
}

impl Lifts {
    fn of(run: &RunEvidence) -> Self {
        let between = |value: f64, low: f64, high: f64| ((value - low) / (high - low)).clamp(0.0, 1.0);
        let cells = run.facts.sides.map_or(AMPLE_CELLS, |sides| sides.cells());
        let rising = rise(run).map_or_else(|| last_rise(run), |[_, slope, _]| slope) * LONGER.ln();
        Self {
            larger_input: between(-cells, -AMPLE_CELLS, -SCANT_CELLS),
            more_photos: run.gap().map_or(0.0, |gap| between(gap, SMALL_GAP, LARGE_GAP)),
            longer: between(rising, 0.0, FAST),
        }
    }

    /// The remedies, the likeliest first, and how much speaks for the first; equals in the order of their cost.
    fn ordered(self) -> (Vec<Remedy>, f64) {
        let mut all = [
            (self.longer, Remedy::Longer),
            (self.larger_input, Remedy::LargerInput),
            (self.more_photos, Remedy::MorePhotos),
        ];
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        (all.map(|(_, remedy)| remedy).to_vec(), all[0].0)
    }
}

/// A limit of mistakes that were measured, whose mending would bring `gain`, with the remedies that speak for themselves
/// by `lifts`. The more speaks for the first remedy, the more of the gain is to be expected.
fn of_mistakes(run: &RunEvidence, lifts: Lifts, kind: LimitKind, evidence: String, gain: f64) -> Limit {
    let (remedies, certainty) = lifts.ordered();
    let epochs = LONGER as u64 * run.epochs.last().map_or(1, |e| e.epoch.max(1));
    let side = run.facts.sides.map(|sides| sides.larger_input());
    let (advice, change) = match (remedies[0], side) {
        (Remedy::LargerInput, Some(side)) => {
            (format!("Train with a larger input (--imgsz {side})."), Some(Change::InputSide(side)))
        }
        (Remedy::MorePhotos, _) => (format!("Label more photos, above all of {}.", listed(&run.weakest())), None),
        _ => (format!("Train for {epochs} epochs (--epochs)."), Some(Change::Epochs(epochs))),
    };
    let limit =
        Limit::new(kind, evidence, advice).lifted_by(&remedies).gaining([0.5 * certainty * gain, gain], run.ap50);
    Limit { change, ..limit }
}

/// Bounds of what more photos bring: the mistakes that they may mend, as far as lessons do not hold on other photos.
pub fn gain_of_photos(run: &RunEvidence) -> Option<[f32; 2]> {
    let shortfall = run.shortfall()?;
    let mistakes = f64::from(shortfall.naming + shortfall.placing + shortfall.missed);
    let most = (mistakes * Lifts::of(run).more_photos).min(1.0 - run.ap50).max(0.0);
    Some([0.0, most as f32])
}

/// All limits that the evidence shows, in no order.
pub fn all(run: &RunEvidence) -> Vec<Limit> {
    let rules: [fn(&RunEvidence) -> Option<Limit>; 10] = [
        still_learning,
        look_alikes,
        input_too_small,
        loose_boxes,
        missed,
        phantoms,
        too_few_photos,
        weak_start,
        twins,
        few_judged,
    ];
    rules.iter().filter_map(|rule| rule(run)).collect()
}

/// Rise of AP50 by the logarithm of the epochs: slope and the bounds that hold it, by least squares over the last two
/// thirds of the run.
///
/// In many runs AP grows by about as much with every doubling. The bounds are widened by half, for neighbouring epochs
/// are alike.
fn rise(run: &RunEvidence) -> Option<[f64; 3]> {
    const FEWEST: usize = 4;
    const DEVIATIONS: f64 = 2.2 * 1.5;
    let all: Vec<(f64, f64)> =
        run.epochs.iter().filter_map(|e| Some(((e.epoch.max(1) as f64).ln(), f64::from(e.ap50?)))).collect();
    let points = &all[all.len() / 3..];
    if points.len() < FEWEST {
        return None;
    }
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / square.max(1e-9);
    let rest: f64 = points.iter().map(|p| (p.1 - y - slope * (p.0 - x)).powi(2)).sum();
    let wander = DEVIATIONS * (rest / (n - 2.0) / square.max(1e-9)).sqrt();
    Some([slope - wander, slope, slope + wander])
}

/// Rise of AP50 by the logarithm of the epochs between the last two, for runs too short for a trend; 0 without two.
fn last_rise(run: &RunEvidence) -> f64 {
    let of = |e: &&EpochSignals| Some(((e.epoch.max(1) as f64).ln(), f64::from(e.ap50?)));
    let mut last = run.epochs.iter().rev().filter_map(of);
    let (Some((x, y)), Some((before, ap50))) = (last.next(), last.next()) else { return 0.0 };
    if x > before { (y - ap50) / (x - before) } else { 0.0 }
}

/// The run ended while it was still learning: by the trend of AP50, or because the classes are named neither on
/// training nor on validation images, which the curve alone does not show.
fn still_learning(run: &RunEvidence) -> Option<Limit> {
    let epochs = run.epochs.last()?.epoch;
    let [low, middle, high] = rise(run)?.map(|slope| slope * LONGER.ln());
    let advice = format!("Train for {} epochs (--epochs).", LONGER as u64 * epochs);
    let longer = Change::Epochs(LONGER as u64 * epochs);
    if low > 0.0 && middle >= MATTERS {
        let evidence = format!(
            "The run ended while AP50 was rising: by the trend of its last epochs {} epochs instead of {epochs} bring more",
            LONGER as u64 * epochs
        );
        let limit = Limit::new(LimitKind::StillLearning, evidence, advice).changing(longer);
        return Some(limit.gaining([low, high], run.ap50));
    }
    let (naming, [trained, held_out]) = (f64::from(run.shortfall()?.naming), run.naming()?);
    if trained < UNNAMED || held_out > 1.3 * trained || naming < MATTERS {
        return None;
    }
    let evidence = format!(
        "The classes are not learned yet: the loss of naming them is {} of a guess's on training images and {} on \
         validation images, although AP50 hardly rises",
        percent(trained),
        percent(held_out)
    );
    let limit = Limit::new(LimitKind::StillLearning, evidence, advice).changing(longer);
    Some(limit.gaining([middle.clamp(0.0, naming), middle.max(naming)], run.ap50))
}

/// Classes that look alike: objects are found in place and called another.
fn look_alikes(run: &RunEvidence) -> Option<Limit> {
    let shortfall = run.shortfall()?;
    let gain = f64::from(shortfall.naming);
    if gain < MATTERS || shortfall.mixups.is_empty() {
        return None;
    }
    let name = |class: u32| run.facts.class_name(class as usize).to_string();
    let pair = |m: &ClassMixup| format!("{} of {} of {} are called {}", m.count, m.of, name(m.label), name(m.answer));
    let pairs: Vec<String> = shortfall.mixups.iter().take(3).map(pair).collect();
    let first = shortfall.mixups[0];
    let mut lifts = Lifts::of(run);
    let why = match run.naming() {
        Some([trained, held_out]) if trained < UNNAMED && held_out > 2.0 * trained => {
            lifts.more_photos = 1.0;
            ": on training images they are told apart, on others they are not"
        }
        Some([trained, _]) if trained >= UNNAMED => ": on training images they are not told apart either",
        _ => "",
    };
    let photos = format!("Label more photos of {} and {}.", name(first.label), name(first.answer));
    let evidence = format!("Classes look alike: {}{why}", pairs.join(", "));
    let limit = of_mistakes(run, lifts, LimitKind::LookAlikes, evidence, gain);
    Some(if limit.remedies[0] == Remedy::MorePhotos { Limit { advice: photos, ..limit } } else { limit })
}

/// Objects below a cell's side that are missed more often than the others.
fn input_too_small(run: &RunEvidence) -> Option<Limit> {
    let (shortfall, sides) = (run.shortfall()?, run.facts.sides?);
    let gain = f64::from(shortfall.missed_small);
    let ([found, small], [others_found, others]) = (shortfall.found_small, shortfall.found_others);
    let share = |found: u32, all: u32| f64::from(found) / f64::from(all.max(1));
    let rarer = others == 0 || share(found, small) < 0.7 * share(others_found, others);
    // Without others to compare with, most of the small ones must be missed.
    let lost = gain >= MATTERS || others == 0 && share(found, small) < 0.5;
    if small < 5 || !rarer || !lost || sides.enough <= sides.input {
        return None;
    }
    let evidence = format!(
        "Objects are small for an input of {} pixels: {found} of {small} below {} pixels are found, of the others \
         {others_found} of {others}",
        sides.input, sides.cell
    );
    let advice = format!("Train with a larger input (--imgsz {}).", sides.enough);
    let limit = Limit::new(LimitKind::InputTooSmall, evidence, advice).changing(Change::InputSide(sides.enough));
    Some(limit.gaining([0.0, gain], run.ap50))
}

fn loose_boxes(run: &RunEvidence) -> Option<Limit> {
    let gain = f64::from(run.shortfall()?.placing);
    if gain < MATTERS {
        return None;
    }
    let evidence = "Boxes lie loosely around objects that are found (IoU below 0.5)".to_string();
    let limit = of_mistakes(run, Lifts::of(run), LimitKind::LooseBoxes, evidence, gain);
    let advice = format!("{} Look at how tightly boxes are drawn, too.", limit.advice);
    Some(Limit { advice, ..limit })
}

fn missed(run: &RunEvidence) -> Option<Limit> {
    let shortfall = run.shortfall()?;
    let gain = f64::from(shortfall.missed - shortfall.missed_small);
    if gain < MATTERS {
        return None;
    }
    let [found, all] = shortfall.found_others;
    let evidence =
        format!("Objects are overlooked: {found} of {all} that are large enough are found with some certainty");
    Some(of_mistakes(run, Lifts::of(run), LimitKind::Missed, evidence, gain))
}

fn phantoms(run: &RunEvidence) -> Option<Limit> {
    let gain = f64::from(run.shortfall()?.phantoms);
    if gain < MATTERS {
        return None;
    }
    let evidence = "Objects are seen where no label is".to_string();
    let advice =
        "Look for unlabelled objects in the validation photos; add photos without objects to the training set.";
    Some(Limit::new(LimitKind::Phantoms, evidence, advice.into()).gaining([0.0, gain], run.ap50))
}

/// The loss on validation images stands far above that on training images and falls no more.
fn too_few_photos(run: &RunEvidence) -> Option<Limit> {
    const EPOCHS: usize = 6;
    const APART: f32 = 1.5;
    let sum = |loss: [f32; 2]| loss[0] + loss[1];
    let held_out: Vec<f32> = run.epochs.iter().filter_map(|e| e.validation.map(sum)).collect();
    let (now, trained) = (*held_out.last()?, sum(run.epochs.last()?.training));
    if held_out.len() < EPOCHS || now < APART * trained {
        return None;
    }
    let (before, latest) = held_out.split_at(2 * held_out.len() / 3);
    let lowest = |all: &[f32]| all.iter().copied().fold(f32::INFINITY, f32::min);
    if lowest(latest) < 0.98 * lowest(before) {
        return None;
    }
    let evidence = format!(
        "More is learned of the {} training images than holds on others: the loss is {trained:.2} there and {now:.2} on \
         validation images, where it falls no more",
        run.facts.images
    );
    let advice = format!("Label more photos, above all of {}.", listed(&run.weakest()));
    let limit = Limit::new(LimitKind::TooFewPhotos, evidence, advice);
    Some(Limit { gain: gain_of_photos(run), ..limit })
}

/// The features that the run began with tell the classes hardly apart.
fn weak_start(run: &RunEvidence) -> Option<Limit> {
    let seen = run.facts.appearance.as_ref().filter(|a| a.agreement().is_some() && a.explained < EXPLAINED)?;
    if f64::from(run.shortfall()?.naming) < MATTERS {
        return None;
    }
    let evidence = format!(
        "The starting weights tell these classes hardly apart: a linear probe on their features explains {} of the classes",
        percent(f64::from(seen.explained.max(0.0)))
    );
    let advice =
        "Begin with weights trained for detection on photos like these (--weights), or train much longer.".into();
    Some(Limit::new(LimitKind::WeakStart, evidence, advice))
}

/// Validation photos that are almost training photos.
fn twins(run: &RunEvidence) -> Option<Limit> {
    let (twins, judged) = (run.facts.twins?, run.facts.judged_images.max(1));
    let share = f64::from(twins) / judged as f64;
    if twins < 2 || share < 0.05 {
        return None;
    }
    let evidence = format!(
        "{twins} of {judged} validation images look almost the same as a training image: AP promises more than other photos \
         will show"
    );
    Some(Limit::new(LimitKind::Twins, evidence, "Hold back whole series of photos, not single ones.".into()))
}

fn few_judged(run: &RunEvidence) -> Option<Limit> {
    let [low, high] = run.best.ap50_interval.filter(|[low, high]| high - low > WIDE)?;
    let images = match run.facts.judged_images {
        0 => "the validation images".to_string(),
        n => format!("{n} validation images"),
    };
    let evidence = format!(
        "AP50 is known only as {low:.2} to {high:.2} from {images}: smaller differences than {:.2} cannot be told",
        (high - low) / 2.0
    );
    Some(Limit::new(LimitKind::FewJudged, evidence, "Hold back more photos for validation.".into()))
}
