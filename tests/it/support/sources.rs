//! The project's sources as text, and the imports that stand in them.

use std::fs;
use std::path::Path;

pub struct Source {
    /// Below `src`, without extension.
    pub path: String,
    pub text: String,
}

impl Source {
    /// The source without comments; strings stay.
    pub fn code(&self) -> String {
        // A colon before it makes `//` part of an address in a string.
        let comment = |l: &str| l.match_indices("//").map(|(at, _)| at).find(|&at| !l[..at].ends_with(':'));
        let line = |l: &'_ str| l[..comment(l).unwrap_or(l.len())].to_string();
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The code before the unit tests.
    pub fn shipped(&self) -> String {
        let code = self.code();
        let end = code.find("#[cfg(test)]").unwrap_or(code.len());
        code[..end].to_string()
    }

    pub fn layer(&self) -> &str {
        self.path.split('/').next().expect("split yields at least one part")
    }

    /// Modules between the file's own and the crate's root, counting both ends once.
    pub fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod").count()
    }

    /// True if the file is or lies in one of `places`.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

fn collect(folder: &Path, prefix: &str, all: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), all);
        } else if let Some(stem) = name.strip_suffix(".rs") {
            let text = fs::read_to_string(entry.path()).expect("sources are UTF-8");
            all.push(Source { path: format!("{prefix}{stem}"), text });
        }
    }
}

pub fn sources(folder: &str) -> Vec<Source> {
    let mut all = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut all);
    all.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(all.len() > 3, "{folder} is where the sources are");
    all
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The names that follow `root` in the code: `root::a::b` and each of `root::{a::b, c::{d, e}}`.
pub fn names_below<'a>(code: &'a str, root: &str) -> Vec<&'a str> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            all.push(first_word(rest));
            continue;
        };
        let (mut depth, mut starts) = (0, vec![0]);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts.push(i + 1),
                _ => {}
            }
        }
        all.extend(starts.into_iter().map(|i| first_word(group[i..].trim_start())).filter(|name| !name.is_empty()));
    }
    all
}

/// The names that follow a chain of at least `depth` times `super::`, which from there reaches the crate's root
/// (a longer one does from a module of tests).
pub fn names_above(code: &str, depth: usize) -> Vec<String> {
    let chain = "super::".repeat(depth);
    let mut code = code.to_string();
    while code.contains(&format!("{chain}super::")) {
        code = code.replace(&format!("{chain}super::"), &chain);
    }
    names_below(&code, &chain).into_iter().map(String::from).collect()
}

#[test]
fn imports_are_read_as_they_are_written() {
    let code = "use crate::a::B; use crate::{c::{d, e}, f}; g(crate::h::i); my_crate::j; use crate::{\n    k,\n};";
    assert_eq!(names_below(code, "crate::"), ["a", "c", "f", "h", "k"]);
    assert_eq!(
        names_above("use super::a; use super::super::{b, c::d}; use super::super::super::e;", 2),
        ["b", "c", "e"]
    );
    let source = Source { path: "x".into(), text: "let url = \"http://a\"; // crate::b\n//! crate::c".into() };
    assert_eq!(source.code(), "let url = \"http://a\"; \n");
}
