//! Why a folder holds nothing to train on, as well as its files tell.

use std::collections::BTreeSet;

use super::super::error::DataError;
use super::super::folder::Folder;
use super::super::paths::{extension_of, file_name, parent};
use super::super::roles::split_of;

/// Files that known tools write under fixed names, and what to do with them.
const KNOWN: [(&str, &str, &str); 3] = [
    ("manifest", "labels of SageMaker Ground Truth", "convert the manifest to COCO, which its documentation describes"),
    ("jsonl", "labels as lines of JSON (Hugging Face, Vertex AI)", "save the data set as COCO or YOLO"),
    ("_bbx_gt.txt", "labels of WIDER FACE", "convert them to YOLO or Pascal VOC"),
];
/// Archives that may hold the data set.
const ARCHIVES: [&str; 7] = ["zip", "tar", "gz", "tgz", "7z", "rar", "xz"];

/// A description of a folder without labelled photos.
pub fn error(folder: &Folder) -> DataError {
    let images = folder.images().count();
    let names = || folder.entries().iter().map(|e| e.name.as_str());
    let known = KNOWN.iter().find_map(|(end, found, help)| {
        let name = names().find(|n| n.to_lowercase().ends_with(end))?;
        Some((format!("{name:?}: {found}"), help.to_string()))
    });
    let archive = names().find(|n| ARCHIVES.contains(&extension_of(n).to_ascii_lowercase().as_str()));
    let (found, help) = match (known, archive, class_folders(folder)) {
        (Some(known), ..) => known,
        (None, Some(archive), _) if images == 0 => {
            (format!("nothing but {archive:?}"), "unpack the archive that is inside, or name it alone".into())
        }
        (None, _, Some(classes)) => (
            format!("{images} images in folders by class ({classes}), without boxes"),
            "such a set is for classification; draw boxes with a labelling tool, e.g. CVAT or labelImg".into(),
        ),
        _ => (
            if images == 0 { "neither images nor labels".into() } else { format!("{images} images without labels") },
            "label them with any tool that exports one of these, e.g. CVAT or labelImg; docs/data-formats.md has the list"
                .into(),
        ),
    };
    DataError::Source {
        file: folder.root.clone(),
        found,
        expected: "photos labelled as Pascal VOC (.xml), COCO (.json), YOLO (.txt and data.yaml) or CSV".into(),
        help,
    }
}

/// The names of folders that photos are sorted into, where they are no splits: those of a set for classification.
fn class_folders(folder: &Folder) -> Option<String> {
    let others = folder.entries().iter().any(|e| matches!(extension_of(&e.name), "txt" | "xml" | "json" | "csv"));
    let parents: BTreeSet<&str> = folder.images().map(|e| parent(&e.name)).collect();
    let classes: BTreeSet<&str> = parents.iter().map(|p| file_name(p)).collect();
    let are_classes = !classes.contains("") && classes.iter().all(|c| split_of(&format!("{c}/a.jpg")).is_none());
    let shown: Vec<&str> = classes.iter().copied().take(5).collect();
    (!others && classes.len() > 1 && are_classes).then(|| shown.join(", "))
}
