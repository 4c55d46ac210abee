//! The reason that a folder holds nothing to train on, as well as its files tell.

use std::collections::BTreeSet;

use super::super::error::DataError;
use super::super::folder::{FileEntry, Folder};
use super::super::paths::{extension_of, file_name, parent, stem};
use super::super::roles::split_of;
use super::yolo;

/// Files that known tools write under fixed names, and what to do with them.
const KNOWN: [(&str, &str, &str); 8] = [
    ("manifest", "labels of SageMaker Ground Truth", "convert the manifest to COCO, which its documentation describes"),
    ("jsonl", "labels as lines of JSON (Hugging Face, Vertex AI)", "save the data set as COCO or YOLO"),
    ("ndjson", "labels as lines of JSON (Labelbox, Ultralytics HUB)", "save the data set as COCO or YOLO"),
    ("seqinfo.ini", "tracks in a video (MOT)", "convert them to COCO or YOLO, with a photo for each frame"),
    (".xlsx", "a table of Excel", "save it as CSV"),
    (".pkl", "labels as a Python pickle", "save them as COCO or YOLO"),
    (".mat", "labels of MATLAB", "write them as CSV, with writetable"),
    ("_bbx_gt.txt", "labels of WIDER FACE", "convert them to YOLO or Pascal VOC"),
];
/// Archives that may hold the data set.
const ARCHIVES: [&str; 7] = ["zip", "tar", "gz", "tgz", "7z", "rar", "xz"];

/// Files without an ending that are looked into.
const BARE_LOOKED_AT: usize = 100;

/// A description of a folder without labelled photos.
pub fn error(folder: &Folder) -> DataError {
    let images = folder.images().count();
    let names = || folder.entries().iter().map(|e| e.name.as_str());
    let known = KNOWN.iter().find_map(|(end, found, help)| {
        let name = names().find(|n| n.to_lowercase().ends_with(end))?;
        Some((format!("{name:?}: {found}"), help.to_string()))
    });
    let archives: Vec<&str> =
        names().filter(|n| ARCHIVES.contains(&extension_of(n).to_ascii_lowercase().as_str())).collect();
    let (found, help) = match (known, archives.as_slice(), class_folders(folder)) {
        (Some(known), ..) => known,
        (None, [archive], _) if images == 0 => {
            (format!("nothing but {archive:?}"), "unpack the archive that is inside, or name it alone".into())
        }
        (None, [first, ..], _) if images == 0 => {
            let count = archives.len();
            (format!("nothing but {count} archives, {first:?} first"), "unpack all of them into one folder".into())
        }
        (None, [first, ..], _) => (
            format!("{images} images without labels, and {first:?}, which may hold them"),
            "unpack the archive beside the images".into(),
        ),
        (None, ..) if images > 0 && let Some(strangers) = strangers(folder) => strangers,
        (None, _, Some(classes)) => (
            format!("{images} images in folders by class ({classes}), without boxes"),
            "such a set is for classification; draw boxes with a labelling tool, e.g. CVAT or labelImg".into(),
        ),
        _ => (
            match (images, bare_photos(folder), unknown(folder)) {
                (0, 0, _) => "neither images nor labels".into(),
                (0, bare, _) => format!("{bare} photos whose names lack an ending such as .jpg"),
                (_, _, Some(file)) => format!("{images} images without labels, and {file:?}, whose form is not known"),
                _ => format!("{images} images without labels"),
            },
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

/// Files without an ending that begin as photos do.
fn bare_photos(folder: &Folder) -> usize {
    let bare = folder.entries().iter().filter(|e| extension_of(&e.name).is_empty()).take(BARE_LOOKED_AT);
    let is_photo = |e: &&FileEntry| e.read("read the file").is_ok_and(|b| image::guess_format(&b).is_ok());
    bare.filter(is_photo).count()
}

/// The first file that may have been meant as labels.
fn unknown(folder: &Folder) -> Option<&str> {
    let kinds = ["json", "xml", "csv", "txt", "yaml", "yml"];
    let mut names = folder.entries().iter().map(|e| e.name.as_str());
    names.find(|n| kinds.contains(&extension_of(n).to_ascii_lowercase().as_str()))
}

/// Text files that read like YOLO labels and bear the name of no photo.
fn strangers(folder: &Folder) -> Option<(String, String)> {
    let images = folder.images().count();
    let texts: Vec<&FileEntry> = folder.with_extension("txt").filter(|e| yolo::looks_like_labels(e)).collect();
    let (text, image) = (texts.first()?, folder.images().next()?);
    let count = texts.len();
    let reason = folder.matcher().find(stem(&text.name), &text.name, None).reason();
    if !reason.is_empty() {
        return Some((
            format!("{count} text files that read like YOLO labels, {:?} first{reason}", text.name),
            "put labels into folders like those of their photos".into(),
        ));
    }
    Some((
        format!(
            "{images} images and {count} text files that read like YOLO labels, and none has the name of another \
             ({:?}, {:?})",
            image.name, text.name
        ),
        "give each label file the name of its photo, with the ending .txt".into(),
    ))
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
