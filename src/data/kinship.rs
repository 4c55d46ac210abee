//! Kinship of two folders, which can then stand for each other: `photos` for `images`, but never `cam1` for `cam2`.
//!
//! Labels are carried to other computers and photos are moved into other folders. Most folder names say only that
//! photos (or labels) are inside; those are exchangeable. All others name a camera, a day or a place, and must agree.

use super::paths::folded;
use super::roles::split_name;

/// Folder names that say nothing about which photos are inside; lower case, without digits and `-` `_` at the end.
const CONTAINERS: [&str; 68] = [
    "image",
    "images",
    "img",
    "imgs",
    "pic",
    "pics",
    "picture",
    "pictures",
    "photo",
    "photos",
    "jpegimages",
    "jpeg",
    "jpegs",
    "jpg",
    "jpgs",
    "png",
    "pngs",
    "frame",
    "frames",
    "data",
    "dataset",
    "datasets",
    "set",
    "raw",
    "all",
    "files",
    "file",
    "upload",
    "uploads",
    "media",
    "obj",
    "obj_train_data",
    "obj_valid_data",
    "obj_test_data",
    "label",
    "labels",
    "labeled",
    "labelled",
    "annotation",
    "annotations",
    "annot",
    "annots",
    "ann",
    "anns",
    "xml",
    "xmls",
    "txt",
    "json",
    "jsons",
    "csv",
    "coco",
    "yolo",
    "voc",
    "bbox",
    "default",
    "export",
    "downloads",
    "desktop",
    "documents",
    "labelstxt",
    "content",
    "source",
    "imagesets",
    "main",
    "list",
    "lists",
    "splits",
    "layout",
];

/// Pictures in such folders are made from photos, and are none.
const DERIVED: [&str; 23] = [
    "mask",
    "masks",
    "trimap",
    "trimaps",
    "depth",
    "depths",
    "segmentation",
    "segmentations",
    "segmentationclass",
    "segmentationobject",
    "gt",
    "groundtruth",
    "@eadir",
    "thumb",
    "thumbs",
    "thumbnails",
    "preview",
    "previews",
    "overlay",
    "overlays",
    "visualization",
    "visualisation",
    "vis",
];

fn bare(folder: &str) -> String {
    folded(folder).trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | ' ' | '.')).to_string()
}

/// True if a folder of this name holds masks, depth maps or previews.
pub fn is_derived(folder: &str) -> bool {
    DERIVED.contains(&bare(folder).as_str())
}

fn is_container(folder: &str) -> bool {
    let bare = bare(folder);
    CONTAINERS.contains(&bare.as_str()) || split_name(&bare).is_some() || is_derived(&bare)
}

/// The parts of a path that say which photos are inside. Of an absolute path, the start names the computer and its
/// user.
fn telling(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != "." && *p != "..").collect();
    let absolute = path.starts_with('/') || parts.first().is_some_and(|p| p.ends_with(':'));
    let skipped = if absolute { 2 + usize::from(parts.first().is_some_and(|p| p.ends_with(':'))) } else { 0 };
    parts.into_iter().skip(skipped).filter(|p| !is_container(p)).map(|p| folded(p).into_owned()).collect()
}

/// True if labels that name photos in folder `wanted` can mean those in folder `there`.
///
/// Either may be in a part of the other; where both name something, the last names must occur in the other path.
pub fn agree(wanted: &str, there: &str) -> bool {
    let (wanted, there) = (telling(wanted), telling(there));
    match (wanted.last(), there.last()) {
        (Some(w), Some(t)) => there.contains(w) || wanted.contains(t),
        _ => true,
    }
}

/// True if a label file's own folder can belong to a photo's folder. One folder of labels for one folder of photos may
/// have any two names, unless the names are those of brothers: `cam1` and `cam2`, `left` and `right`.
pub fn may_pair(labels: &str, photos: &str) -> bool {
    if agree(labels, photos) {
        return true;
    }
    let parts =
        |path: &str| path.split('/').filter(|p| !p.is_empty()).map(|p| folded(p).into_owned()).collect::<Vec<_>>();
    let (labels, photos) = (parts(labels), parts(photos));
    let common = labels.iter().zip(&photos).take_while(|(a, b)| a == b).count();
    match (&labels[common..], &photos[common..]) {
        ([a], [b]) => !are_brothers(a, b),
        (a, b) => a.len() <= 1 && b.len() <= 1,
    }
}

const OPPOSITES: [[&str; 2]; 8] = [
    ["left", "right"],
    ["front", "back"],
    ["front", "rear"],
    ["north", "south"],
    ["east", "west"],
    ["day", "night"],
    ["top", "bottom"],
    ["monday", "tuesday"],
];

/// Names that differ by a number, by one letter at the end, or by a pair of opposites.
fn are_brothers(a: &str, b: &str) -> bool {
    let (a, b) = (folded(a), folded(b));
    let opposite =
        |[x, y]: &[&str; 2]| a.replace(x, "#") == b.replace(y, "#") || a.replace(y, "#") == b.replace(x, "#");
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (a.chars().count() - common, b.chars().count() - common);
    let number = |s: &str| s.chars().skip(common).all(|c| c.is_ascii_digit());
    let numbered = common >= 1 && number(&a) && number(&b);
    let lettered = common >= 2 && rest_a <= 1 && rest_b <= 1;
    bare(&a) == bare(&b) || numbered || lettered || OPPOSITES.iter().any(opposite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_exchanged_and_cameras_are_not() {
        for (wanted, there, verdict) in [
            ("photos", "images", true),
            ("cam2", "images/cam1", false),
            ("cam2", "images", true),
            ("", "images/cam1", true),
            ("images", "cam1", true),
            ("C:/Users/me/set/cam1", "cam1/images", true),
            ("/home/me", "deep/one", true),
            ("/home/me/yard/left", "right", false),
            ("left/day", "day/left", true),
            ("train", "images", true),
        ] {
            assert_eq!(agree(wanted, there), verdict, "{wanted} {there}");
        }
    }

    #[test]
    fn label_folders_pair_with_photo_folders_but_not_with_a_brother() {
        assert!(may_pair("xmls_v2", "photos_march"));
        for (a, b) in
            [("cam1", "cam2"), ("left", "right"), ("cam_a", "cam_b"), ("a/cam1", "b/cam2"), ("2024-01", "2024-02")]
        {
            assert!(!may_pair(a, b), "{a} {b}");
        }
    }
}
