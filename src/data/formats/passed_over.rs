//! Labels of another format beside those that are read: they are not used, and that is said.

use super::super::account::FileFate;
use super::super::annotation::FilePlace;
use super::super::finding::{Finding, FindingAction, FindingKind, Severity};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::paths::stem;
use super::super::text::decode;
use super::format::Format;
use super::json_files::{JsonKind, MAX_TREE_BYTES, kind_of};
use super::text_pairs::TextPairs;
use super::yolo;

/// Files of one kind that are looked into before all of the kind count as labels.
const LOOKED_AT: usize = 20;

/// Says which files hold labels too, beside labels of another format that are read.
pub fn report(folder: &Folder, format: Format, labels: &mut Labels) {
    json(folder, format, labels);
    texts(folder, format, labels);
    xml(folder, format, labels);
}

fn json(folder: &Folder, format: Format, labels: &mut Labels) {
    let is_read =
        matches!(format, Format::Coco | Format::LabelMe | Format::LabelStudio | Format::CreateMl | Format::Via);
    if is_read {
        return;
    }
    for entry in folder.with_extension("json").filter(|e| e.stored.len().is_ok_and(|n| n <= MAX_TREE_BYTES as u64)) {
        // A file that cannot be read is none that labels are lost with.
        let Ok(bytes) = entry.read("read the labels") else { continue };
        let tool = match kind_of(&decode(&bytes).text) {
            JsonKind::Coco => "COCO",
            JsonKind::LabelMe => "LabelMe",
            JsonKind::LabelStudio => "Label Studio",
            JsonKind::CreateMl => "CreateML",
            JsonKind::Via => "VIA",
            JsonKind::Known(tool, _) => tool,
            JsonKind::Other => continue,
        };
        labels.fates.push((entry.name.clone(), FileFate::PassedOver));
        let detail = format!("labels of {tool} beside those of {} that are read", format.name());
        labels.findings.note(
            FindingKind::LabelsPassedOver,
            FilePlace::file(&entry.name),
            FindingAction::Dropped,
            detail,
        );
    }
}

/// Text files of photos, in YOLO's form.
fn texts(folder: &Folder, format: Format, labels: &mut Labels) {
    let by_text = matches!(
        format,
        Format::Yolo | Format::KerasYolo | Format::Kitti | Format::VisDrone | Format::Oid | Format::Dota
    );
    if by_text {
        return;
    }
    let pairs = TextPairs::of(folder, &|_| false);
    let paired: Vec<(&FileEntry, &FileEntry)> = folder.images().filter_map(|i| Some((i, pairs.get(i)?))).collect();
    if paired.iter().take(LOOKED_AT).any(|(_, text)| yolo::looks_like_labels(text)) {
        tell(&paired, "YOLO", format, labels);
    }
}

/// Pascal VOC's files beside text files, tables and JSON.
fn xml(folder: &Folder, format: Format, labels: &mut Labels) {
    if matches!(format, Format::Voc | Format::Cvat) {
        return;
    }
    let photo = |e: &FileEntry| folder.matcher().find(stem(&e.name), &e.name, None).id();
    let paired: Vec<(&FileEntry, &FileEntry)> =
        folder.with_extension("xml").filter_map(|e| Some((&folder.entries()[photo(e)?], e))).collect();
    let is_voc = |e: &FileEntry| e.text("read the labels").is_ok_and(|t| t.text.contains("<annotation"));
    if paired.iter().take(LOOKED_AT).any(|(_, xml)| is_voc(xml)) {
        tell(&paired, "Pascal VOC", format, labels);
    }
}

/// One finding for all files of a kind: a warning if any of their photos is left without labels by it.
fn tell(paired: &[(&FileEntry, &FileEntry)], tool: &str, format: Format, labels: &mut Labels) {
    let labelled: std::collections::HashSet<&str> = labels.annotations.iter().map(|a| a.source.as_str()).collect();
    let without = paired.iter().filter(|(photo, _)| !labelled.contains(photo.name.as_str())).count();
    labels.fates.extend(paired.iter().map(|(_, file)| (file.name.clone(), FileFate::PassedOver)));
    let Some((_, first)) = paired.first() else { return };
    let lost = match without {
        0 => String::new(),
        n => format!("; {n} of their photos have no other labels"),
    };
    let detail =
        format!("{} files with labels of {tool} beside those of {} that are read{lost}", paired.len(), format.name());
    let finding =
        Finding::new(FindingKind::LabelsPassedOver, FilePlace::file(&first.name), FindingAction::Dropped, detail);
    labels.findings.add(if without == 0 { finding.with_severity(Severity::Info) } else { finding });
}
