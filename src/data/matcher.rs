//! Finds the photo that a label file names, in time that does not grow with the number of photos.
//!
//! Labels rarely name their photo exactly: paths of another computer, other folders, no extension, other case, percent
//! escapes, a prefix that Label Studio put before it. The exact name wins; then the longest ending of the path that
//! only one photo has; then the photo of that name nearest to the label file. The folders must agree
//! ([`super::kinship`]): a photo of another camera or of another split is never taken.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use percent_encoding::percent_decode_str;

use super::kinship::{agree, is_derived, may_pair};
use super::paths::{ancestors, file_name, folded, is_image_extension, join, parent, stem};
use super::roles::split_of;

/// More photos of one key than this are not told apart by it; comparing them would take quadratic time.
const MAX_CANDIDATES: usize = 64;

/// Keys of all photos: hashes of path endings, and of names below each folder above them.
#[derive(Debug, Default)]
pub struct PhotoMatcher {
    /// Sorted; the second number is a position in `photos`.
    keys: Vec<(u64, u32)>,
    photos: Vec<(usize, String)>,
}

/// The photo that a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhotoMatch<'a> {
    /// The entry's id.
    One(usize),
    /// The only photo of that name lies in a folder that does not agree with the label's.
    Elsewhere(&'a str),
    /// Photos that fit equally well.
    Several(&'a str, &'a str),
    None,
}

impl PhotoMatch<'_> {
    pub fn id(self) -> Option<usize> {
        match self {
            PhotoMatch::One(id) => Some(id),
            _ => None,
        }
    }

    /// The reason to show where there is no photo, after `no image file "x"`.
    pub fn reason(self) -> String {
        match self {
            PhotoMatch::One(_) | PhotoMatch::None => String::new(),
            PhotoMatch::Elsewhere(other) => format!("; {other:?} has the name, but lies in another folder"),
            PhotoMatch::Several(a, b) => format!("; {a:?} and {b:?} fit equally well"),
        }
    }
}

#[derive(Clone, Copy, Hash)]
enum NameKey {
    Ending,
    Below,
}

fn key(kind: NameKey, folders: &str, stem: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, folders, stem).hash(&mut hasher);
    hasher.finish()
}

