//! The faults that the stagnation bench injects, and the causes that the watchdog should name for them.

use crate::boxes::CornerBox;
use crate::data::{Object, Record};
use crate::model::{ConvWeights, Ssd, Stage, initialise_network};
use crate::optim::{Restart, Schedule};
use crate::train::{Job, Mishap, Records};
use crate::watchdog::{Cause, Suspect};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    RateHigh,
    RateLow,
    NeverWarm,
    DecaysAtOnce,
    BoxesShifted,
    LabelsSwapped,
    WrongUnits,
    RareClass,
    NotLoaded,
    DeadStage,
    SaturatedStage,
    HeadsCutOff,
    FewImages,
    WeightDecay,
    NoPositives,
    BatchOne,
    SlowLoader,
    NotANumber,
    OutrageousImage,
}

/// The stage that is spoilt.
const STAGE: Stage = Stage::Block(8);

/// When numbers leave their range, and the image that is outrageous.
const BROKEN_STEP: u64 = 100;
const BROKEN_IMAGE: usize = 11;

/// Images that are few.
const FEW: usize = 12;

impl Fault {
    pub const ALL: [Fault; 19] = [
        Fault::RateHigh,
        Fault::RateLow,
        Fault::NeverWarm,
        Fault::DecaysAtOnce,
        Fault::BoxesShifted,
        Fault::LabelsSwapped,
        Fault::WrongUnits,
        Fault::RareClass,
        Fault::NotLoaded,
        Fault::DeadStage,
        Fault::SaturatedStage,
        Fault::HeadsCutOff,
        Fault::FewImages,
        Fault::WeightDecay,
        Fault::NoPositives,
        Fault::BatchOne,
        Fault::SlowLoader,
        Fault::NotANumber,
        Fault::OutrageousImage,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Fault::RateHigh => "rate-x30",
            Fault::RateLow => "rate-x0.001",
            Fault::NeverWarm => "never-warms-up",
            Fault::DecaysAtOnce => "decays-at-once",
            Fault::BoxesShifted => "boxes-shifted-40",
            Fault::LabelsSwapped => "labels-swapped-20",
            Fault::WrongUnits => "wrong-units-20",
            Fault::RareClass => "class-at-1",
            Fault::NotLoaded => "not-loaded",
            Fault::DeadStage => "dead-stage",
            Fault::SaturatedStage => "saturated-stage",
            Fault::HeadsCutOff => "heads-cut-off",
            Fault::FewImages => "12-images",
            Fault::WeightDecay => "weight-decay-x100",
            Fault::NoPositives => "no-positives-half",
            Fault::BatchOne => "batch-of-1",
            Fault::SlowLoader => "loader-slow",
            Fault::NotANumber => "nan-at-step",
            Fault::OutrageousImage => "outrageous-image",
        }
    }

    /// True if a diagnosis is the right one; `map` is the feature map whose heads were cut off.
    pub fn is_named_by(self, cause: Cause, map: usize) -> bool {
        match self {
            Fault::RateHigh => matches!(cause, Cause::RateTooHigh | Cause::BackboneCollapsed),
            Fault::RateLow => cause == Cause::RateTooLow,
            Fault::NeverWarm => cause == Cause::NeverWarmsUp,
            Fault::DecaysAtOnce => cause == Cause::DecaysAtOnce,
            Fault::BoxesShifted => cause == Cause::BoxesWrong,
            Fault::LabelsSwapped => cause == Cause::LabelsSwapped,
            Fault::WrongUnits => matches!(cause, Cause::BoxesUnmatched),
            Fault::RareClass => cause == Cause::ClassStarves(2),
            Fault::NotLoaded => cause == Cause::WeightsNotLoaded,
            Fault::DeadStage => cause == Cause::DeadStage(9),
            Fault::SaturatedStage => cause == Cause::SaturatedStage(9),
            Fault::HeadsCutOff => cause == Cause::FeatureMapStarves(map),
            Fault::FewImages => matches!(cause, Cause::Overfitting | Cause::TooFewPhotos | Cause::DataExhausted),
            Fault::WeightDecay => cause == Cause::WeightDecayTooLarge,
            Fault::NoPositives => cause == Cause::NoPositives,
            Fault::BatchOne => cause == Cause::BatchTooSmall,
            Fault::SlowLoader => cause == Cause::PipelineStarved,
            Fault::NotANumber => cause == Cause::NonFinite,
            Fault::OutrageousImage => cause == Cause::PoisonousImage,
        }
    }

    /// True if a machine can do anything about it: not about photos or pretrained weights that are not there, a slow disk,
    /// or a batch of one that learns well enough.
    pub fn is_curable(self) -> bool {
        !matches!(
            self,
            Fault::FewImages
                | Fault::NotLoaded
                | Fault::SlowLoader
                | Fault::BatchOne
                | Fault::RareClass
                | Fault::NoPositives
        )
    }

    /// How much an image is in doubt for what this fault does to images; `None` where it does nothing to them.
    pub fn doubt(self) -> Option<fn(&Suspect) -> f64> {
        match self {
            Fault::BoxesShifted => Some(Suspect::misplaced),
            Fault::LabelsSwapped => Some(Suspect::swapped),
            _ => None,
        }
    }

    pub fn spoil_recipe(self, job: &mut Job) {
        let recipe = &mut job.recipe;
        match self {
            Fault::RateHigh => recipe.lr *= 30.0,
            Fault::RateLow => recipe.lr *= 0.001,
            Fault::WeightDecay => recipe.weight_decay *= 100.0,
            // The same number of steps, of fewer images.
            Fault::FewImages => recipe.epochs *= 4,
            Fault::NoPositives => (recipe.batch, recipe.micro_batch) = (recipe.batch, 1),
            Fault::BatchOne => (recipe.batch, recipe.micro_batch) = (1, 1),
            Fault::NotANumber => job.mishap = Some(Mishap::NotANumber { step: BROKEN_STEP }),
            Fault::OutrageousImage => job.mishap = Some(Mishap::OutrageousImage { index: BROKEN_IMAGE }),
            _ => {}
        }
    }

    /// Schedules of another run's length.
    pub fn spoil_schedule(self, job: &mut Job, images: usize) {
        let fitting = job.recipe.schedule(images);
        let again = match self {
            Fault::NeverWarm => Restart { from: 0, rise: 20 * fitting.total, to: 40 * fitting.total, peak: 1.0 },
            Fault::DecaysAtOnce => Restart { from: 0, rise: 0, to: fitting.total / 20, peak: 1.0 },
            _ => return,
        };
        job.schedule = Some(Schedule { again: Some(again), ..fitting });
    }

    pub fn spoil_network(self, network: &mut Ssd<ConvWeights>, map: usize, seed: u64) {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed + 77);
        if self == Fault::NotLoaded {
            let specs = network.map(|_, w| w.spec);
            let mut fresh = initialise_network(&specs, rng);
            fresh.convs_mut().into_iter().filter(|(stage, _)| stage.is_backbone()).for_each(|(_, conv)| conv.unfold());
            let backbone = fresh.backbone_len();
            let fresh: Vec<ConvWeights> = fresh.convs().into_iter().map(|(_, w)| w.clone()).collect();
            for ((_, conv), new) in network.convs_mut().into_iter().zip(fresh).take(backbone) {
                *conv = new;
            }
        }
        let silence = |conv: &mut ConvWeights, bias: f32| {
            conv.weight.fill(0.0);
            conv.bias.fill(bias);
        };
        for (stage, conv) in network.convs_mut() {
            let depthwise = conv.spec.kind == crate::model::ConvKind::Depthwise;
            match self {
                Fault::DeadStage if stage == STAGE && depthwise => silence(conv, -1.0),
                Fault::SaturatedStage if stage == STAGE && depthwise => silence(conv, 20.0),
                Fault::HeadsCutOff if depthwise && (stage == Stage::BoxHead(map) || stage == Stage::ClassHead(map)) => {
                    silence(conv, -1.0)
                }
                _ => {}
            }
        }
    }

    pub fn spoil_records(self, records: &mut Vec<Record>, classes: usize, seed: u64) {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed + 99);
        match self {
            Fault::FewImages => records.truncate(FEW),
            Fault::BoxesShifted => {
                for object in objects(records) {
                    if rng.random_bool(0.4) {
                        shift(object, rng);
                    }
                }
            }
            Fault::LabelsSwapped => {
                for record in records.iter_mut() {
                    if rng.random_bool(0.2) {
                        record.objects.iter_mut().for_each(|o| o.class = (o.class + 1) % classes);
                    }
                }
            }
            Fault::WrongUnits => {
                for record in records.iter_mut().step_by(5) {
                    // Pixels of a file twice as large, read as thousandths: a speck near the corner.
                    record.objects.iter_mut().for_each(|o| {
                        let b = &mut o.bbox;
                        (b.x0, b.y0, b.x1, b.y1) = (b.x0 * 0.02, b.y0 * 0.02, b.x1 * 0.02, b.y1 * 0.02);
                    });
                }
            }
            Fault::RareClass => {
                let (mut kept, shows) = (2, |r: &Record| r.objects.iter().any(|o| o.class == 2));
                let without = records.iter().filter(|r| !r.objects.is_empty() && !shows(r)).count();
                // Photos without the class, where there are enough; else it is there and has no label.
                let enough = 4 * without >= records.len();
                records.retain_mut(|record| {
                    let rare = shows(record);
                    if rare && kept > 0 {
                        kept -= 1;
                    } else if !enough {
                        record.objects.retain(|o| o.class != 2);
                    } else if rare {
                        return false;
                    }
                    !record.objects.is_empty()
                });
            }
            Fault::NoPositives => records.iter_mut().step_by(2).for_each(|r| r.objects.clear()),
            _ => {}
        }
    }

    /// The records as the loader gets them.
    pub fn feed(self, records: Vec<Record>) -> Records {
        let len = records.len();
        if self != Fault::SlowLoader {
            return Records::in_memory(records);
        }
        Records::new(len, move |i| {
            std::thread::sleep(Duration::from_millis(40));
            Ok(records[i].clone())
        })
    }
}

fn objects(records: &mut [Record]) -> impl Iterator<Item = &mut Object> {
    records.iter_mut().flat_map(|r| r.objects.iter_mut())
}

/// Moves a box in any direction by up to its own size, so far that it overlaps the object by less than half.
fn shift(object: &mut Object, rng: &mut Pcg64Mcg) {
    let old = object.bbox;
    for _ in 0..100 {
        let (dx, dy) = (rng.random_range(-1.0..1.0) * old.width(), rng.random_range(-1.0..1.0) * old.height());
        let inside = |v: f64| v.clamp(0.0, 1.0);
        let (x0, x1, y0, y1) = (inside(old.x0 + dx), inside(old.x1 + dx), inside(old.y0 + dy), inside(old.y1 + dy));
        let new = CornerBox { x0, y0, x1, y1 };
        if new.width() > 0.4 * old.width() && new.height() > 0.4 * old.height() && new.iou(&old) < 0.5 {
            object.bbox = new;
            return;
        }
    }
}
