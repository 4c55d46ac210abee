//! A limit of the result of a run that broke nowhere: a statement with its evidence, the gain that is to be had, and
//! what to do.

use super::cause::Cause;
use super::remedy::Remedy;
use serde::Serialize;

/// An obstacle between a result and a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "cause")]
pub enum LimitKind {
    /// A cause of stagnation that was found and not cured.
    Fault(Cause),
    /// AP, or what names the classes, was still on its way when the run ended.
    StillLearning,
    /// Objects are found in place and called another class.
    LookAlikes,
    /// Objects smaller than a cell of the finest feature map are missed.
    InputTooSmall,
    /// Boxes of the right class lie loosely around the objects.
    LooseBoxes,
    /// Objects that no detection is about.
    Missed,
    /// Detections of nothing.
    Phantoms,
    /// Lessons from training photos do not hold on others.
    TooFewPhotos,
    /// The features of the starting weights tell little of these photos.
    WeakStart,
    /// Validation photos that are almost training photos: AP promises too much.
    Twins,
    /// Too few validation photos to tell differences.
    FewJudged,
}

impl LimitKind {
    /// True if it is a fault of the number of photos: it costs what the mistakes show, which may be less than others do.
    pub(super) fn is_of_few_photos(self) -> bool {
        matches!(self, LimitKind::Fault(Cause::TooFewPhotos | Cause::Overfitting | Cause::DataExhausted))
    }

    /// The remedies that are known for it, the likeliest first.
    pub fn remedies(self) -> &'static [Remedy] {
        use Remedy::{LargerInput, Longer, MendLabels, MorePhotos, OtherJudges, OtherStart};
        match self {
            LimitKind::Fault(cause) => Remedy::of_cause(cause),
            LimitKind::StillLearning => &[Longer],
            LimitKind::LookAlikes => &[MorePhotos, Longer, LargerInput],
            LimitKind::InputTooSmall => &[LargerInput],
            LimitKind::LooseBoxes => &[LargerInput, Longer],
            LimitKind::Missed | LimitKind::TooFewPhotos => &[MorePhotos],
            LimitKind::Phantoms => &[MendLabels, MorePhotos],
            LimitKind::WeakStart => &[OtherStart],
            LimitKind::Twins | LimitKind::FewJudged => &[OtherJudges],
        }
    }
}

/// A change of the next run that would lift the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// So many epochs.
    Epochs(u64),
    /// An input whose shorter side has so many pixels.
    InputSide(u32),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    #[serde(flatten)]
    pub kind: LimitKind,
    /// Bounds of what AP50 would gain, from 0 to 1, where that can be said.
    pub gain: Option<[f32; 2]>,
    pub evidence: String,
    pub advice: String,
    /// The kinds of changes that lift it, the likeliest first.
    pub remedies: Vec<Remedy>,
    /// The change that the advice asks for, where a program can make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

impl Limit {
    pub fn new(kind: LimitKind, evidence: String, advice: String) -> Self {
        Self { kind, gain: None, evidence, advice, remedies: kind.remedies().to_vec(), change: None }
    }

    /// With other remedies than those of its kind, where the evidence tells more.
    pub fn lifted_by(self, remedies: &[Remedy]) -> Self {
        Self { remedies: remedies.to_vec(), ..self }
    }

    pub fn changing(self, change: Change) -> Self {
        Self { change: Some(change), ..self }
    }

    /// With bounds of the gain, cut to what AP50 can rise by at all.
    pub fn gaining(self, [low, high]: [f64; 2], ap50: f64) -> Self {
        let most = (1.0 - ap50).max(0.0);
        Self { gain: Some([low.clamp(0.0, most) as f32, high.clamp(0.0, most) as f32]), ..self }
    }

    /// Its rank: faults first, then by the middle of the gain, then what only concerns the measuring.
    pub(super) fn weight(&self) -> f64 {
        let middle = self.gain.map_or(0.0, |[low, high]| f64::from(low + high) / 2.0);
        match self.kind {
            // Half of the objects and more are below a cell: nothing else that was measured matters as much.
            LimitKind::Fault(Cause::ObjectsTooSmall) => 1.0,
            kind if kind.is_of_few_photos() && self.gain.is_some() => middle.max(0.02),
            LimitKind::Fault(cause) if !cause.is_slight() => 10.0 - f64::from(cause.rank()),
            LimitKind::Fault(cause) if cause.is_harmless() => -3.0,
            LimitKind::Fault(_) => 0.02,
            LimitKind::TooFewPhotos | LimitKind::WeakStart if self.gain.is_none() => 0.02,
            LimitKind::Twins => -1.0,
            LimitKind::FewJudged => -2.0,
            _ => middle,
        }
    }

    /// In a line.
    pub fn words(&self) -> String {
        let gain = match self.gain {
            Some([low, high]) if low >= 0.005 => format!(" (AP50 +{low:.2} to +{high:.2})"),
            Some([_, high]) if high >= 0.005 => format!(" (AP50 up to +{high:.2})"),
            _ => String::new(),
        };
        format!("{}{gain}. {}", self.evidence, self.advice)
    }
}
