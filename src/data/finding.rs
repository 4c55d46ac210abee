//! The findings of checking a data set, one [`FindingKind`] per defect.
//!
//! | kind | severity | action | meaning |
//! |---|---|---|---|
//! | `malformed-label` | error | dropped | a label file, line or object that cannot be understood |
//! | `unknown-class` | error | dropped | an object whose class is not among the data set's names |
//! | `unreadable-image` | error | dropped | an image that does not decode, or is larger than the limit |
//! | `truncated-image` | error / warning | dropped / kept | the file ends early; kept where (nearly) all rows are there |
//! | `duplicate-image-across-splits` | error | kept | byte-identical images on both sides of a split |
//! | `image-in-two-splits` | error | kept | one image listed for training and for evaluation |
//! | `xywh-as-xyxy` | error | repaired | boxes written as x, y, width, height where corners belong |
//! | `xyxy-as-xywh` | error | repaired | corners written where x, y, width, height or a centre belong |
//! | `box-form-unclear` | error | kept | the boxes do not fit as declared, and fit in two other ways |
//! | `pixels-as-fractions` | error | repaired | pixels written where fractions of the image belong |
//! | `class-lists-disagree` | error | kept | two lists of class names give one number to two names |
//! | `class-name-unusable` | error | kept | a class name that is empty, has a control character, or means the background |
//! | `validation-is-training` | error | kept | every photo to judge by is also trained on |
//! | `many-bad-boxes` | error | dropped / repaired | more than one box in twenty had to be dropped, or one in four reaches out of its image |
//! | `class-without-examples` | error / warning | kept | no usable box of a class in the training (other) split |
//! | `no-objects` | error | kept | not one usable box in the set |
//! | `zero-area-box` | warning | dropped | a box less than one pixel wide or high inside the image |
//! | `reversed-box` | warning | repaired | left and right, or top and bottom, exchanged |
//! | `box-outside-image` | warning / info | repaired / dropped | clipped; info where it sticks out by a pixel at most |
//! | `duplicate-box` | warning | dropped | the same box of the same class twice in one image |
//! | `near-duplicate-box` | warning | kept | two boxes of one class with IoU above 0.9 |
//! | `conflicting-boxes` | warning | kept | two boxes of different classes with IoU above 0.9 |
//! | `box-too-small` | warning | kept | a side shorter than 8 pixels at the network's input size |
//! | `duplicate-image` | warning | kept | byte-identical images within one split |
//! | `image-without-labels` | warning | dropped / kept | an image that no label speaks of; of YOLO, kept as background where such images are few |
//! | `label-without-image` | warning / error | dropped | labels of an image that is not there; an error where one of that name lies in another folder |
//! | `listed-image-missing` | warning | dropped | a split names an image that is not there |
//! | `size-mismatch` | warning / error | repaired / kept / dropped | the declared image size is not the file's; an error where the picture was turned since |
//! | `labels-not-rotated` | warning | repaired | boxes drawn on the picture before its EXIF rotation |
//! | `rare-class` | warning | kept | fewer than 5 boxes of a class in the whole set |
//! | `similar-class-names` | warning | kept | names that differ by case, spaces, `-` or `_` only |
//! | `class-names` | warning | kept | the list of class names is missing or disagrees with itself |
//! | `image-format-not-read` | warning | dropped | photos of a format that is not decoded, one finding a format |
//! | `text-encoding` | warning | kept | a label file whose encoding was guessed |
//! | `fractions-as-pixels` | warning | repaired | fractions written where pixels belong, throughout the set |
//! | `labels-passed-over` | warning / info | dropped | label files of another format beside those that are read, or a union of them |
//! | `predicted-labels` | warning | kept | boxes with a confidence: predictions of a model, not labels by hand |
//! | `size-missing` | info | kept | no declared image size; the file's is used |
//! | `box-without-anchor` | info | kept | no anchor overlaps the box well (IoU below 0.35) |
//! | `background-image` | info | kept | an image without objects |
//! | `invalid-orientation` | info | kept | an EXIF orientation outside 1 to 8, ignored |
//! | `polygon-labels` | info | repaired | polygons read as their bounding boxes |
//! | `unused-category` | info | dropped | a COCO supercategory listed as a category |
//! | `unused-class-names` | info | kept | names in the list of classes that no box has |
//! | `no-photo` | info | dropped | masks, depth maps or previews beside the photos |
//! | `repeated-link` | info | dropped | a link to a folder that was listed already |
//! | `image-in-no-split` | info | dropped | an image that none of the given splits names |

use serde::Serialize;
use serde_json::{Value, json};

use super::annotation::{FilePlace, Spot};

/// How bad a finding is: errors want a person's eye before training, warnings are settled but worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// The treatment of a finding; packing does exactly this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingAction {
    Repaired,
    Dropped,
    Kept,
}

