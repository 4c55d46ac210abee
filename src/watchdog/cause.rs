//! The causes of stagnation, and the traits of each in one table.

use serde::{Deserialize, Serialize};

/// The reason that a run stagnates. Stages, maps and classes are positions in [`super::RunFacts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "at")]
pub enum Cause {
    /// The loss or a gradient is NaN or infinite, and neither the rate nor one image explains it.
    NonFinite,
    /// One image whose loss drowns all others.
    PoisonousImage,
    /// A step moves the weights by more than keeps the network whole (divergence, oscillation).
    RateTooHigh,
    /// Nothing moves although the schedule lets it.
    RateTooLow,
    /// The rate stays near zero far into the run.
    NeverWarmsUp,
    /// The rate is spent long before the run is.
    DecaysAtOnce,
    /// The schedule is made for a longer run: the rate never comes down.
    OutlastsRun,
    /// A trained stage gets next to no gradient while others do.
    GradientsVanish(usize),
    /// A stage's gradient has left its own past behind.
    GradientsExplode(usize),
    /// Almost all channels of a stage are zero for every image (dead ReLUs).
    DeadStage(usize),
    /// Most channels of a stage are at the upper bound of ReLU6, where the slope is zero.
    SaturatedStage(usize),
    /// The backbone's output no longer depends on the image.
    BackboneCollapsed,
    /// The backbone's weights are fresh random numbers.
    WeightsNotLoaded,
    /// The features carry little for this task: the run parks at the loss of a constant predictor.
    WeakStart,
    /// The heads of a feature map get no gradient, or its share of the matched anchors is missing.
    FeatureMapStarves(usize),
    /// A class so rare that the others are learned in its place (class imbalance).
    ClassStarves(usize),
    /// A class with so few objects that it can be neither learned nor judged. Harmless to the others.
    ClassStray(usize),
    /// Boxes that do not lie on the objects.
    BoxesWrong,
    /// Objects that carry another class's name (label noise).
    LabelsSwapped,
    /// Objects that nobody labelled.
    ObjectsUnlabelled,
    /// Boxes that are specks near the corner in some files and of usual size in another unit.
    BoxesUnmatched,
    /// Objects smaller than a cell of the finest feature map at this input size.
    ObjectsTooSmall,
    /// Steps without a matched anchor.
    NoPositives,
    /// The training loss falls while the validation figures turn.
    Overfitting,
    /// Known before the run: so few photos, shown so often, are learned by heart.
    TooFewPhotos,
    /// Neither loss nor AP moves any more, at a full rate.
    DataExhausted,
    /// The gradient's noise is far above its signal while the loss stands still.
    BatchTooSmall,
    /// Weights shrink, by what decay explains.
    WeightDecayTooLarge,
    /// The network waits for images.
    PipelineStarved,
}

/// How long a cause may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Believed at the first look, treated at any time of a run: it ends the run otherwise.
    Acute,
    /// Does not wait for another cure to be judged.
    Urgent,
    /// Believed at the second look in a row, and treated one at a time.
    Patient,
    /// As patient, but of little weight in the result: its cure makes way for that of any other cause, and it is told
    /// last.
    Slight,
}

/// The evidence that a cause is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// Looks at steps.
    Steps,
    /// Whole epochs only.
    Epochs,
}

/// How a cause stands to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It wrecks the network or keeps it from moving, so that much else follows.
    Breaks,
    /// It follows where nothing is learned, and so is no cause of its own there.
    Follows,
    BreaksAndFollows,
    Apart,
}

/// The traits of a cause wherever it turns up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// To stand after "cause:".
    pub words: &'static str,
    pub priority: Priority,
    pub judged: ShownBy,
    pub effect: Effect,
}

