//! The layers of ARCHITECTURE.md and the rules of style that a machine can check, against the source as it is.
//!
//! Documentation may link anywhere, so comments do not count.

use std::fs;
use std::path::Path;

/// What each layer may import from the crate, besides itself. `main` and the crate root stand above the table.
const LAYERS: [(&str, &[&str]); 16] = [
    ("board", &[]),
    ("boxes", &[]),
    ("watchdog", &[]),
    ("kernel", &[]),
    ("ops", &["kernel"]),
    ("data", &["boxes"]),
    ("loss", &["boxes"]),
    ("optim", &["kernel"]),
    ("model", &["ops", "kernel"]),
    ("onnx", &["model", "boxes"]),
    ("eval", &["boxes", "data"]),
    ("report", &["boxes", "data", "eval"]),
    ("train", &["board", "boxes", "data", "eval", "kernel", "loss", "model", "onnx", "ops", "optim", "watchdog"]),
    ("config", &["data", "loss", "optim", "train", "watchdog"]),
    (
        "cli",
        &[
            "board", "boxes", "config", "data", "eval", "kernel", "loss", "model", "onnx", "ops", "optim", "report",
            "train", "watchdog",
        ],
    ),
    ("main", &["cli"]),
];

/// What stands in few places only: the word, the paths it may stand in, and why.
const CONFINED: [(&str, &[&str], &str); 7] = [
    ("target_arch", &["kernel/isa"], "one generic source; only the instruction sets differ"),
    ("target_feature", &["kernel/isa"], "one generic source; only the instruction sets differ"),
    ("_feature_detected!", &["kernel/isa"], "the processor is asked in one place"),
    ("arch::", &["kernel/isa"], "no intrinsics outside the instruction sets"),
    ("Mmap", &["data/pack/reader"], "only the pack reader maps files"),
    (
        "unsafe",
        &["kernel/", "data/pack/reader", "cli/process", "board/memory", "board/storage"],
        "unsafe lives in one folder and explains itself",
    ),
    ("burn::backend", &["ops/"], "the backend is named in one folder"),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"];

const LONGEST_FILE: usize = 400;

struct Source {
    /// Below `src`, without extension.
    path: String,
    text: String,
}

impl Source {
    /// The source without comments; strings stay.
    fn code(&self) -> String {
        // A colon before it makes `//` part of an address in a string.
        let comment = |l: &str| l.match_indices("//").map(|(at, _)| at).find(|&at| !l[..at].ends_with(':'));
        let line = |l: &'_ str| l[..comment(l).unwrap_or(l.len())].to_string();
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The code before the unit tests.
    fn shipped(&self) -> String {
        let code = self.code();
        let end = code.find("#[cfg(test)]").unwrap_or(code.len());
        code[..end].to_string()
    }

    fn layer(&self) -> &str {
        self.path.split('/').next().expect("split yields at least one part")
    }

    /// Modules between the file's own and the crate's root, counting both ends once.
    fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod").count()
    }

    /// Whether the file is or lies in one of `places`.
    fn is_in(&self, places: &[&str]) -> bool {
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

fn sources(folder: &str) -> Vec<Source> {
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
fn names_below<'a>(code: &'a str, root: &str) -> Vec<&'a str> {
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
fn names_above(code: &str, depth: usize) -> Vec<String> {
    let chain = "super::".repeat(depth);
    let mut code = code.to_string();
    while code.contains(&format!("{chain}super::")) {
        code = code.replace(&format!("{chain}super::"), &chain);
    }
    names_below(&code, &chain).into_iter().map(String::from).collect()
}

#[test]
fn imports_only_go_down() {
    let layers: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let layer = source.layer();
        if source.path == "lib" {
            continue;
        }
        let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: `{layer}` has no place in the table of layers", source.path));
            continue;
        };
        let code = source.code();
        let above = names_above(&code, source.depth());
        let mut imports = names_below(&code, "crate::");
        imports.extend(names_below(&code, "fieldtune::"));
        imports.extend(above.iter().map(String::as_str).filter(|name| layers.contains(name)));
        for import in imports {
            if layers.contains(&import) && import != layer && !below.contains(&import) {
                wrong.push(format!("{}: imports {import}, but {layer} may only use {below:?}", source.path));
            } else if !layers.contains(&import) && layer != "main" {
                wrong.push(format!(
                    "{}: imports `{import}` from the crate's root, which holds layers only",
                    source.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_confined_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let code = source.code();
        for (word, places, why) in CONFINED {
            if code.contains(word) && !source.is_in(places) {
                wrong.push(format!("{}: `{word}` belongs into {places:?}: {why}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_unsafe_block_explains_itself() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let lines: Vec<&str> = source.text.lines().map(str::trim_start).collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().expect("split yields at least one part");
            if !code.contains("unsafe {") {
                continue;
            }
            let before = lines[..i].iter().rev().take_while(|l| l.starts_with("//"));
            if !before.into_iter().any(|l| l.starts_with("// SAFETY:")) {
                wrong.push(format!("{}:{}: unsafe without a SAFETY comment above it", source.path, i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_world_returns_errors_and_nothing_is_left_undone() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let shipped = source.shipped();
        for (i, line) in shipped.lines().enumerate() {
            for word in [".unwrap()", "todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(word) {
                    wrong.push(format!("{}:{}: {word}", source.path, i + 1));
                }
            }
        }
        let tests = source.code()[shipped.len()..].to_string();
        if !tests.is_empty() && !tests.contains("mod tests {") {
            wrong.push(format!("{}: what is for tests alone stands in `mod tests` at the end", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_named_after_a_noun_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests/it")) {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines, at most {LONGEST_FILE}", source.path));
        }
        if source.path.split('/').any(|part| EMPTY_NAMES.contains(&part)) {
            wrong.push(format!("{}: the name says nothing; name the noun", source.path));
        }
        if !source.text.starts_with("//!") {
            wrong.push(format!("{}: no header that says what it is", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