/// The defect; the module's table says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    MalformedLabel,
    UnknownClass,
    UnreadableImage,
    TruncatedImage,
    DuplicateImageAcrossSplits,
    ImageInTwoSplits,
    XywhAsXyxy,
    XyxyAsXywh,
    BoxFormUnclear,
    PixelsAsFractions,
    ClassListsDisagree,
    ClassNameUnusable,
    ValidationIsTraining,
    ManyBadBoxes,
    ClassWithoutExamples,
    NoObjects,
    ZeroAreaBox,
    ReversedBox,
    BoxOutsideImage,
    DuplicateBox,
    NearDuplicateBox,
    ConflictingBoxes,
    BoxTooSmall,
    DuplicateImage,
    ImageWithoutLabels,
    LabelWithoutImage,
    ListedImageMissing,
    SizeMismatch,
    LabelsNotRotated,
    RareClass,
    SimilarClassNames,
    ImageFormatNotRead,
    TextEncoding,
    FractionsAsPixels,
    LabelsPassedOver,
    PredictedLabels,
    ClassNames,
    SizeMissing,
    BoxWithoutAnchor,
    BackgroundImage,
    InvalidOrientation,
    PolygonLabels,
    UnusedCategory,
    UnusedClassNames,
    NoPhoto,
    RepeatedLink,
    ImageInNoSplit,
}

/// One defect of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    pub place: FilePlace,
    /// The sentence of the finding, with its numbers.
    pub detail: String,
    pub action: FindingAction,
}

impl FindingKind {
    /// Every kind, worst first.
    pub const ALL: [FindingKind; 47] = [
        FindingKind::MalformedLabel,
        FindingKind::UnknownClass,
        FindingKind::UnreadableImage,
        FindingKind::TruncatedImage,
        FindingKind::DuplicateImageAcrossSplits,
        FindingKind::ImageInTwoSplits,
        FindingKind::XywhAsXyxy,
        FindingKind::XyxyAsXywh,
        FindingKind::BoxFormUnclear,
        FindingKind::PixelsAsFractions,
        FindingKind::ClassListsDisagree,
        FindingKind::ClassNameUnusable,
        FindingKind::ValidationIsTraining,
        FindingKind::ManyBadBoxes,
        FindingKind::ClassWithoutExamples,
        FindingKind::NoObjects,
        FindingKind::ZeroAreaBox,
        FindingKind::ReversedBox,
        FindingKind::BoxOutsideImage,
        FindingKind::DuplicateBox,
        FindingKind::NearDuplicateBox,
        FindingKind::ConflictingBoxes,
        FindingKind::BoxTooSmall,
        FindingKind::DuplicateImage,
        FindingKind::ImageWithoutLabels,
        FindingKind::LabelWithoutImage,
        FindingKind::ListedImageMissing,
        FindingKind::SizeMismatch,
        FindingKind::LabelsNotRotated,
        FindingKind::RareClass,
        FindingKind::SimilarClassNames,
        FindingKind::ImageFormatNotRead,
        FindingKind::TextEncoding,
        FindingKind::FractionsAsPixels,
        FindingKind::LabelsPassedOver,
        FindingKind::PredictedLabels,
        FindingKind::ClassNames,
        FindingKind::SizeMissing,
        FindingKind::BoxWithoutAnchor,
        FindingKind::BackgroundImage,
        FindingKind::InvalidOrientation,
        FindingKind::PolygonLabels,
        FindingKind::UnusedCategory,
        FindingKind::UnusedClassNames,
        FindingKind::NoPhoto,
        FindingKind::RepeatedLink,
        FindingKind::ImageInNoSplit,
    ];

