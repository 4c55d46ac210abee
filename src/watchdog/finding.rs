//! A finding: a cause with the numbers that its cure is computed from, and the sentence for a person.

use super::cause::Cause;
use super::diagnosis::Diagnosis;
use super::signals::short;

/// A cause with its numbers, rounded as `short` rounds. A cure is made from them, never from names in a journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CauseEvidence {
    NonFinite,
    PoisonousImage,
    /// `heat`: update ratio of the hottest stage over the level that keeps it whole.
    RateTooHigh {
        heat: f32,
    },
    /// `update_ratio`: norm of a step over the norm of the weights, of the stage that moves most, at the full rate.
    RateTooLow {
        update_ratio: f32,
    },
    NeverWarmsUp,
    DecaysAtOnce,
    OutlastsRun,
    GradientsVanish {
        stage: usize,
    },
    GradientsExplode {
        stage: usize,
    },
    /// `from_the_start`: the run began so, and its first weights are no better.
    DeadStage {
        stage: usize,
        from_the_start: bool,
    },
    /// `from_the_start`: as for a dead stage.
    SaturatedStage {
        stage: usize,
        from_the_start: bool,
    },
    BackboneCollapsed,
    WeightsNotLoaded,
    WeakStart,
    FeatureMapStarves {
        map: usize,
    },
    /// `share`: of the class among the labelled objects or the matched anchors; 0 where no image shows it.
    ClassStarves {
        class: usize,
        share: f32,
    },
    /// So few of its objects that it is neither learned nor judged.
    ClassStray {
        class: usize,
    },
    BoxesWrong,
    LabelsSwapped,
    ObjectsUnlabelled,
    BoxesUnmatched,
    ObjectsTooSmall,
    /// `share`: of the micro-batches, or before the run of the images, without a matched anchor.
    NoPositives {
        share: f32,
    },
    Overfitting,
    TooFewPhotos,
    DataExhausted,
    BatchTooSmall,
    WeightDecayTooLarge,
    PipelineStarved,
}

impl CauseEvidence {
    /// The cause without its numbers.
    pub fn cause(self) -> Cause {
        match self {
            CauseEvidence::NonFinite => Cause::NonFinite,
            CauseEvidence::PoisonousImage => Cause::PoisonousImage,
            CauseEvidence::RateTooHigh { .. } => Cause::RateTooHigh,
            CauseEvidence::RateTooLow { .. } => Cause::RateTooLow,
            CauseEvidence::NeverWarmsUp => Cause::NeverWarmsUp,
            CauseEvidence::DecaysAtOnce => Cause::DecaysAtOnce,
            CauseEvidence::OutlastsRun => Cause::OutlastsRun,
            CauseEvidence::GradientsVanish { stage } => Cause::GradientsVanish(stage),
            CauseEvidence::GradientsExplode { stage } => Cause::GradientsExplode(stage),
            CauseEvidence::DeadStage { stage, .. } => Cause::DeadStage(stage),
            CauseEvidence::SaturatedStage { stage, .. } => Cause::SaturatedStage(stage),
            CauseEvidence::BackboneCollapsed => Cause::BackboneCollapsed,
            CauseEvidence::WeightsNotLoaded => Cause::WeightsNotLoaded,
            CauseEvidence::WeakStart => Cause::WeakStart,
            CauseEvidence::FeatureMapStarves { map } => Cause::FeatureMapStarves(map),
            CauseEvidence::ClassStarves { class, .. } => Cause::ClassStarves(class),
            CauseEvidence::ClassStray { class } => Cause::ClassStray(class),
            CauseEvidence::BoxesWrong => Cause::BoxesWrong,
            CauseEvidence::LabelsSwapped => Cause::LabelsSwapped,
            CauseEvidence::ObjectsUnlabelled => Cause::ObjectsUnlabelled,
            CauseEvidence::BoxesUnmatched => Cause::BoxesUnmatched,
            CauseEvidence::ObjectsTooSmall => Cause::ObjectsTooSmall,
            CauseEvidence::NoPositives { .. } => Cause::NoPositives,
            CauseEvidence::Overfitting => Cause::Overfitting,
            CauseEvidence::TooFewPhotos => Cause::TooFewPhotos,
            CauseEvidence::DataExhausted => Cause::DataExhausted,
            CauseEvidence::BatchTooSmall => Cause::BatchTooSmall,
            CauseEvidence::WeightDecayTooLarge => Cause::WeightDecayTooLarge,
            CauseEvidence::PipelineStarved => Cause::PipelineStarved,
        }
    }
}

/// A diagnosis as it was made; the journal holds the [`Diagnosis`] alone.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseFound {
    pub evidence: CauseEvidence,
    pub diagnosis: Diagnosis,
}

impl CauseFound {
    pub fn new(evidence: CauseEvidence, confidence: f32, sentence: String) -> Self {
        let cause = evidence.cause();
        let diagnosis =
            Diagnosis { step: 0, cause, confidence, sentence, evidence: Default::default(), images: Vec::new() };
        Self { evidence, diagnosis }
    }

    pub fn cause(&self) -> Cause {
        self.diagnosis.cause
    }

    /// With a number for whoever reads the journal.
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.diagnosis.evidence.insert(name.into(), short(value));
        self
    }

    /// With the images concerned, most suspicious first.
    pub fn naming(mut self, images: Vec<u32>) -> Self {
        self.diagnosis.images = images;
        self
    }

    pub fn at(mut self, step: u64) -> Self {
        self.diagnosis.step = step;
        self
    }
}
