//! What checking a data set can find, one [`Kind`] per defect.
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
//! | `many-bad-boxes` | error | dropped | more than one box in twenty had to be dropped |
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
//! | `image-without-labels` | warning | dropped | an image whose format would have a label file even without objects |
//! | `label-without-image` | warning | dropped | labels of an image that is not there |
//! | `listed-image-missing` | warning | dropped | a split names an image that is not there |
//! | `size-mismatch` | warning | repaired / kept | the declared image size is not the file's |
//! | `labels-not-rotated` | warning | repaired | boxes drawn on the picture before its EXIF rotation |
//! | `rare-class` | warning | kept | fewer than 5 boxes of a class in the whole set |
//! | `similar-class-names` | warning | kept | names that differ by case, spaces, `-` or `_` only |
//! | `class-names` | warning | kept | the list of class names is missing or disagrees with itself |
//! | `size-missing` | info | kept | no declared image size; the file's is used |
//! | `box-without-anchor` | info | kept | no anchor overlaps the box well (IoU below 0.35) |
//! | `background-image` | info | kept | an image without objects |
//! | `invalid-orientation` | info | kept | an EXIF orientation outside 1 to 8, ignored |
//! | `polygon-labels` | info | repaired | polygons read as their bounding boxes |
//! | `unused-category` | info | dropped | a COCO supercategory listed as a category |
//! | `image-in-no-split` | info | dropped | an image that none of the given splits names |

use serde::Serialize;
use serde_json::{Value, json};

use super::annotation::{Place, Spot};

/// How bad a finding is: errors want a person's eye before training, warnings are settled but worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// What is done about a finding; packing does exactly this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Repaired,
    Dropped,
    Kept,
}

/// The defect; the module's table says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    MalformedLabel,
    UnknownClass,
    UnreadableImage,
    TruncatedImage,
    DuplicateImageAcrossSplits,
    ImageInTwoSplits,
    XywhAsXyxy,
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
    ClassNames,
    SizeMissing,
    BoxWithoutAnchor,
    BackgroundImage,
    InvalidOrientation,
    PolygonLabels,
    UnusedCategory,
    ImageInNoSplit,
}

/// One defect of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    pub severity: Severity,
    pub place: Place,
    /// What was found, with its numbers.
    pub detail: String,
    pub action: Action,
}

impl Kind {
    /// The kind's name in reports, e.g. `zero-area-box`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::MalformedLabel => "malformed-label",
            Kind::UnknownClass => "unknown-class",
            Kind::UnreadableImage => "unreadable-image",
            Kind::TruncatedImage => "truncated-image",
            Kind::DuplicateImageAcrossSplits => "duplicate-image-across-splits",
            Kind::ImageInTwoSplits => "image-in-two-splits",
            Kind::XywhAsXyxy => "xywh-as-xyxy",
            Kind::ManyBadBoxes => "many-bad-boxes",
            Kind::ClassWithoutExamples => "class-without-examples",
            Kind::NoObjects => "no-objects",
            Kind::ZeroAreaBox => "zero-area-box",
            Kind::ReversedBox => "reversed-box",
            Kind::BoxOutsideImage => "box-outside-image",
            Kind::DuplicateBox => "duplicate-box",
            Kind::NearDuplicateBox => "near-duplicate-box",
            Kind::ConflictingBoxes => "conflicting-boxes",
            Kind::BoxTooSmall => "box-too-small",
            Kind::DuplicateImage => "duplicate-image",
            Kind::ImageWithoutLabels => "image-without-labels",
            Kind::LabelWithoutImage => "label-without-image",
            Kind::ListedImageMissing => "listed-image-missing",
            Kind::SizeMismatch => "size-mismatch",
            Kind::LabelsNotRotated => "labels-not-rotated",
            Kind::RareClass => "rare-class",
            Kind::SimilarClassNames => "similar-class-names",
            Kind::ClassNames => "class-names",
            Kind::SizeMissing => "size-missing",
            Kind::BoxWithoutAnchor => "box-without-anchor",
            Kind::BackgroundImage => "background-image",
            Kind::InvalidOrientation => "invalid-orientation",
            Kind::PolygonLabels => "polygon-labels",
            Kind::UnusedCategory => "unused-category",
            Kind::ImageInNoSplit => "image-in-no-split",
        }
    }

    /// The severity a finding of this kind has where nothing speaks for another.
    pub fn severity(self) -> Severity {
        match self {
            k if k <= Kind::NoObjects => Severity::Error,
            k if k <= Kind::ClassNames => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Action::Repaired => "repaired",
            Action::Dropped => "dropped",
            Action::Kept => "kept",
        }
    }
}

impl Finding {
    /// A finding at its kind's usual severity.
    pub fn new(kind: Kind, place: Place, action: Action, detail: impl Into<String>) -> Self {
        Self { kind, severity: kind.severity(), place, detail: detail.into(), action }
    }

    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
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
        assert_eq!(Kind::NoObjects.severity(), Severity::Error);
        assert_eq!(Kind::ZeroAreaBox.severity(), Severity::Warning);
        assert_eq!(Kind::ClassNames.severity(), Severity::Warning);
        assert_eq!(Kind::SizeMissing.severity(), Severity::Info);
    }

    #[test]
    fn names_are_the_serialised_names() {
        for kind in [Kind::XywhAsXyxy, Kind::DuplicateImageAcrossSplits, Kind::ImageInNoSplit] {
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.name());
        }
    }
}
