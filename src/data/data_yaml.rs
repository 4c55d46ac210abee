//! The `data.yaml` of a YOLO data set: class names and where the images of each split are.
//!
//! Paths in it were right on the computer that wrote it. They are looked for, in this order: under `path`, beside the
//! file, and by ever shorter endings of the path, so that `../train/images` finds `train/images`.

use std::fs;
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

use super::annotation::Place;
use super::error::DataError;
use super::folder::{Folder, join};

/// Names of a thousand classes take a tenth of this.
const MAX_BYTES: u64 = 1 << 20;
/// The parser recurses; no data set nests lists in lists in lists.
const MAX_DASHES: usize = 32;

/// The content of a data.yaml.
#[derive(Debug, Default, PartialEq)]
pub struct DataYaml {
    pub names: Vec<String>,
    /// What is odd about the names, if anything.
    pub names_fault: Option<String>,
    base: String,
    /// Split name and its entries: folders, or files that list images.
    pub splits: Vec<(String, Vec<String>)>,
}

/// Where an entry of a split leads.
#[derive(Debug, PartialEq)]
pub enum Resolved {
    /// A folder relative to the root, empty for the root itself.
    Folder(String),
    /// A text file that lists images, relative to the root.
    List(String),
}

impl DataYaml {
    /// Reads the file; `None` if it is YAML of another purpose.
    ///
    /// # Errors
    /// If it cannot be read or is not YAML.
    pub fn read(path: &Path) -> Result<Option<Self>, DataError> {
        let fault = |found: String| DataError::Label {
            place: Place::file(path.display().to_string()),
            found,
            expected: "YAML with names, train and val".into(),
            help: "see the data.yaml of any YOLO data set".into(),
        };
        let size = fs::metadata(path).map_err(DataError::io(path, "read the file"))?.len();
        if size > MAX_BYTES {
            return Err(fault(format!("a file of {size} bytes")));
        }
        let bytes = fs::read(path).map_err(DataError::io(path, "read the file"))?;
        let text = String::from_utf8(bytes).map_err(|_| fault("text that is not UTF-8".into()))?;
        let text = text.trim_start_matches('\u{feff}');
        if text.lines().any(|l| l.split_whitespace().take_while(|t| matches!(*t, "-" | "?")).count() > MAX_DASHES) {
            return Err(fault("lists nested too deeply".into()));
        }
        let documents = YamlLoader::load_from_str(text).map_err(|e| fault(e.to_string()))?;
        Ok(documents.first().and_then(Self::from_yaml))
    }

    fn from_yaml(yaml: &Yaml) -> Option<Self> {
        let count = yaml["nc"].as_i64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 10_000);
        let mut names = class_names(&yaml["names"]);
        let names_fault = match (names.len(), count) {
            (0, None) => return None,
            (0, Some(n)) => {
                names = (0..n).map(|i| format!("class {i}")).collect();
                Some("no names, only nc".to_string())
            }
            (n, Some(nc)) if n != nc => Some(format!("nc is {nc}, but there are {n} names")),
            _ => None,
        };
        let entries = |key: &str| match &yaml[key] {
            Yaml::String(s) => vec![s.clone()],
            Yaml::Array(a) => a.iter().filter_map(|y| y.as_str().map(str::to_string)).collect(),
            _ => vec![],
        };
        let mut splits = Vec::new();
        for (split, keys) in
            [("train", vec!["train"]), ("val", vec!["val", "valid", "validation"]), ("test", vec!["test"])]
        {
            if let Some(found) = keys.into_iter().map(entries).find(|e| !e.is_empty()) {
                splits.push((split.to_string(), found));
            }
        }
        let base = yaml["path"].as_str().unwrap_or_default().replace('\\', "/");
        Some(Self { names, names_fault, base, splits })
    }

    /// The folder to list: the one under which the training images are, given where the file itself is.
    pub fn root(&self, yaml: &Path) -> PathBuf {
        let dir = yaml.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let entries = || self.splits.iter().flat_map(|(_, e)| e);
        let under = |root: &Path| entries().any(|e| root.join(e).exists());
        let based = dir.join(&self.base);
        if based.is_dir() && under(&based) {
            // `path: .` and a path below stay inside the listed folder; only one leading elsewhere moves the root.
            return if Path::new(&self.base).is_absolute() || self.base.starts_with("..") { based } else { dir.into() };
        }
        let outside = entries().any(|e| e.starts_with("../") && dir.join(e).exists());
        match dir.canonicalize().ok().and_then(|d| d.parent().map(Path::to_path_buf)) {
            Some(above) if outside => above,
            _ => dir.into(),
        }
    }

    /// Finds one entry of a split; `near` is the folder of the data.yaml relative to the root.
    pub fn resolve(&self, folder: &Folder, near: &str, entry: &str) -> Option<Resolved> {
        let entry = entry.replace('\\', "/");
        if let Some(inside) = Path::new(&entry).strip_prefix(&folder.root).ok().and_then(Path::to_str)
            && Path::new(&entry).is_absolute()
        {
            return at(folder, inside);
        }
        let based = join(near, &join(&self.base, &entry));
        at(folder, &based).or_else(|| at(folder, &join(near, &entry))).or_else(|| {
            let parts: Vec<&str> = entry.split('/').filter(|p| !matches!(*p, "" | "." | "..")).collect();
            (0..parts.len()).find_map(|skip| {
                let ending = parts[skip..].join("/");
                at(folder, &join(near, &ending)).or_else(|| at(folder, &ending))
            })
        })
    }
}