impl PhotoMatcher {
    /// Indexes photos by their id and name.
    pub fn of<'n>(photos: impl Iterator<Item = (usize, &'n str)>) -> Self {
        let mut photos: Vec<(usize, String)> = photos.map(|(id, name)| (id, name.to_string())).collect();
        photos.sort_by(|a, b| a.1.cmp(&b.1));
        let mut keys = Vec::with_capacity(photos.len() * 4);
        for (i, (_, name)) in photos.iter().enumerate() {
            let (folders, stem) = (folded(parent(name)).into_owned(), folded(stem(name)).into_owned());
            let i = i as u32;
            keys.extend(endings(&folders).map(|ending| (key(NameKey::Ending, ending, &stem), i)));
            keys.extend(ancestors(&folders).map(|folder| (key(NameKey::Below, folder, &stem), i)));
        }
        keys.sort_unstable();
        Self { keys, photos }
    }

    /// The photo that a label file at `near` means by `wanted`: a path, an address, a file name, or a bare stem.
    /// `split` is the one that the label file speaks of.
    pub fn find(&self, wanted: &str, near: &str, split: Option<&str>) -> PhotoMatch<'_> {
        let mut first = PhotoMatch::None;
        for spelling in spellings(wanted) {
            match self.find_spelled(&spelling, near, split) {
                PhotoMatch::One(id) => return PhotoMatch::One(id),
                other if first == PhotoMatch::None => first = other,
                _ => {}
            }
        }
        first
    }

    fn find_spelled(&self, wanted: &str, near: &str, split: Option<&str>) -> PhotoMatch<'_> {
        if file_name(wanted).is_empty() {
            return PhotoMatch::None;
        }
        for exact in [join(parent(near), wanted), join("", wanted)] {
            if let Ok(i) = self.photos.binary_search_by(|(_, name)| name.as_str().cmp(&exact)) {
                return PhotoMatch::One(self.photos[i].0);
            }
        }
        // `photo.jpg` may have become `photo.png`; `photo.final` is a stem with a dot in it.
        let name = file_name(wanted);
        let stems = match is_image_extension(name) {
            true => vec![(stem(name), true), (stem(name), false)],
            false => vec![(name, false), (stem(name), false)],
        };
        let mut first = PhotoMatch::None;
        for (stem, with_extension) in stems {
            // Masks and previews have the names of their photos.
            for derived in [false, true] {
                let wish = WantedName { wanted, near, split, stem: folded(stem).into_owned(), with_extension, derived };
                match self.by_ending(&wish).unwrap_or_else(|| self.nearest(&wish)) {
                    PhotoMatch::One(id) => return PhotoMatch::One(id),
                    other if first == PhotoMatch::None => first = other,
                    _ => {}
                }
            }
        }
        first
    }

    /// By the longest ending, of two parts at least, that any photo has.
    fn by_ending(&self, wish: &WantedName) -> Option<PhotoMatch<'_>> {
        let path = wish.path();
        let folders = folded(&path).into_owned();
        let mut long: Vec<&str> = endings(&folders).filter(|e| !e.is_empty()).collect();
        long.reverse();
        long.into_iter().find_map(|ending| {
            let range = self.candidates(NameKey::Ending, ending, &wish.stem);
            if let (true, [a, b, ..]) = (range.len() > MAX_CANDIDATES, range) {
                return Some(PhotoMatch::Several(self.name(a.1), self.name(b.1)));
            }
            let fitting = self.fitting(wish, range);
            (!fitting.is_empty()).then(|| self.best(wish, &fitting))
        })
    }

    /// By the name alone, in the nearest folder above the label file.
    fn nearest(&self, wish: &WantedName) -> PhotoMatch<'_> {
        let near = folded(parent(wish.near)).into_owned();
        for folder in ancestors(&near) {
            let range = self.candidates(NameKey::Below, folder, &wish.stem);
            if let (true, [a, b, ..]) = (range.len() > MAX_CANDIDATES, range) {
                return PhotoMatch::Several(self.name(a.1), self.name(b.1));
            }
            let fitting = self.fitting(wish, range);
            let agreeing: Vec<u32> = fitting.iter().copied().filter(|i| wish.agrees(parent(self.name(*i)))).collect();
            match (agreeing.is_empty(), fitting.first()) {
                (false, _) => return self.best(wish, &agreeing),
                (true, Some(other)) if folder.is_empty() => return PhotoMatch::Elsewhere(self.name(*other)),
                _ => {}
            }
        }
        PhotoMatch::None
    }

    fn candidates(&self, kind: NameKey, folders: &str, stem: &str) -> &[(u64, u32)] {
        let key = key(kind, folders, stem);
        let from = self.keys.partition_point(|(k, _)| *k < key);
        let len = self.keys[from..].partition_point(|(k, _)| *k == key);
        &self.keys[from..from + len]
    }

    /// The entries of the wished split and kind, and with the wished extension if that counts.
    fn fitting(&self, wish: &WantedName, range: &[(u64, u32)]) -> Vec<u32> {
        let of_split = |name: &str| wish.split.is_none_or(|s| split_of(name).is_none_or(|other| other == s));
        let wanted = folded(file_name(wish.wanted));
        let named = |name: &str| !wish.with_extension || folded(file_name(name)) == wanted;
        let of_kind = |name: &str| wish.derived || !parent(name).split('/').any(is_derived);
        let fits = |i: &u32| of_split(self.name(*i)) && named(self.name(*i)) && of_kind(self.name(*i));
        range.iter().map(|(_, i)| *i).filter(fits).collect()
    }

    /// The candidate that shares most with the wanted path's end and with the label file's folders.
    fn best(&self, wish: &WantedName, candidates: &[u32]) -> PhotoMatch<'_> {
        let merit = |i: &u32| {
            let name = self.name(*i);
            let exact = file_name(name) == file_name(wish.wanted) || stem(name) == stem(wish.wanted);
            let end = common(wish.path().rsplit('/'), parent(name).rsplit('/'));
            let start = common(parent(wish.near).split('/'), parent(name).split('/'));
            let tail = common(parent(wish.near).rsplit('/'), parent(name).rsplit('/'));
            (end, start, tail, exact)
        };
        let Some(best) = candidates.iter().map(merit).max() else { return PhotoMatch::None };
        let mut equals = candidates.iter().filter(|i| merit(i) == best);
        match (equals.next(), equals.next()) {
            (Some(a), Some(b)) => PhotoMatch::Several(self.name(*a), self.name(*b)),
            (Some(a), None) => PhotoMatch::One(self.photos[*a as usize].0),
            _ => PhotoMatch::None,
        }
    }

    fn name(&self, i: u32) -> &str {
        &self.photos[i as usize].1
    }
}

