//! The names of a detector's classes: from the one who asks, from the file itself, or from a file beside it.
//!
//! A detector of another program seldom holds its class names. They are looked for in this order: what was given
//! (`--names`), the file itself, the record of kept weights, a file of labels beside the model. The count has to fit; names are never cut off or made up.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::WeightsError;
use super::labels::{self, MAX_BYTES, PLACEHOLDER};
use super::record::WeightsRecord;
use crate::interchange::Imported;

/// Names of files of labels beside a model `NAME.onnx`; `*` stands for `NAME`. The first that is there counts.
const BESIDE: [&str; 9] = [
    "*.labels.txt",
    "*_labels.txt",
    "*.txt",
    "*.pbtxt",
    "labels.txt",
    "labelmap.txt",
    "label_map.txt",
    "label_map.pbtxt",
    "labelmap.pbtxt",
];

/// Class names and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassNames {
    /// Name `i` is that of class column `i + 1`; [`PLACEHOLDER`] for a column without a meaning.
    pub names: Vec<String>,
    /// For a sentence, e.g. `labels.txt`.
    pub source: String,
}

/// The class names of the detector that was imported from `path`; `None` for a backbone, and where nothing names them.
///
/// `given` is a list (`cat,dog`) or a file of labels.
///
/// # Errors
/// If names were given or found but cannot be read, or their count is not the model's.
pub fn class_names(path: &Path, imported: &Imported, given: Option<&str>) -> Result<Option<ClassNames>, WeightsError> {
    let Some(columns) = imported.classes() else {
        return match given {
            Some(given) => Err(WeightsError::names(
                format!("--names {given}"),
                format!("class names for {}, a backbone without classes", path.display()),
                "a detector",
                "leave --names out",
            )),
            None => Ok(None),
        };
    };
    let classes = columns - 1;
    if let Some(given) = given {
        return read_given(given, path, classes).map(Some);
    }
    if let Some(names) = imported.class_names.clone() {
        return Ok(Some(ClassNames { names, source: "the file itself".into() }));
    }
    if let Some(names) = WeightsRecord::beside(path).and_then(|record| record.classes).filter(|n| n.len() == classes) {
        return Ok(Some(ClassNames { names, source: "the kept weights' record".into() }));
    }
    let Some(file) = beside(path) else { return Ok(None) };
    read_file(&file, path, classes).map(Some)
}

/// For each of `wanted`, the index of the known class of that name: as written, or where no class is written so, without
/// regard to upper and lower case.
pub fn match_names(wanted: &[String], known: &[String]) -> Vec<Option<usize>> {
    let find = |name: &String| {
        let exact = known.iter().position(|k| k == name);
        exact.or_else(|| known.iter().position(|k| k.to_lowercase() == name.to_lowercase()))
    };
    wanted.iter().map(|name| find(name).filter(|_| name != PLACEHOLDER)).collect()
}

/// Reads a file of labels.
///
/// # Errors
/// If it cannot be read, is too large, or is not a list of names.
pub(super) fn read_labels(file: &Path) -> Result<Vec<String>, WeightsError> {
    let refused = |found: String| {
        let help = "write one class name a line, in the order of the model's classes";
        WeightsError::names(file.display().to_string(), found, "class names", help)
    };
    let open = File::open(file).map_err(WeightsError::io(file, "read the class names"))?;
    let mut bytes = Vec::new();
    open.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(WeightsError::io(file, "read the class names"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused(format!("more than {MAX_BYTES} bytes")));
    }
    labels::parse(&bytes).map_err(refused)
}

/// Names out of a file, and of which file they are: what is said if they do not fit.
pub(super) fn fitted(
    names: Vec<String>,
    place: &str,
    model: &Path,
    classes: usize,
) -> Result<Vec<String>, WeightsError> {
    let found = labels::count(&names);
    labels::fit(names, classes).ok_or_else(|| {
        WeightsError::names(
            place,
            format!("{found} class names"),
            format!("{classes}, as many as {} has classes besides the background", model.display()),
            "give the names of the data that the model was trained on, by --names or in labels.txt beside it",
        )
    })
}

fn read_given(given: &str, model: &Path, classes: usize) -> Result<ClassNames, WeightsError> {
    let file = Path::new(given);
    if file.is_file() {
        return read_file(file, model, classes);
    }
    let is_path = given.contains(['/', '\\']) || [".txt", ".pbtxt", ".names"].iter().any(|end| given.ends_with(end));
    if is_path {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(WeightsError::io(file, "read the class names")(error));
    }
    let names: Vec<String> = given.split(',').map(|name| name.trim().to_string()).collect();
    if names.iter().any(String::is_empty) {
        let help = "write them as --names cat,dog, or name a file";
        return Err(WeightsError::names(format!("--names {given}"), "an empty name", "class names", help));
    }
    let names = fitted(names, "--names", model, classes)?;
    Ok(ClassNames { names, source: "--names".into() })
}

fn read_file(file: &Path, model: &Path, classes: usize) -> Result<ClassNames, WeightsError> {
    let place = file.display().to_string();
    let names = fitted(read_labels(file)?, &place, model, classes)?;
    Ok(ClassNames { names, source: place })
}

/// The file of labels beside a model.
fn beside(model: &Path) -> Option<PathBuf> {
    let stem = model.file_stem()?.to_str()?;
    let candidates = BESIDE.iter().map(|name| model.with_file_name(name.replace('*', stem)));
    candidates.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn names_match_as_written_before_they_match_in_any_case() {
        let known = strings(&["Cat", "cat", "DOG", "???"]);
        let wanted = strings(&["cat", "dog", "Cat", "CAT", "bird", "???"]);
        let expected = [Some(1), Some(2), Some(0), Some(0), None, None];
        assert_eq!(match_names(&wanted, &known), expected);
    }

    #[test]
    fn the_models_own_labels_come_before_the_folders() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("ssd.v2.onnx");
        assert_eq!(beside(&model), None);
        for name in ["labels.txt", "ssd.v2.txt"] {
            std::fs::write(dir.path().join(name), "cat").unwrap();
            assert_eq!(beside(&model), Some(dir.path().join(name)));
        }
    }

    #[test]
    fn what_is_given_is_a_list_or_a_file_and_both_counts_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (file, model) = (dir.path().join("own.txt"), Path::new("ssd.onnx"));
        std::fs::write(&file, "BACKGROUND\ncat\ndog\n").unwrap();
        let read = |given: &str, classes| read_given(given, model, classes);
        assert_eq!(read(file.to_str().unwrap(), 2).unwrap().names, ["cat", "dog"]);
        assert_eq!(read("cat, big dog", 2).unwrap().names, ["cat", "big dog"]);
        for (given, said) in [
            ("cat,dog,bird", "found 3 class names, expected 2, as many as ssd.onnx has"),
            ("cat,,dog", "an empty name"),
            ("none/such.txt", "none/such.txt: cannot read the class names"),
        ] {
            let error = read(given, 2).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("help:"), "{error}");
        }
        let error = read(file.to_str().unwrap(), 7).unwrap_err().to_string();
        assert!(error.contains("own.txt: found 2 class names, expected 7"), "{error}");
    }
}
