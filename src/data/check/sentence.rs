//! One sentence for each kind of finding: how many, the worst example, and what to do.

use crate::boxes::InputSize;

use super::super::finding::{Action, Finding, Kind, Severity};
use super::super::findings::Findings;
use super::super::text::shown;
use super::sides::{MIN_SIDE_PX, Sides};

/// Examples longer than this are cut.
const LONGEST: usize = 300;

/// All findings of one kind, severity and action.
pub struct Group<'a> {
    pub kind: Kind,
    pub severity: Severity,
    pub action: Action,
    pub count: usize,
    /// Those that were kept, worst or first of them first.
    pub kept: Vec<&'a Finding>,
}

/// Findings by kind, worst first.
pub fn groups(findings: &Findings) -> Vec<Group<'_>> {
    let group = |((kind, severity, action), count): (&(Kind, Severity, Action), &usize)| {
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
            (Kind::BoxTooSmall, Some(size)) => small_boxes(sides, size),
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
fn things(kind: Kind) -> &'static str {
    match kind {
        Kind::MalformedLabel => "labels cannot be understood",
        Kind::UnknownClass => "objects are of a class that is not in the list",
        Kind::UnreadableImage => "photos do not decode",
        Kind::TruncatedImage => "photo files end early",
        Kind::DuplicateImageAcrossSplits => "photos have a byte-identical copy in another split",
        Kind::ImageInTwoSplits => "photos are in two splits",
        Kind::ClassListsDisagree => "lists of class names disagree",
        Kind::ClassNameUnusable => "class names cannot be used",
        Kind::ClassWithoutExamples => "classes lack a usable box in a split",
        Kind::ZeroAreaBox => "boxes are less than a pixel wide or high",
        Kind::ReversedBox => "boxes have their corners exchanged",
        Kind::BoxOutsideImage => "boxes reach out of their image",
        Kind::DuplicateBox => "boxes stand twice",
        Kind::NearDuplicateBox => "boxes nearly repeat another of their class",
        Kind::ConflictingBoxes => "boxes nearly equal one of another class",
        Kind::BoxTooSmall => "boxes are very small",
        Kind::DuplicateImage => "groups of byte-identical photos",
        Kind::ImageWithoutLabels => "photos have no labels",
        Kind::LabelWithoutImage => "labels have no photo",
        Kind::ListedImageMissing => "listed photos are not there",
        Kind::SizeMismatch => "photos have another size than their labels say",
        Kind::LabelsNotRotated => "photos were labelled before their EXIF rotation",
        Kind::RareClass => "classes have very few boxes",
        Kind::SimilarClassNames => "pairs of class names look like one",
        Kind::ImageFormatNotRead => "formats of photos are not read",
        Kind::TextEncoding => "label files have an encoding that was guessed",
        Kind::LabelsPassedOver => "labels are passed over",
        Kind::PredictedLabels => "sets have boxes that a model predicted",
        Kind::SizeMissing => "photos have no declared size",
        Kind::BoxWithoutAnchor => "boxes fit no anchor well",
        Kind::BackgroundImage => "photos show no object",
        Kind::InvalidOrientation => "photos have a meaningless EXIF orientation",
        Kind::PolygonLabels => "files have polygons, whose bounding boxes are used",
        Kind::UnusedCategory => "categories are no classes",
        Kind::NoPhoto => "folders hold masks or previews",
        Kind::RepeatedLink => "links lead to folders that were listed",
        Kind::ImageInNoSplit => "labelled photos are in none of the given splits",
        _ => "findings",
    }
}

/// The remedy for a person; empty where there is nothing to be done.
fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::MalformedLabel => "mend the label or export it again",
        Kind::UnknownClass => "add the class to the list, or mend the label",
        Kind::UnreadableImage | Kind::TruncatedImage => "copy the photo again, or remove it with its labels",
        Kind::DuplicateImageAcrossSplits | Kind::ImageInTwoSplits => "keep each photo on one side only",
        Kind::ValidationIsTraining => "give val photos of its own, or leave val out and a part is held back",
        Kind::XywhAsXyxy | Kind::XyxyAsXywh | Kind::BoxFormUnclear | Kind::PixelsAsFractions => {
            "export the labels again in the form that the format demands"
        }
        Kind::ClassListsDisagree => "bring all labels to one list of names",
        Kind::ClassNameUnusable => "rename the class",
        Kind::ManyBadBoxes => "look at the boxes with --pictures",
        Kind::ClassWithoutExamples | Kind::RareClass => "photograph more of it",
        Kind::NoObjects => "label some photos",
        Kind::ImageWithoutLabels => "label them, or remove them",
        Kind::LabelWithoutImage => "put the photos where the labels say, or remove the labels",
        Kind::SimilarClassNames => "give them one name",
        Kind::TextEncoding => "save the file as UTF-8",
        Kind::PredictedLabels => "look them through with --pictures",
        _ => "",
    }
}
