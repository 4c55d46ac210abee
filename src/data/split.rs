//! Splits: the images for training and those for judging.
//!
//! A split given with the data is honoured; a test split stays a test, and is neither trained on nor used to choose an
//! epoch. Where nothing is given to validate by, a seeded share of the images is held back: byte-identical
//! images stay on one side, every class is held back in proportion, and an image keeps its side when others are added
//! (its place in the order is a hash of seed and name, not a draw).

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::annotation::Annotation;
use super::roles::split_name;
use super::twins;

/// A named part of a data set; parts may overlap (trainval holds train and val).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitList {
    pub name: String,
    /// Indices of annotations, ascending.
    pub members: Vec<usize>,
}

/// How to hold images back where no split is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitOptions {
    /// Share of the images for validation, in `[0, 1)`.
    pub val_share: f64,
    pub seed: u64,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { val_share: 0.2, seed: 0 }
    }
}

/// The names of the splits that training and validation use unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    pub train: String,
    /// `None` where nothing is held back.
    pub val: Option<String>,
}

impl Roles {
    /// Chooses among split names: train before trainval before any other; test never validates.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Roles> {
        let names: Vec<&str> = names.into_iter().collect();
        let first = |role: &str| names.iter().find(|n| split_name(n) == Some(role));
        let other = || names.iter().find(|n| !is_evaluation(n));
        let train = first("train").or_else(|| first("trainval")).or_else(other)?;
        let val = first("val");
        Some(Roles { train: train.to_string(), val: val.map(|v| v.to_string()) })
    }
}

/// True if images of this split must not be trained on.
pub fn is_evaluation(split: &str) -> bool {
    matches!(split_name(split), Some("val" | "test"))
}

/// The split that a name means: exactly, or as another word for it (`valid` for `val`).
pub fn find<'a>(names: impl IntoIterator<Item = &'a str>, wanted: &str) -> Option<usize> {
    let names: Vec<&str> = names.into_iter().collect();
    let exact = names.iter().position(|n| *n == wanted);
    exact.or_else(|| {
        let meant = split_name(wanted)?;
        names.iter().position(|n| split_name(n) == Some(meant))
    })
}

/// The given splits, completed so that there is one to train on and one to judge by.
pub fn complete(annotations: &[Annotation], given: &[SplitList], options: &SplitOptions) -> Vec<SplitList> {
    let mut splits: Vec<SplitList> = given.iter().filter(|s| !s.members.is_empty()).cloned().collect();
    let names = || splits.iter().map(|s| s.name.as_str());
    let validation = names().any(|n| split_name(n) == Some("val"));
    let training = names().any(|n| !is_evaluation(n));
    if names().any(is_evaluation) && !training {
        let listed = |i: &usize| splits.iter().any(|s| s.members.binary_search(i).is_ok());
        let rest: Vec<usize> = (0..annotations.len()).filter(|i| !listed(i)).collect();
        if !rest.is_empty() {
            splits.push(SplitList { name: "train".into(), members: rest });
            return match validation {
                true => sorted(splits),
                false => complete(annotations, &splits, options),
            };
        }
    }
    if !(validation && training) {
        let pool = match Roles::of(names()) {
            Some(roles) => splits.iter().find(|s| s.name == roles.train).map(|s| s.members.clone()),
            None => None,
        };
        let listed = |i: &usize| splits.iter().any(|s| is_evaluation(&s.name) && s.members.binary_search(i).is_ok());
        let pool = pool.unwrap_or_else(|| {
            // A set of nothing but a test: what else could be trained on?
            let rest: Vec<usize> = (0..annotations.len()).filter(|i| !listed(i)).collect();
            if rest.is_empty() { (0..annotations.len()).collect() } else { rest }
        });
        let (train, val) = hold_back(annotations, &pool, options);
        splits.retain(|s| !matches!(s.name.as_str(), "train" | "val"));
        splits.push(SplitList { name: "train".into(), members: train });
        if !val.is_empty() {
            splits.push(SplitList { name: "val".into(), members: val });
        }
    }
    sorted(splits)
}

fn sorted(mut splits: Vec<SplitList>) -> Vec<SplitList> {
    splits.sort_by(|a, b| a.name.cmp(&b.name));
    splits
}

/// A group of identical images behind the hash that gives it its place.
type Ordered = ([u8; 32], Vec<usize>);