    /// The kind's name in reports, e.g. `zero-area-box`.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::MalformedLabel => "malformed-label",
            FindingKind::UnknownClass => "unknown-class",
            FindingKind::UnreadableImage => "unreadable-image",
            FindingKind::TruncatedImage => "truncated-image",
            FindingKind::DuplicateImageAcrossSplits => "duplicate-image-across-splits",
            FindingKind::ImageInTwoSplits => "image-in-two-splits",
            FindingKind::XywhAsXyxy => "xywh-as-xyxy",
            FindingKind::XyxyAsXywh => "xyxy-as-xywh",
            FindingKind::BoxFormUnclear => "box-form-unclear",
            FindingKind::PixelsAsFractions => "pixels-as-fractions",
            FindingKind::ClassListsDisagree => "class-lists-disagree",
            FindingKind::ClassNameUnusable => "class-name-unusable",
            FindingKind::ValidationIsTraining => "validation-is-training",
            FindingKind::ManyBadBoxes => "many-bad-boxes",
            FindingKind::ClassWithoutExamples => "class-without-examples",
            FindingKind::NoObjects => "no-objects",
            FindingKind::ZeroAreaBox => "zero-area-box",
            FindingKind::ReversedBox => "reversed-box",
            FindingKind::BoxOutsideImage => "box-outside-image",
            FindingKind::DuplicateBox => "duplicate-box",
            FindingKind::NearDuplicateBox => "near-duplicate-box",
            FindingKind::ConflictingBoxes => "conflicting-boxes",
            FindingKind::BoxTooSmall => "box-too-small",
            FindingKind::DuplicateImage => "duplicate-image",
            FindingKind::ImageWithoutLabels => "image-without-labels",
            FindingKind::LabelWithoutImage => "label-without-image",
            FindingKind::ListedImageMissing => "listed-image-missing",
            FindingKind::SizeMismatch => "size-mismatch",
            FindingKind::LabelsNotRotated => "labels-not-rotated",
            FindingKind::RareClass => "rare-class",
            FindingKind::SimilarClassNames => "similar-class-names",
            FindingKind::ImageFormatNotRead => "image-format-not-read",
            FindingKind::TextEncoding => "text-encoding",
            FindingKind::FractionsAsPixels => "fractions-as-pixels",
            FindingKind::LabelsPassedOver => "labels-passed-over",
            FindingKind::ClassNames => "class-names",
            FindingKind::SizeMissing => "size-missing",
            FindingKind::BoxWithoutAnchor => "box-without-anchor",
            FindingKind::BackgroundImage => "background-image",
            FindingKind::InvalidOrientation => "invalid-orientation",
            FindingKind::PredictedLabels => "predicted-labels",
            FindingKind::PolygonLabels => "polygon-labels",
            FindingKind::UnusedCategory => "unused-category",
            FindingKind::UnusedClassNames => "unused-class-names",
            FindingKind::NoPhoto => "no-photo",
            FindingKind::RepeatedLink => "repeated-link",
            FindingKind::ImageInNoSplit => "image-in-no-split",
        }
    }

    /// True if training on such a set cannot mean well, unless a person accepts it by name.
    pub fn forbids_training(self) -> bool {
        use FindingKind::*;
        matches!(
            self,
            XywhAsXyxy
                | XyxyAsXywh
                | BoxFormUnclear
                | PixelsAsFractions
                | ClassListsDisagree
                | ClassNameUnusable
                | ValidationIsTraining
                | LabelWithoutImage
        )
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<FindingKind> {
        FindingKind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The severity a finding of this kind has where nothing speaks for another.
    pub fn severity(self) -> Severity {
        match self {
            k if k <= FindingKind::NoObjects => Severity::Error,
            k if k <= FindingKind::ClassNames => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

impl Severity {
    /// The severity of this name.
    pub fn of_name(name: &str) -> Option<Severity> {
        [Severity::Info, Severity::Warning, Severity::Error].into_iter().find(|s| s.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl FindingAction {
    pub fn name(self) -> &'static str {
        match self {
            FindingAction::Repaired => "repaired",
            FindingAction::Dropped => "dropped",
            FindingAction::Kept => "kept",
        }
    }
}

impl Finding {
    /// A finding at its kind's usual severity.
    pub fn new(kind: FindingKind, place: FilePlace, action: FindingAction, detail: impl Into<String>) -> Self {
        Self { kind, severity: kind.severity(), place, detail: detail.into(), action }
    }

    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// True if this one finding forbids training: its kind does, and it is an error of the whole set.
    pub fn forbids_training(&self) -> bool {
        let of_set = self.kind != FindingKind::XywhAsXyxy || self.place.is_whole_set();
        self.severity == Severity::Error && self.kind.forbids_training() && of_set
    }

    /// `{"kind", "severity", "file", "detail", "action"}`; the line or entry stands at the front of the detail.
    pub fn to_json(&self) -> Value {
        let detail = match &self.place.spot {
            Spot::WholeFile => self.detail.clone(),
            spot => format!("{spot}: {}", self.detail),
        };
        json!({
            "kind": self.kind.name(),
            "severity": self.severity.name(),
            "file": self.place.file,
            "detail": detail,
            "action": self.action.name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_severities_follow_the_order_of_the_table() {
        assert_eq!(FindingKind::NoObjects.severity(), Severity::Error);
        assert_eq!(FindingKind::ZeroAreaBox.severity(), Severity::Warning);
        assert_eq!(FindingKind::ClassNames.severity(), Severity::Warning);
        assert_eq!(FindingKind::SizeMissing.severity(), Severity::Info);
        assert!(FindingKind::ALL.windows(2).all(|k| k[0] < k[1]), "every kind once, in order");
        assert!(FindingKind::ALL.iter().all(|k| FindingKind::of_name(k.name()) == Some(*k)));
    }

    #[test]
    fn names_are_the_serialised_names() {
        for kind in [FindingKind::XywhAsXyxy, FindingKind::DuplicateImageAcrossSplits, FindingKind::ImageInNoSplit] {
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.name());
        }
    }
}
