//! The faults that runs are given on purpose, and the names they should get.
//!
//! Numbers out of range and outrageous images cannot be fed from here: the loader clips boxes and images are bytes. Tests
//! of the watchdog play them to it as signals.

use crate::data::{Object, Record};
use crate::model::{ConvWeights, Ssd, Stage, initialise_network};
use crate::optim::{Restart, Schedule};
use crate::train::{Job, Records};
use crate::watchdog::Cause;
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
}

/// The stage that is spoilt.
const STAGE: Stage = Stage::Block(8);

/// Images that are few.
const FEW: usize = 12;

impl Fault {
    pub const ALL: [Fault; 17] = [
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
        }
    }

    /// Whether a diagnosis is the right one; `map` is the feature map whose heads were cut off.
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
            Fault::FewImages => matches!(cause, Cause::Overfitting | Cause::DataExhausted),
            Fault::WeightDecay => cause == Cause::WeightDecayTooLarge,
            Fault::NoPositives => cause == Cause::NoPositives,
            Fault::BatchOne => cause == Cause::BatchTooSmall,
            Fault::SlowLoader => cause == Cause::PipelineStarved,
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
            Fault::BoxesShifted => objects(records).filter(|_| rng.random_bool(0.4)).for_each(|o| shift(o, 1)),
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
                let mut kept = 2;
                for record in records.iter_mut() {
                    let rare = record.objects.iter().any(|o| o.class == 2);
                    if rare && kept > 0 {
                        kept -= 1;
                    } else {
                        record.objects.retain(|o| o.class != 2);
                    }
                }
                records.retain(|r| !r.objects.is_empty());
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
            std::thread::sleep(Duration::from_millis(60));
            Ok(records[i].clone())
        })
    }
}

fn objects(records: &mut [Record]) -> impl Iterator<Item = &mut Object> {
    records.iter_mut().flat_map(|r| r.objects.iter_mut())
}

/// Moves a box by its own size towards where there is room.
fn shift(object: &mut Object, times: i32) {
    let b = &mut object.bbox;
    let (w, h) = (b.width() * f64::from(times) * 0.7, b.height() * f64::from(times) * 0.7);
    let dx = if b.x1 + w <= 1.0 { w } else { -w.min(b.x0) };
    let dy = if b.y1 + h <= 1.0 { h } else { -h.min(b.y0) };
    (b.x0, b.x1, b.y0, b.y1) = (b.x0 + dx, b.x1 + dx, b.y0 + dy, b.y1 + dy);
}