impl Cause {
    /// The one table of causes: a new one does not compile without its row.
    #[rustfmt::skip]
    pub fn traits(self) -> Traits {
        use Effect::{Apart, Breaks, BreaksAndFollows, Follows};
        use ShownBy::{Epochs, Steps};
        use Priority::{Acute, Patient, Slight, Urgent};
        let (words, priority, judged, effect) = match self {
            Cause::NonFinite => ("NaN or infinite numbers", Acute, Steps, Apart),
            Cause::PoisonousImage => ("a single outrageous image", Acute, Steps, Apart),
            Cause::RateTooHigh => ("learning rate too high", Urgent, Steps, Breaks),
            Cause::RateTooLow => ("learning rate too low", Patient, Steps, Breaks),
            Cause::NeverWarmsUp => ("the schedule never warms up", Patient, Steps, Breaks),
            Cause::DecaysAtOnce => ("the schedule decays at once", Patient, Steps, Breaks),
            Cause::OutlastsRun => ("the schedule outlasts the run", Patient, Steps, Apart),
            Cause::GradientsVanish(_) => ("gradients vanish", Patient, Steps, Follows),
            Cause::GradientsExplode(_) => ("gradients explode", Patient, Steps, Follows),
            Cause::DeadStage(_) => ("a dead stage", Patient, Steps, BreaksAndFollows),
            Cause::SaturatedStage(_) => ("a saturated stage", Patient, Steps, BreaksAndFollows),
            Cause::BackboneCollapsed => ("the backbone has collapsed", Patient, Steps, BreaksAndFollows),
            Cause::WeightsNotLoaded => ("weights not loaded", Patient, Steps, Follows),
            Cause::WeakStart => ("a start that carries little for this task", Patient, Steps, Follows),
            Cause::FeatureMapStarves(_) => ("a starving feature map", Patient, Steps, Follows),
            Cause::ClassStarves(_) => ("a class starved by imbalance", Slight, Epochs, Apart),
            Cause::ClassStray(_) => ("a class with next to no objects", Slight, Epochs, Apart),
            Cause::BoxesWrong => ("boxes that are wrong", Patient, Epochs, Follows),
            Cause::LabelsSwapped => ("labels that are swapped", Patient, Epochs, Apart),
            Cause::ObjectsUnlabelled => ("objects without a label", Patient, Epochs, Apart),
            Cause::BoxesUnmatched => ("boxes in another unit", Patient, Steps, Apart),
            Cause::ObjectsTooSmall => ("objects too small for this input", Slight, Steps, Apart),
            Cause::NoPositives => ("batches without a matched anchor", Patient, Steps, Apart),
            Cause::Overfitting => ("overfitting", Patient, Epochs, Apart),
            Cause::TooFewPhotos => ("photos that are too few", Patient, Epochs, Apart),
            Cause::DataExhausted => ("the data has been learned", Patient, Epochs, Apart),
            Cause::BatchTooSmall => ("a batch too small for its noise", Slight, Steps, Follows),
            Cause::WeightDecayTooLarge => ("weight decay too large", Patient, Steps, Apart),
            Cause::PipelineStarved => ("images arrive too slowly", Slight, Steps, Apart),
        };
        Traits { words, priority, judged, effect }
    }

    /// In words, to stand after "cause:".
    pub fn words(self) -> &'static str {
        self.traits().words
    }

    pub fn is_acute(self) -> bool {
        self.traits().priority == Priority::Acute
    }

    /// True if it does not wait for another cure to be judged.
    pub fn is_urgent(self) -> bool {
        matches!(self.traits().priority, Priority::Acute | Priority::Urgent)
    }

    /// True if its weight in the result is small against that of others.
    pub fn is_slight(self) -> bool {
        self.traits().priority == Priority::Slight
    }

    /// True if it is no reason for a worse result at all: a class that hardly exists.
    pub fn is_harmless(self) -> bool {
        matches!(self, Cause::ClassStray(_))
    }

    /// The order of telling: the smaller, the more it costs.
    pub fn rank(self) -> u8 {
        match self.traits().priority {
            Priority::Acute => 0,
            _ if self.stops_learning() => 1,
            Priority::Urgent | Priority::Patient => 2,
            Priority::Slight if self.is_harmless() => 4,
            Priority::Slight => 3,
        }
    }

    /// True if only whole epochs can show that it is gone.
    pub fn shows_by_epoch(self) -> bool {
        self.traits().judged == ShownBy::Epochs
    }

    /// True if it wrecks the network or keeps it from moving, so that much else follows.
    pub fn stops_learning(self) -> bool {
        matches!(self.traits().effect, Effect::Breaks | Effect::BreaksAndFollows)
    }

    /// True if it follows where nothing is learned, and so is no cause of its own there.
    pub fn follows_from_no_learning(self) -> bool {
        matches!(self.traits().effect, Effect::Follows | Effect::BreaksAndFollows)
    }
}
