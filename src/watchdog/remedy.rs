//! The kinds of changes that lift a limit: what a person or a program does about it.

use super::cause::Cause;
use serde::Serialize;

/// A change to the next run or to its photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// More epochs.
    Longer,
    LargerInput,
    /// More labelled photos to train on.
    MorePhotos,
    /// Other pretrained weights.
    OtherStart,
    /// Labels that are looked through and set right.
    MendLabels,
    /// Another key of the recipe, or the machine: rates, batch, schedule, disk.
    OtherSettings,
    /// More, or other, validation photos.
    OtherJudges,
}

impl Remedy {
    /// The remedies of a cause of stagnation, the likeliest first.
    pub fn of_cause(cause: Cause) -> &'static [Remedy] {
        use Remedy::{LargerInput, Longer, MendLabels, MorePhotos, OtherSettings, OtherStart};
        match cause {
            Cause::NonFinite
            | Cause::RateTooHigh
            | Cause::RateTooLow
            | Cause::NeverWarmsUp
            | Cause::DecaysAtOnce
            | Cause::OutlastsRun
            | Cause::BackboneCollapsed
            | Cause::BatchTooSmall
            | Cause::WeightDecayTooLarge
            | Cause::PipelineStarved => &[OtherSettings],
            Cause::GradientsVanish(_)
            | Cause::GradientsExplode(_)
            | Cause::DeadStage(_)
            | Cause::SaturatedStage(_)
            | Cause::WeightsNotLoaded => &[OtherStart],
            Cause::WeakStart => &[OtherStart, Longer],
            Cause::FeatureMapStarves(_) | Cause::ObjectsTooSmall => &[LargerInput],
            Cause::PoisonousImage
            | Cause::BoxesWrong
            | Cause::LabelsSwapped
            | Cause::ObjectsUnlabelled
            | Cause::BoxesUnmatched
            | Cause::NoPositives => &[MendLabels],
            Cause::ClassStarves(_)
            | Cause::ClassStray(_)
            | Cause::Overfitting
            | Cause::TooFewPhotos
            | Cause::DataExhausted => &[MorePhotos],
        }
    }
}
