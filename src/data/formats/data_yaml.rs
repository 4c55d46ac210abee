//! The `data.yaml` of a YOLO data set: class names and where the images of each split are.
//!
//! Paths in it were right on the computer that wrote it. They are looked for inside the data set's folder only: under
//! `path`, beside the file and in the folders above it, and by ever shorter endings of the path, so that
//! `../train/images` finds `train/images`.

use std::path::{Path, PathBuf};

use yaml_rust2::scanner::{Scanner, TokenType};
use yaml_rust2::{Yaml, YamlLoader};

use super::super::annotation::FilePlace;
use super::super::error::DataError;
use super::super::finding::{FindingAction, FindingKind};
use super::super::folder::{FileEntry, Folder};
use super::super::labels::Labels;
use super::super::paths::{ancestors, join};
use super::super::roles::split_name;
use super::super::text::decode;
use super::class_list::{self, in_one_line};

/// Names of a thousand classes take a tenth of this.
const MAX_BYTES: usize = 1 << 20;
/// The parser recurses; no data set nests lists in lists in lists.
const MAX_DASHES: usize = 32;
/// Each alias is copied out where it stands, so that a few lines of aliases to aliases fill the memory.
const MAX_ALIASES: usize = 16;

/// The content of a data.yaml.
#[derive(Debug, Default, PartialEq)]
pub struct DataYaml {
    pub names: Vec<String>,
    /// The oddity of the names, if there is one.
    pub names_fault: Option<String>,
    /// The file that lists the names, where the YAML names one in their place.
    names_file: Option<String>,
    only_numbers: bool,
    base: String,
    /// Split name and its entries: folders, or files that list images.
    pub splits: Vec<(String, Vec<String>)>,
    /// Number of key points and of numbers for each, where the labels have them.
    pub key_points: Option<(usize, usize)>,
}