fn at(folder: &Folder, name: &str) -> Option<Resolved> {
    if name.is_empty() || folder.has_folder(name) {
        return Some(Resolved::Folder(name.to_string()));
    }
    folder.entry(name).map(|e| Resolved::List(e.name.clone()))
}

/// Names as a list, or as a map from class id; ids left out of a map get a name that says so.
fn class_names(yaml: &Yaml) -> Vec<String> {
    match yaml {
        Yaml::Array(list) => list.iter().map(scalar).collect(),
        Yaml::Hash(map) => {
            let by_id = |(k, v): (&Yaml, &Yaml)| {
                let id = k.as_i64().or_else(|| k.as_str().and_then(|s| s.parse().ok()))?;
                Some((usize::try_from(id).ok().filter(|&id| id < 10_000)?, scalar(v)))
            };
            let mut names = Vec::new();
            for (id, name) in map.iter().filter_map(by_id) {
                while names.len() <= id {
                    names.push(format!("class {}", names.len()));
                }
                names[id] = name;
            }
            names
        }
        _ => vec![],
    }
}

fn scalar(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(s) | Yaml::Real(s) => s.trim().to_string(),
        Yaml::Integer(i) => i.to_string(),
        // An unquoted `no` or `y` is a name here.
        Yaml::Boolean(b) => b.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<DataYaml> {
        DataYaml::from_yaml(&YamlLoader::load_from_str(text).expect("is YAML")[0])
    }

    #[test]
    fn names_come_as_list_or_map() {
        assert_eq!(parse("names: [cat, 7, 'dog']").expect("names").names, ["cat", "7", "dog"]);
        assert_eq!(parse("names:\n  0: cat\n  2: dog").expect("names").names, ["cat", "class 1", "dog"]);
        let counted = parse("nc: 2\ntrain: x").expect("nc");
        assert_eq!(
            (counted.names, counted.names_fault.as_deref()),
            (vec!["class 0".into(), "class 1".into()], Some("no names, only nc"))
        );
        assert_eq!(
            parse("names: [a]\nnc: 3").expect("names").names_fault.as_deref(),
            Some("nc is 3, but there are 1 names")
        );
        assert_eq!(parse("version: 3"), None);
    }

    #[test]
    fn paths_that_do_not_resolve_are_found_by_their_ending() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for folder in ["train/images", "valid/images"] {
            fs::create_dir_all(dir.path().join(folder)).expect("creates");
            fs::write(dir.path().join(folder).join("1.jpg"), "").expect("writes");
        }
        fs::write(dir.path().join("list.txt"), "").expect("writes");
        let folder = Folder::list(dir.path()).expect("lists");
        let yaml = parse("path: ../datasets/x\ntrain: ../train/images\nval: valid/images\nnames: [a]").expect("names");
        for (entry, found) in [
            ("../train/images", Some(Resolved::Folder("train/images".into()))),
            ("/content/x/valid/images", Some(Resolved::Folder("valid/images".into()))),
            ("./list.txt", Some(Resolved::List("list.txt".into()))),
            ("nowhere/at/all", None),
        ] {
            assert_eq!(yaml.resolve(&folder, "", entry), found, "{entry}");
        }
    }

    #[test]
    fn nested_and_huge_files_are_refused() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("data.yaml");
        fs::write(&path, "- ".repeat(100_000)).expect("writes");
        let text = DataYaml::read(&path).expect_err("nested").to_string();
        assert!(text.contains("lists nested too deeply"), "{text}");
        fs::write(&path, "names: [a, b\ntrain: }").expect("writes");
        let text = DataYaml::read(&path).expect_err("no YAML").to_string();
        assert!(text.contains("expected YAML with names, train and val"), "{text}");
    }
}
