//! Folders of pictures that are made from the photos: masks, depth maps, previews.

use std::collections::{BTreeMap, HashSet};

use super::entry::FileEntry;
use super::folder::Folder;
use super::kinship::is_derived;
use super::paths::{extension_of, file_name, folded, parent, stem};

/// The pictures of folders without any labelled photo, of which (nearly) each has the name of a labelled photo
/// elsewhere; by folder. The folder's name must say what it holds, or the pictures be of another format: cameras count
/// their photos alike.
pub fn beside<'a>(folder: &'a Folder, is_labelled: &dyn Fn(&FileEntry) -> bool) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut labelled: HashSet<String> = HashSet::new();
    let mut extensions: HashSet<String> = HashSet::new();
    let mut by_folder: BTreeMap<&str, (Vec<&str>, usize)> = BTreeMap::new();
    for entry in folder.images() {
        let (unlabelled, with_labels) = by_folder.entry(parent(&entry.name)).or_default();
        if is_labelled(entry) {
            *with_labels += 1;
            labelled.insert(folded(stem(&entry.name)).into_owned());
            extensions.insert(extension_of(&entry.name).to_ascii_lowercase());
        } else {
            unlabelled.push(&entry.name);
        }
    }
    let is_mask = |folder: &str, pictures: &[&str], with_labels: usize| {
        let twins = pictures.iter().filter(|n| labelled.contains(folded(stem(n)).as_ref())).count();
        let other = pictures.iter().all(|n| !extensions.contains(&extension_of(n).to_ascii_lowercase()));
        let named = folder.split('/').any(is_derived);
        with_labels == 0
            && twins > 0
            && twins * 10 >= pictures.len() * 9
            && (named || other && !file_name(folder).is_empty())
    };
    let masks = by_folder.into_iter().filter(|(folder, (pictures, n))| is_mask(folder, pictures, *n));
    masks.map(|(folder, (pictures, _))| (folder, pictures)).collect()
}