/// Divides `pool` into training and validation members.
fn hold_back(annotations: &[Annotation], pool: &[usize], options: &SplitOptions) -> (Vec<usize>, Vec<usize>) {
    let pooled: Vec<&Annotation> = pool.iter().map(|&i| &annotations[i]).collect();
    let mut class_counts: HashMap<&str, usize> = HashMap::new();
    for object in pooled.iter().flat_map(|a| &a.objects) {
        *class_counts.entry(&object.class).or_default() += 1;
    }
    // Strata by the rarest class of a group, so that rare classes are held back in proportion as well.
    let mut strata: BTreeMap<(usize, &str), Vec<Ordered>> = BTreeMap::new();
    for group in twins::groups(&pooled) {
        let classes = group.iter().flat_map(|&i| &pooled[i].objects).map(|o| o.class.as_str());
        let rarest = classes.map(|c| (class_counts[c], c)).min().unwrap_or((usize::MAX, ""));
        let hash = Sha256::new().chain_update(options.seed.to_le_bytes()).chain_update(&pooled[group[0]].source);
        strata.entry(rarest).or_default().push((hash.finalize().into(), group));
    }
    let share = options.val_share.clamp(0.0, 1.0);
    let (mut train, mut val) = (Vec::new(), Vec::new());
    let mut owed = 0.0;
    for mut groups in strata.into_values() {
        groups.sort();
        for (_, group) in groups {
            owed += share * group.len() as f64;
            // A group goes over when at least half of it is owed.
            if owed >= group.len() as f64 * 0.5 && share > 0.0 {
                owed -= group.len() as f64;
                val.extend(group);
            } else {
                train.extend(group);
            }
        }
    }
    let back = |mut members: Vec<usize>| {
        members.sort_unstable();
        members.into_iter().map(|i| pool[i]).collect::<Vec<usize>>()
    };
    (back(train), back(val))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::annotation::{FilePlace, RawObject, Units};
    use crate::data::entry::FileEntry;
    use crate::data::stored::StoredBytes;

    fn annotations(dir: &std::path::Path, contents: &[(&str, &str)]) -> Vec<Annotation> {
        let one = |(i, (content, class)): (usize, &(&str, &str))| {
            let source = format!("{i}.jpg");
            std::fs::write(dir.join(&source), content).expect("writes");
            let object = RawObject::new(*class, [0.0; 4], FilePlace::file(&source));
            let image = FileEntry { name: source, id: i, stored: StoredBytes::Disk(dir.join(format!("{i}.jpg"))) };
            let annotation = Annotation::new(&image, Units::Pixels, FilePlace::file(&image.name));
            Annotation { objects: vec![object], ..annotation }
        };
        contents.iter().enumerate().map(one).collect()
    }

    fn split(name: &str, members: &[usize]) -> SplitList {
        SplitList { name: name.into(), members: members.to_vec() }
    }

    #[test]
    fn twins_stay_together_and_every_class_is_held_back() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let texts: Vec<String> = (0..100).map(|i| format!("{:03}", if i % 10 == 1 { i - 1 } else { i })).collect();
        let contents: Vec<(&str, &str)> =
            texts.iter().enumerate().map(|(i, t)| (t.as_str(), if i % 10 < 2 { "rare" } else { "common" })).collect();
        let all = annotations(dir.path(), &contents);
        for seed in 0..5 {
            let splits = complete(&all, &[], &SplitOptions { val_share: 0.2, seed });
            let [train, val] = splits.as_slice() else { panic!("{splits:?}") };
            assert_eq!((train.name.as_str(), val.name.as_str()), ("train", "val"));
            assert!((18..=22).contains(&val.members.len()), "{}", val.members.len());
            assert_eq!(train.members.len() + val.members.len(), 100);
            for twin in (1..100).step_by(10) {
                assert_eq!(val.members.contains(&twin), val.members.contains(&(twin - 1)));
            }
            assert!(val.members.iter().any(|i| i % 10 < 2));
        }
        let other = complete(&all, &[], &SplitOptions { val_share: 0.2, seed: 9 });
        assert_ne!(other, complete(&all, &[], &SplitOptions::default()));
    }

    #[test]
    fn given_splits_are_honoured_and_completed() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let texts: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let all = annotations(dir.path(), &texts.iter().map(|t| (t.as_str(), "a")).collect::<Vec<_>>());
        let options = SplitOptions::default();
        let given = [split("test", &[0, 1]), split("train", &[2, 3]), split("val", &[4])];
        assert_eq!(complete(&all, &given, &options), given);
        // A test stays a test: what is validated by is held back from training.
        for given in
            [&[split("test", &[0, 1])][..], &[split("test", &[0, 1]), split("train", &[2, 3, 4, 5, 6, 7, 8, 9])]]
        {
            let completed = complete(&all, given, &options);
            let sizes: Vec<_> = completed.iter().map(|s| (s.name.as_str(), s.members.len())).collect();
            assert_eq!(sizes, [("test", 2), ("train", 6), ("val", 2)]);
            assert_eq!(completed[0].members, [0, 1]);
        }
        let completed = complete(&all, &[split("val", &[0, 1])], &options);
        assert_eq!(completed, [split("train", &[2, 3, 4, 5, 6, 7, 8, 9]), split("val", &[0, 1])]);
        let completed = complete(&all, &[split("default", &[0, 1, 2, 3, 4])], &options);
        let names: Vec<_> = completed.iter().map(|s| (s.name.as_str(), s.members.len())).collect();
        assert_eq!(names, [("default", 5), ("train", 4), ("val", 1)]);
    }

    #[test]
    fn roles_prefer_the_narrow_names() {
        let roles = |names: &[&str]| Roles::of(names.iter().copied()).map(|r| (r.train, r.val.unwrap_or_default()));
        let expect = |train: &str, val: &str| Some((train.to_string(), val.to_string()));
        assert_eq!(roles(&["test", "train", "trainval", "val"]), expect("train", "val"));
        assert_eq!(roles(&["test", "trainval"]), expect("trainval", ""));
        assert_eq!(roles(&["train", "valid"]), expect("train", "valid"));
        assert_eq!(roles(&["default"]), expect("default", ""));
        assert_eq!(roles(&["val"]), None);
        assert_eq!(find(["train", "valid"], "val"), Some(1));
    }
}
