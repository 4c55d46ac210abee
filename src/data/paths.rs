//! Relative names with `/` between folders, and the words in them.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Endings of photos that are decoded.
const READ: [&str; 12] = ["jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "png", "bmp", "dib", "webp", "tif", "tiff"];

/// Endings of photos that are known and not decoded, with what to do about them.
const NOT_READ: [(&str, &str); 17] = [
    ("heic", "HEIC"),
    ("heif", "HEIC"),
    ("hif", "HEIC"),
    ("avif", "AVIF"),
    ("gif", "GIF"),
    ("jp2", "JPEG 2000"),
    ("j2k", "JPEG 2000"),
    ("jxl", "JPEG XL"),
    ("jxr", "JPEG XR"),
    ("dng", "raw (DNG)"),
    ("cr2", "raw (CR2)"),
    ("cr3", "raw (CR3)"),
    ("nef", "raw (NEF)"),
    ("arw", "raw (ARW)"),
    ("ppm", "PPM"),
    ("pgm", "PGM"),
    ("mpo", "MPO"),
];

/// True if the name is that of a photo that can be decoded.
pub fn is_image(name: &str) -> bool {
    READ.iter().any(|e| extension_of(name).eq_ignore_ascii_case(e))
}

/// The format of a photo that is not decoded.
pub fn unread_format(name: &str) -> Option<&'static str> {
    NOT_READ.iter().find(|(e, _)| extension_of(name).eq_ignore_ascii_case(e)).map(|(_, format)| *format)
}

/// True if the extension is any photo's.
pub fn is_image_extension(name: &str) -> bool {
    is_image(name) || unread_format(name).is_some()
}

pub fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The folders of a relative path, empty for a file at the root.
pub fn parent(name: &str) -> &str {
    name.rfind('/').map_or("", |i| &name[..i])
}

/// File name without folders and extension.
pub fn stem(name: &str) -> &str {
    let name = file_name(name);
    name.rfind('.').filter(|&i| i > 0).map_or(name, |i| &name[..i])
}

pub fn extension_of(name: &str) -> &str {
    let name = file_name(name);
    name.rfind('.').filter(|&i| i > 0).map_or("", |i| &name[i + 1..])
}

/// Joins relative paths and resolves `.` and `..` in them.
pub fn join(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The folder and all that it lies in, deepest first, the root (empty) last.
pub fn ancestors(folder: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(folder);
    std::iter::from_fn(move || {
        let current = next?;
        next = (!current.is_empty()).then(|| parent(current));
        Some(current)
    })
}

/// One spelling of names that people take for equal: composed letters, lower case.
pub fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    match is_nfc(name) {
        true => Cow::Owned(name.to_lowercase()),
        false => Cow::Owned(name.nfc().collect::<String>().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_resolves_dots() {
        assert_eq!(join("a/b", "../c/./d"), "a/c/d");
        assert_eq!(join("", "../images"), "images");
    }

    #[test]
    fn names_fold_over_case_and_composition() {
        assert_eq!(folded("Ga\u{308}rten_0.JPG"), folded("GÄRTEN_0.jpg"));
        assert_ne!(folded("a"), folded("b"));
        assert_eq!(ancestors("a/b").collect::<Vec<_>>(), ["a/b", "a", ""]);
    }

    #[test]
    fn photos_are_told_by_their_ending() {
        assert!(is_image("a.JFIF") && is_image("a.tif") && !is_image("a.heic") && !is_image("a.txt"));
        assert_eq!(unread_format("x/a.AVIF"), Some("AVIF"));
    }
}