/// The name that is looked for.
struct WantedName<'a> {
    wanted: &'a str,
    near: &'a str,
    split: Option<&'a str>,
    /// Folded.
    stem: String,
    with_extension: bool,
    /// True if masks and previews count as photos.
    derived: bool,
}

impl WantedName<'_> {
    /// The folders that the photo ought to be in: those of the wanted path, else of the label file.
    fn path(&self) -> String {
        match parent(self.wanted) {
            "" => parent(self.near).to_string(),
            folders => folders.to_string(),
        }
    }

    fn agrees(&self, photos: &str) -> bool {
        match parent(self.wanted) {
            "" => may_pair(parent(self.near), photos),
            folders => agree(folders, photos),
        }
    }
}

/// `a/b/c`: the empty one, `c`, `b/c`, `a/b/c`.
fn endings(folders: &str) -> impl Iterator<Item = &str> {
    let starts = folders.rmatch_indices('/').map(|(at, _)| at + 1).chain((!folders.is_empty()).then_some(0));
    std::iter::once("").chain(starts.map(|at| &folders[at..]))
}

fn common<'a>(a: impl Iterator<Item = &'a str>, b: impl Iterator<Item = &'a str>) -> usize {
    a.zip(b).take_while(|(a, b)| folded(a) == folded(b) && !a.is_empty()).count()
}

/// The ways to read one name, likeliest first.
fn spellings(wanted: &str) -> Vec<String> {
    let plain = wanted.trim().replace('\\', "/");
    let plain = plain.strip_prefix("file://").unwrap_or(&plain).trim_start_matches("./").to_string();
    let mut all = vec![plain.clone()];
    // `/data/local-files/?d=photos%2Fa.jpg` is Label Studio's; addresses end before their query.
    let behind = plain.split_once("?d=").map(|(_, path)| path.split('&').next().unwrap_or(path).to_string());
    let address = plain.contains("://").then(|| plain.split(['?', '#']).next().unwrap_or(&plain).to_string());
    all.extend(behind.into_iter().chain(address));
    let last = all[all.len() - 1].clone();
    if last.contains('%') {
        all.push(percent_decode_str(&last).decode_utf8_lossy().into_owned());
    }
    let last = all[all.len() - 1].clone();
    if let Some(bare) = without_hash(file_name(&last)) {
        all.push(bare.to_string());
        let spaced = bare.replace('_', " ");
        all.extend((spaced != bare).then_some(spaced));
    }
    all
}

