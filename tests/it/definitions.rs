//! Definitions: the name of a type means one thing in the whole tree, and a function is short enough to be read at once.

use crate::sources::{Source, sources};
use std::collections::BTreeMap;

/// Lines of the longest function; a table that is written as one function may have more.
const LONGEST_FUNCTION: usize = 80;

/// Functions that are tables: a row a case.
const TABLES: [&str; 2] = ["damaged_models_are_refused_with_the_place", "each_format_gives_the_same_boxes"];

/// Words before the one that says what is defined.
fn after_qualifiers(line: &str) -> &str {
    let mut rest = line;
    loop {
        let before = rest;
        for word in ["pub ", "unsafe ", "const ", "async ", "extern \"C\" "] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if let Some((_, after)) = rest.strip_prefix("pub(").and_then(|r| r.split_once(") ")) {
            rest = after;
        }
        if rest == before {
            return rest;
        }
    }
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The types that a file defines. A `type` inside of a block is a trait's or an implementation's, and has its name.
fn types(source: &Source) -> Vec<String> {
    let defined = |line: &str| {
        let (rest, nested) = (after_qualifiers(line.trim_start()), line.starts_with(' '));
        let kinds: &[&str] = if nested { &["struct ", "enum "] } else { &["struct ", "enum ", "trait ", "type "] };
        kinds.iter().find_map(|kind| rest.strip_prefix(kind)).map(name)
    };
    source.shipped().lines().filter_map(defined).collect()
}

/// Name and length in lines of every function, as rustfmt lays it out.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut all = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(rest) = after_qualifiers(code).strip_prefix("fn ") else { continue };
        let indent = &line[..line.len() - code.len()];
        let at_indent = |l: &&str| l.strip_prefix(indent).is_some_and(|l| !l.starts_with(' '));
        let end = lines[start..].iter().position(|l| {
            let closed = at_indent(l) && (l.trim_start().starts_with('}') || l.ends_with([';', '}']));
            closed && !l.ends_with('{')
        });
        all.push((name(rest), end.expect("every function ends") + 1));
    }
    all
}

#[test]
fn the_name_of_a_type_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources("src") {
        for name in types(&source) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    assert!(places.len() > 500, "only {} types were found", places.len());
    let twice = places.iter().filter(|(_, files)| files.len() > 1);
    let twice: Vec<String> = twice.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect();
    assert!(twice.is_empty(), "name the noun of the file as well:\n{}", twice.join("\n"));
}

#[test]
fn functions_are_short() {
    let (mut long, mut seen) = (Vec::new(), 0);
    for source in sources("src").into_iter().chain(sources("tests/it")) {
        for (name, lines) in functions(&source) {
            seen += 1;
            if lines > LONGEST_FUNCTION && !TABLES.contains(&&name[..]) {
                long.push(format!("{}: {name} has {lines} lines, at most {LONGEST_FUNCTION}", source.path));
            }
        }
    }
    assert!(seen > 4000, "only {seen} functions were found");
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn definitions_are_found_as_they_are_written() {
    let text = "pub(super) struct A;\npub enum B {\n}\ntype C = u8;\nimpl T for A {\n    type D = u8;\n    pub const unsafe fn f(\n        x: u8,\n    ) -> u8 {\n        x\n    }\n}\ntrait T {\n    fn g(&self);\n    fn h() {}\n}\n#[cfg(test)]\nmod tests {\n    struct E;\n}\n";
    let source = Source { path: "x".into(), text: text.into() };
    assert_eq!(types(&source), ["A", "B", "C", "T"]);
    assert_eq!(functions(&source), [("f".to_string(), 5), ("g".to_string(), 1), ("h".to_string(), 1)]);
}
