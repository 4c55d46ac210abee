//! Byte-identical images, which must not stand on both sides of a split.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use sha2::{Digest, Sha256};

use super::annotation::Annotation;
use super::stored::StoredBytes;

/// Groups the images by content: every index once, groups and members in ascending order, most groups of one.
///
/// Only files of equal length are read. A file that cannot be read is a group of its own; decoding will report it.
pub fn groups(annotations: &[&Annotation]) -> Vec<Vec<usize>> {
    let mut by_length: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut groups = Vec::new();
    for (i, annotation) in annotations.iter().enumerate() {
        match annotation.stored.len() {
            Ok(len) => by_length.entry(len).or_default().push(i),
            Err(_) => groups.push(vec![i]),
        }
    }
    for members in by_length.into_values() {
        if members.len() == 1 {
            groups.push(members);
            continue;
        }
        let mut by_content: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        for i in members {
            match content_hash(annotations[i]) {
                Ok(hash) => by_content.entry(hash).or_default().push(i),
                Err(_) => groups.push(vec![i]),
            }
        }
        groups.extend(by_content.into_values());
    }
    groups.sort();
    groups
}

fn content_hash(annotation: &Annotation) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    match &annotation.stored {
        StoredBytes::Disk(path) => {
            io::copy(&mut File::open(path)?, &mut hasher)?;
        }
        other => hasher.update(other.read(u64::MAX)?),
    }
    Ok(hasher.finalize().into())
}
