//! One named cause, how sure, and the sentence a person reads.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a run stagnates. Stages, maps and classes are positions in [`super::RunFacts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "at")]
pub enum Cause {
    NonFinite,
    /// One image whose loss drowns all others.
    PoisonousImage,
    RateTooHigh,
    RateTooLow,
    /// The rate stays near zero far into the run.
    NeverWarmsUp,
    /// The rate is spent long before the run is.
    DecaysAtOnce,
    /// The schedule is made for a longer run: the rate never comes down.
    OutlastsRun,
    GradientsVanish(usize),
    GradientsExplode(usize),
    DeadStage(usize),
    SaturatedStage(usize),
    /// The backbone's output no longer depends on the image.
    BackboneCollapsed,
    WeightsNotLoaded,
    /// The features carry little for this task: the run parks at the loss of a constant predictor.
    WeakStart,
    FeatureMapStarves(usize),
    ClassStarves(usize),
    BoxesWrong,
    LabelsSwapped,
    ObjectsUnlabelled,
    /// No anchor overlaps the boxes: usually units or coordinates.
    BoxesUnmatched,
    NoPositives,
    Overfitting,
    DataExhausted,
    BatchTooSmall,
    WeightDecayTooLarge,
    PipelineStarved,
}

impl Cause {
    /// Whether it wrecks the network or keeps it from moving, so that much else follows.
    pub fn stops_learning(self) -> bool {
        use Cause::*;
        matches!(self, RateTooHigh | BackboneCollapsed | DeadStage(_) | SaturatedStage(_))
            || matches!(self, RateTooLow | NeverWarmsUp | DecaysAtOnce)
    }

    /// Whether it follows where nothing is learned, and so is no cause of its own there.
    pub fn follows_from_no_learning(self) -> bool {
        use Cause::*;
        matches!(
            self,
            GradientsVanish(_)
                | GradientsExplode(_)
                | BackboneCollapsed
                | FeatureMapStarves(_)
                | BoxesWrong
                | WeakStart
        ) || matches!(self, DeadStage(_) | SaturatedStage(_) | BatchTooSmall | WeightsNotLoaded)
    }

    /// In words, to stand after "cause:".
    pub fn words(self) -> &'static str {
        match self {
            Cause::NonFinite => "numbers out of range",
            Cause::PoisonousImage => "a single outrageous image",
            Cause::RateTooHigh => "learning rate too high",
            Cause::RateTooLow => "learning rate too low",
            Cause::NeverWarmsUp => "the schedule never warms up",
            Cause::DecaysAtOnce => "the schedule decays at once",
            Cause::OutlastsRun => "the schedule outlasts the run",
            Cause::GradientsVanish(_) => "gradients vanish",
            Cause::GradientsExplode(_) => "gradients explode",
            Cause::DeadStage(_) => "a dead stage",
            Cause::SaturatedStage(_) => "a saturated stage",
            Cause::BackboneCollapsed => "the backbone has collapsed",
            Cause::WeightsNotLoaded => "weights not loaded",
            Cause::WeakStart => "a start that carries little for this task",
            Cause::FeatureMapStarves(_) => "a starving feature map",
            Cause::ClassStarves(_) => "a class starved by imbalance",
            Cause::BoxesWrong => "boxes that are wrong",
            Cause::LabelsSwapped => "labels that are swapped",
            Cause::ObjectsUnlabelled => "objects without a label",
            Cause::BoxesUnmatched => "boxes that no anchor matches",
            Cause::NoPositives => "batches without a matched anchor",
            Cause::Overfitting => "overfitting",
            Cause::DataExhausted => "the data has been learned",
            Cause::BatchTooSmall => "a batch too small for its noise",
            Cause::WeightDecayTooLarge => "weight decay too large",
            Cause::PipelineStarved => "images arrive too slowly",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Step at which it was made.
    pub step: u64,
    pub cause: Cause,
    /// 0 to 1: how much the evidence leaves to other causes.
    pub confidence: f32,
    /// With the numbers, for a person.
    pub sentence: String,
    /// The numbers again, by name.
    pub evidence: BTreeMap<String, f32>,
    /// Images concerned, most suspicious first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<u32>,
}

impl Diagnosis {
    pub fn new(cause: Cause, confidence: f32, sentence: String) -> Self {
        Self { step: 0, cause, confidence, sentence, evidence: BTreeMap::new(), images: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.evidence.insert(name.into(), super::signals::short(value));
        self
    }

    pub fn naming(mut self, images: Vec<u32>) -> Self {
        self.images = images;
        self
    }
}

/// A share as a person writes it.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0995 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// A small list of names, the rest counted.
pub fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len() {
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}
