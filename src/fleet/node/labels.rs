//! A node's classes among the federation's: the union of all nodes' by name.

use crate::train::Records;
use anyhow::{Result, bail};

/// The places of the node's classes among the federation's.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassPlaces {
    /// The federation's, in order.
    pub names: Vec<String>,
    /// The place of each of the node's classes.
    places: Vec<usize>,
}

impl ClassPlaces {
    /// # Errors
    /// If the federation lacks a class of the node's, has one twice, or has none.
    pub fn new(own: &[String], federation: &[String]) -> Result<Self> {
        if federation.is_empty() {
            bail!("class-names: an empty list, expected the classes of all nodes");
        }
        for (i, name) in federation.iter().enumerate() {
            if name.trim().is_empty() || name.contains(['\n', '\r', '\0']) || federation[..i].contains(name) {
                bail!("class-names: {name:?} is empty, of several lines or there twice");
            }
        }
        let mut places = Vec::with_capacity(own.len());
        for name in own {
            let Some(place) = federation.iter().position(|n| n == name) else {
                bail!(
                    "class {name:?} of this node's photos is not among the federation's: {}\n\
                     help: add it to class-names on the server, or rename it in the labels",
                    federation.join(", ")
                );
            };
            places.push(place);
        }
        Ok(Self { names: federation.to_vec(), places })
    }

    /// The records with their classes counted as the federation does.
    pub fn records(&self, own: &Records) -> Records {
        if self.places.iter().enumerate().all(|(i, place)| i == *place) {
            return own.clone();
        }
        let places = self.places.clone();
        own.mapped(move |record| record.objects.iter_mut().for_each(|o| o.class = places[o.class]))
    }
}

/// Objects of each of `classes` classes that are trained on.
///
/// # Errors
/// If a record cannot be read.
pub fn count_objects(records: &Records, classes: usize) -> Result<Vec<u64>> {
    let mut counts = vec![0; classes];
    for i in 0..records.len() {
        records.get(i)?.objects.iter().filter(|o| !o.crowd).for_each(|o| counts[o.class] += 1);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn classes_are_joined_by_name() {
        let places = ClassPlaces::new(&names(&["dog", "cat"]), &names(&["bird", "cat", "dog"])).unwrap();
        assert_eq!(places.places, [2, 1]);
        let error = ClassPlaces::new(&names(&["fox"]), &names(&["cat"])).unwrap_err().to_string();
        assert!(error.contains("fox") && error.contains("help:"), "{error}");
        assert!(ClassPlaces::new(&names(&[]), &names(&["cat", "cat"])).is_err());
        assert!(ClassPlaces::new(&names(&[]), &[]).is_err());
    }
}
