//! One sentence for each kind of finding: how many, the worst example, and what to do.

use crate::boxes::InputSize;

use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::findings::Findings;
use super::super::text::shown;
use super::sides::{MIN_SIDE_PX, Sides};

/// Examples longer than this are cut.
const LONGEST: usize = 300;

/// All findings of one kind, severity and action.
pub struct Group<'a> {
    pub kind: FindingKind,
    pub severity: Severity,
    pub action: FindingAction,
    pub count: usize,
    /// The findings that were kept, worst or first of them first.
    pub kept: Vec<&'a Finding>,
}

/// Findings by kind, worst first.
pub fn groups(findings: &Findings) -> Vec<Group<'_>> {
    let group = |((kind, severity, action), count): (&(FindingKind, Severity, FindingAction), &usize)| {
        let of_group = |f: &&Finding| (f.kind, f.severity, f.action) == (*kind, *severity, *action);
        let kept = findings.iter().filter(of_group).collect();
        Group { kind: *kind, severity: *severity, action: *action, count: *count, kept }
    };
    let mut groups: Vec<Group> = findings.counts().iter().map(group).collect();
    groups.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)));
    groups
}

impl Group<'_> {
    /// `error   kind: 3 boxes ...; e.g. a.xml:3: ...; what to do`.
    /// Boxes were measured against `input_size`, where it is known.
    pub fn sentence(&self, sides: &Sides, input_size: Option<InputSize>) -> String {
        let head = format!("{:<7} {}", self.severity.name(), self.kind.name());
        let example = self.kept.first().map_or(String::new(), |f| example(f));
        let what = match (self.kind, input_size) {
            // A finding of the whole set is its own sentence.
            _ if self.count == 1 => example.clone(),
            (FindingKind::BoxTooSmall, Some(size)) => small_boxes(sides, size),
            _ => format!("{} {}; e.g. {example}", self.count, things(self.kind)),
        };
        let advice = advice(self.kind);
        let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
        format!("{head}: {what} -> {}{advice}", self.action.name())
    }
}

fn small_boxes(sides: &Sides, size: InputSize) -> String {
    let (small, all) = (sides.below(size), sides.len());
    let offer = sides.larger_input(size);
    let offer = offer.map_or(String::new(), |(size, left)| format!("; --imgsz {size} leaves {left}"));
    format!("{small} of {all} boxes are smaller than {MIN_SIDE_PX} pixels at {size} px{offer}")
}

fn example(finding: &Finding) -> String {
    let place = finding.place.to_string();
    let detail = shown(&finding.detail);
    let text = if place.is_empty() { detail } else { format!("{place}: {detail}") };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// The things that a kind counts, in the plural.
fn things(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::MalformedLabel => "labels cannot be understood",
        FindingKind::UnknownClass => "objects are of a class that is not in the list",
        FindingKind::UnreadableImage => "photos do not decode",
        FindingKind::TruncatedImage => "photo files end early",
        FindingKind::DuplicateImageAcrossSplits => "photos have a byte-identical copy in another split",
        FindingKind::ImageInTwoSplits => "photos are in two splits",
        FindingKind::ClassListsDisagree => "lists of class names disagree",
        FindingKind::ClassNameUnusable => "class names cannot be used",
        FindingKind::ClassWithoutExamples => "classes lack a usable box in a split",
        FindingKind::ZeroAreaBox => "boxes are less than a pixel wide or high",
        FindingKind::ReversedBox => "boxes have their corners exchanged",
        FindingKind::BoxOutsideImage => "boxes reach out of their image",
        FindingKind::DuplicateBox => "boxes stand twice",
        FindingKind::NearDuplicateBox => "boxes nearly repeat another of their class",
        FindingKind::ConflictingBoxes => "boxes nearly equal one of another class",
        FindingKind::BoxTooSmall => "boxes are very small",
        FindingKind::DuplicateImage => "groups of byte-identical photos",
        FindingKind::ImageWithoutLabels => "photos have no labels",
        FindingKind::LabelWithoutImage => "labels have no photo",
        FindingKind::ListedImageMissing => "listed photos are not there",
        FindingKind::SizeMismatch => "photos have another size than their labels say",
        FindingKind::LabelsNotRotated => "photos were labelled before their EXIF rotation",
        FindingKind::RareClass => "classes have very few boxes",
        FindingKind::SimilarClassNames => "pairs of class names look like one",
        FindingKind::ImageFormatNotRead => "formats of photos are not read",
        FindingKind::TextEncoding => "label files have an encoding that was guessed",
        FindingKind::LabelsPassedOver => "labels are passed over",
        FindingKind::PredictedLabels => "sets have boxes that a model predicted",
        FindingKind::SizeMissing => "photos have no declared size",
        FindingKind::BoxWithoutAnchor => "boxes fit no anchor well",
        FindingKind::BackgroundImage => "photos show no object",
        FindingKind::InvalidOrientation => "photos have a meaningless EXIF orientation",
        FindingKind::PolygonLabels => "files have polygons, whose bounding boxes are used",
        FindingKind::UnusedCategory => "categories are no classes",
        FindingKind::NoPhoto => "folders hold masks or previews",
        FindingKind::RepeatedLink => "links lead to folders that were listed",
        FindingKind::ImageInNoSplit => "labelled photos are in none of the given splits",
        _ => "findings",
    }
}

/// The remedy for a person; empty where there is nothing to be done.
fn advice(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::MalformedLabel => "mend the label or export it again",
        FindingKind::UnknownClass => "add the class to the list, or mend the label",
        FindingKind::UnreadableImage | FindingKind::TruncatedImage => {
            "copy the photo again, or remove it with its labels"
        }
        FindingKind::DuplicateImageAcrossSplits | FindingKind::ImageInTwoSplits => "keep each photo on one side only",
        FindingKind::ValidationIsTraining => "give val photos of its own, or leave val out and a part is held back",
        FindingKind::XywhAsXyxy
        | FindingKind::XyxyAsXywh
        | FindingKind::BoxFormUnclear
        | FindingKind::PixelsAsFractions => "export the labels again in the form that the format demands",
        FindingKind::ClassListsDisagree => "bring all labels to one list of names",
        FindingKind::ClassNameUnusable => "rename the class",
        FindingKind::ManyBadBoxes => "look at the boxes with --pictures",
        FindingKind::ClassWithoutExamples | FindingKind::RareClass => "photograph more of it",
        FindingKind::NoObjects => "label some photos",
        FindingKind::ImageWithoutLabels => "label them, or remove them",
        FindingKind::LabelWithoutImage => "put the photos where the labels say, or remove the labels",
        FindingKind::SimilarClassNames => "give them one name",
        FindingKind::TextEncoding => "save the file as UTF-8",
        FindingKind::PredictedLabels => "look them through with --pictures",
        _ => "",
    }
}