/// The target of an entry of a split.
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
    pub fn read(entry: &FileEntry) -> Result<Option<Self>, DataError> {
        let fault = |found: String| DataError::Label {
            place: FilePlace::file(&entry.name),
            found,
            expected: "YAML with names, train and val".into(),
            help: "see the data.yaml of any YOLO data set".into(),
        };
        let bytes = entry.read("read the file")?;
        if bytes.len() > MAX_BYTES {
            return Err(fault(format!("a file of {} bytes", bytes.len())));
        }
        let text = decode(&bytes).text;
        if text.lines().any(|l| l.split_whitespace().take_while(|t| matches!(*t, "-" | "?")).count() > MAX_DASHES) {
            return Err(fault("lists nested too deeply".into()));
        }
        let depth = |open: char, close: char| {
            let step = |d: (usize, usize), c: char| match c {
                c if c == open => (d.0 + 1, d.1.max(d.0 + 1)),
                c if c == close => (d.0.saturating_sub(1), d.1),
                _ => d,
            };
            text.chars().fold((0, 0), step).1
        };
        if depth('[', ']').max(depth('{', '}')) > MAX_DASHES {
            return Err(fault("lists nested too deeply".into()));
        }
        let aliases = Scanner::new(text.chars()).filter(|t| matches!(t.1, TokenType::Alias(_))).count();
        if aliases > MAX_ALIASES {
            return Err(fault(format!("{aliases} aliases (*name)")));
        }
        // Editors indent by tabs, which YAML forbids.
        let text = match text.lines().any(|l| l.starts_with('\t')) {
            true => text.lines().map(|l| format!("{}\n", tabs_as_spaces(l))).collect(),
            false => text,
        };
        let documents = YamlLoader::load_from_str(&text).map_err(|e| fault(e.to_string()))?;
        Ok(documents.first().and_then(Self::from_yaml))
    }

    /// How much the file says of a data set: names before mere numbers, with splits before without.
    pub fn merit(&self) -> usize {
        2 * usize::from(!self.only_numbers) + usize::from(!self.splits.is_empty())
    }

    fn from_yaml(yaml: &Yaml) -> Option<Self> {
        let count = yaml["nc"].as_i64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 10_000);
        let mut names = class_names(&yaml["names"]);
        let names_file = match &yaml["names"] {
            Yaml::String(text) if names.is_empty() => Some(text.replace('\\', "/")),
            _ => None,
        };
        let only_numbers = names.is_empty() && names_file.is_none();
        let names_fault = match (names.len(), count) {
            (0, None) if names_file.is_none() => return None,
            (0, None) => None,
            (0, Some(n)) => {
                names = (0..n).map(|i| format!("class {i}")).collect();
                names_file.is_none().then(|| "no names, only nc".to_string())
            }
            (n, Some(nc)) if n != nc => Some(format!("nc is {nc}, but there are {n} names")),
            _ => None,
        };
        let entries = |key: &str| match &yaml[key] {
            Yaml::String(s) => vec![s.clone()],
            Yaml::Array(a) => a.iter().filter_map(|y| y.as_str().map(str::to_string)).collect(),
            _ => vec![],
        };
        let mut splits: Vec<(String, Vec<String>)> = Vec::new();
        for key in ["train", "training", "val", "valid", "validation", "eval", "dev", "test"] {
            let Some(split) = split_name(key) else { continue };
            let found = entries(key);
            if !found.is_empty() && splits.iter().all(|(name, _)| name != split) {
                splits.push((split.to_string(), found));
            }
        }
        if names.is_empty() && splits.is_empty() {
            // Some other tool's `names: text`.
            return None;
        }
        let base = yaml["path"].as_str().unwrap_or_default().replace('\\', "/");
        let shape = yaml["kpt_shape"].as_vec().map(|v| v.iter().filter_map(Yaml::as_i64).collect::<Vec<_>>());
        let key_points = match shape.as_deref() {
            Some(&[count @ 1..=1000, numbers @ 2..=3]) => Some((count as usize, numbers as usize)),
            _ => None,
        };
        Some(Self { names, names_fault, names_file, only_numbers, base, splits, key_points })
    }

    /// The class names, those of a file where the YAML names one (`names: obj.names`). A text that leads to no file is the
    /// only class.
    ///
    /// # Errors
    /// If that file cannot be read.
    pub fn names_from(&self, folder: &Folder, near: &str, labels: &mut Labels) -> Result<Vec<String>, DataError> {
        let Some(name) = &self.names_file else { return Ok(self.names.clone()) };
        match ancestors(near).find_map(|from| folder.entry(&join(from, name))) {
            Some(entry) => class_list::names_in(entry, labels),
            None if name.contains('.') => {
                let fault = format!("the names are in {name:?}, which is not there");
                labels.findings.note(FindingKind::ClassNames, FilePlace::file(near), FindingAction::Kept, fault);
                Ok(self.names.clone())
            }
            None => Ok(vec![name.clone()]),
        }
    }

    /// True if the training images lie beside the folder of the file: `../train/images` was written for that.
    pub fn leads_above(&self) -> bool {
        self.splits.iter().flat_map(|(_, e)| e).any(|e| e.starts_with("../") || e.starts_with("..\\"))
    }

    /// True if any entry leads to a folder or list that is there, seen from `near`.
    pub fn leads_inside(&self, folder: &Folder, near: &str) -> bool {
        let straight = |e: &String| !e.starts_with("..") || at(folder, &join(near, e)).is_some();
        let mut entries = self.splits.iter().flat_map(|(_, e)| e);
        entries.any(|e| straight(e) && self.resolve(folder, near, e).is_some())
    }

    /// An absolute folder on this computer that the file names as its base; only a folder of its own counts, never a
    /// place of the system's.
    pub fn absolute_base(&self) -> Option<PathBuf> {
        let base = Path::new(&self.base);
        let depth = base.components().count();
        let system = ["/etc", "/proc", "/sys", "/dev", "/usr", "/bin", "/lib", "/var", "/boot", "/run", "/root"];
        let elsewhere = base.is_absolute() && depth > 2 && !system.iter().any(|s| base.starts_with(s));
        let holds = |e: &String| !Path::new(e).is_absolute() && base.join(e).is_dir();
        (elsewhere && self.splits.iter().flat_map(|(_, e)| e).any(holds)).then(|| base.into())
    }

    /// Finds one entry of a split; `near` is the folder of the data.yaml relative to the root.
    pub fn resolve(&self, folder: &Folder, near: &str, entry: &str) -> Option<Resolved> {
        let entry = entry.replace('\\', "/");
        if let Some(inside) = Path::new(&entry).strip_prefix(&folder.root).ok().and_then(Path::to_str)
            && Path::new(&entry).is_absolute()
        {
            return at(folder, inside);
        }
        // From the file's own folder upwards: some tools write paths from the root of the project.
        let above = ancestors(near).flat_map(|from| [join(from, &join(&self.base, &entry)), join(from, &entry)]);
        let plain = |path: &String| !entry.starts_with('/') && !path.is_empty() || entry == "." || entry == "./";
        let found = above.filter(plain).find_map(|path| at(folder, &path));
        found.or_else(|| {
            let parts: Vec<&str> = entry.split('/').filter(|p| !matches!(*p, "" | "." | "..")).collect();
            (0..parts.len()).find_map(|skip| {
                let ending = parts[skip..].join("/");
                ancestors(near).find_map(|from| at(folder, &join(from, &ending)))
            })
        })
    }
}

fn tabs_as_spaces(line: &str) -> String {
    let rest = line.trim_start_matches('\t');
    "  ".repeat(line.len() - rest.len()) + rest
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
        // One text for all names; one without a comma is the name of a file, or of the only class.
        Yaml::String(text) if text.contains(',') => in_one_line(text),
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
        // `- 0: cat` is a name with its number before it.
        Yaml::Hash(map) if map.len() == 1 => map.values().next().map(scalar).unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        for text in ["names: cat, dog", "names: \"['cat', 'dog']\"", "names:\n  - 0: cat\n  - 1: dog"] {
            assert_eq!(parse(text).expect("names").names, ["cat", "dog"], "{text}");
        }
        let listed = parse("names: obj.names\nnc: 2\ntrain: x").expect("a file of names");
        assert_eq!((listed.names_file.as_deref(), listed.names_fault), (Some("obj.names"), None));
        assert_eq!(parse("names: somebody"), None);
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
        let laughs = "a: &a [x,x]\n".to_string() + &"b: [*a,*a,*a]\n".repeat(9) + "names: [a]\n";
        for (text, fault) in [
            ("- ".repeat(100_000), "lists nested too deeply"),
            ("[".repeat(100_000), "lists nested too deeply"),
            ("names: [a, b\ntrain: }".to_string(), "expected YAML with names, train and val"),
            (laughs, "27 aliases"),
        ] {
            let dir = tempfile::tempdir().expect("temporary folder");
            fs::write(dir.path().join("data.yaml"), &text).expect("writes");
            let folder = Folder::list(dir.path()).expect("lists");
            let error = DataYaml::read(&folder.entries()[0]).expect_err("unusable").to_string();
            assert!(error.contains(fault), "{error}");
        }
    }
}