/// `3f2a1b00-yard_0.jpg` without the eight hexadecimal digits that Label Studio puts before an uploaded file.
fn without_hash(name: &str) -> Option<&str> {
    let (hash, bare) = name.split_once('-')?;
    let is_hash = hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_hash && !bare.is_empty()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(names: &'a [&'a str], wanted: &str, near: &str) -> Option<&'a str> {
        let matcher = PhotoMatcher::of(names.iter().copied().enumerate());
        matcher.find(wanted, near, split_of(near)).id().map(|id| names[id])
    }

    #[test]
    fn a_name_finds_its_image_across_layouts() {
        let names = [
            "JPEGImages/a b#1=.JPG",
            "images/train/7.jpg",
            "images/test/7.jpg",
            "images/x.y.png",
            "deep/one/9.jpg",
            "images/Ga\u{308}rten.jpg",
            "images/yard cam 0.jpg",
        ];
        for (wanted, near, found) in [
            ("a b#1=.jpg", "Annotations/a b#1=.xml", Some(names[0])),
            ("7", "annotations/test/7.xml", Some(names[2])),
            ("C:\\photos\\train\\7.jpg", "all.csv", Some(names[1])),
            ("x.y", "Annotations/x.y.xml", Some(names[3])),
            ("/home/me/9.jpeg", "a.json", Some(names[4])),
            ("10.jpg", "a.json", None),
            ("gärten.JPG", "a.json", Some(names[5])),
            ("/data/local-files/?d=photos%2Fyard%20cam%200.jpg", "a.json", Some(names[6])),
            ("3f2a1b00-yard_cam_0.jpg", "a.json", Some(names[6])),
            ("http://here:8080/data/upload/3/3f2a1b00-yard%20cam%200.jpg", "a.json", Some(names[6])),
        ] {
            assert_eq!(find(&names, wanted, near), found, "{wanted}");
        }
    }

    #[test]
    fn photos_of_another_camera_split_or_kind_are_not_taken() {
        assert_eq!(find(&["images/cam1/1.jpg"], "cam2/1.jpg", "a.json"), None);
        assert_eq!(find(&["cam1/1.jpg"], "1", "cam2/1.xml"), None);
        assert_eq!(find(&["test/1.jpg", "train/2.jpg"], "1", "train/1.xml"), None);
        let pets = ["annotations/trimaps/Pet.png", "images/Pet.jpg"];
        assert_eq!(find(&pets, "Pet.jpg", "annotations/xmls/Pet.xml"), Some(pets[1]));
        assert_eq!(find(&pets, "Pet", "annotations/xmls/Pet.xml"), Some(pets[1]));
        let matcher = PhotoMatcher::of(["images/cam1/1.jpg"].into_iter().enumerate());
        assert_eq!(matcher.find("cam2/1.jpg", "a.json", None), PhotoMatch::Elsewhere("images/cam1/1.jpg"));
    }

    #[test]
    fn equal_candidates_are_told_and_exact_case_decides() {
        let matcher = PhotoMatcher::of(["a/1.jpg", "b/1.jpg"].into_iter().enumerate());
        assert_eq!(matcher.find("1.jpg", "all.csv", None), PhotoMatch::Several("a/1.jpg", "b/1.jpg"));
        let case = ["JPEGImages/P0.jpg", "JPEGImages/p0.jpg"];
        assert_eq!(find(&case, "P0", "Annotations/P0.xml"), Some(case[0]));
        assert_eq!(find(&case, "p0", "Annotations/p0.xml"), Some(case[1]));
    }

    #[test]
    fn a_hundred_thousand_photos_of_one_name_are_found_at_once() {
        let names: Vec<String> = (0..100_000).map(|i| format!("{i}/images/a.jpg")).collect();
        let start = std::time::Instant::now();
        let matcher = PhotoMatcher::of(names.iter().map(String::as_str).enumerate());
        for i in 0..names.len() {
            let near = format!("{i}/labels/a.txt");
            assert_eq!(matcher.find("a", &near, None).id(), Some(i));
        }
        assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    }
}
