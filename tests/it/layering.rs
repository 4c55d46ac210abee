//! The layers of ARCHITECTURE.md and the rules of style that a machine can check, against the source as it is.
//!
//! Documentation may link anywhere, so comments do not count.

use crate::sources::{names_above, names_below, sources};

/// The layers that each layer may import, besides itself. `main` and the crate root stand above the table.
const LAYERS: [(&str, &[&str]); 24] = [
    ("board", &[]),
    ("boxes", &[]),
    ("watchdog", &[]),
    ("kernel", &[]),
    ("ops", &["kernel"]),
    ("data", &["boxes"]),
    ("loss", &["boxes"]),
    ("optim", &["kernel"]),
    ("model", &["boxes", "ops", "kernel"]),
    ("interchange", &["model", "boxes"]),
    ("weights", &["interchange"]),
    ("eval", &["boxes", "data"]),
    ("report", &["boxes", "data", "eval"]),
    (
        "train",
        &["board", "boxes", "data", "eval", "interchange", "kernel", "loss", "model", "ops", "optim", "watchdog"],
    ),
    ("config", &["boxes", "data", "loss", "optim", "train", "watchdog"]),
    (
        "session",
        &[
            "board",
            "boxes",
            "config",
            "data",
            "eval",
            "model",
            "interchange",
            "kernel",
            "ops",
            "optim",
            "report",
            "train",
            "watchdog",
            "weights",
        ],
    ),
    ("predict", &["data", "eval", "report", "session", "train"]),
    ("serve", &["board", "boxes", "config", "data", "eval", "predict", "session", "train", "watchdog"]),
    ("service", &["board", "config", "data", "fleet", "serve", "session", "train", "weights"]),
    (
        "fleet",
        &[
            "board",
            "boxes",
            "config",
            "data",
            "eval",
            "interchange",
            "model",
            "optim",
            "report",
            "session",
            "train",
            "watchdog",
            "weights",
        ],
    ),
    (
        "bench",
        &[
            "board",
            "boxes",
            "config",
            "data",
            "eval",
            "kernel",
            "loss",
            "model",
            "interchange",
            "ops",
            "optim",
            "session",
            "train",
            "watchdog",
        ],
    ),
    ("api", &["boxes", "config", "data", "eval", "session", "train"]),
    (
        "cli",
        &[
            "bench",
            "board",
            "boxes",
            "config",
            "data",
            "eval",
            "fleet",
            "kernel",
            "loss",
            "model",
            "interchange",
            "ops",
            "optim",
            "predict",
            "report",
            "serve",
            "service",
            "session",
            "train",
            "watchdog",
            "weights",
        ],
    ),
    ("main", &["cli", "session"]),
];

/// Words that stand in few places only: the word, the paths it may stand in, and why.
const CONFINED: [(&str, &[&str], &str); 8] = [
    ("target_arch", &["kernel/isa"], "one generic source; only the instruction sets differ"),
    ("target_feature", &["kernel/isa"], "one generic source; only the instruction sets differ"),
    ("_feature_detected!", &["kernel/isa"], "the processor is asked in one place"),
    ("arch::", &["kernel/isa"], "no intrinsics outside the instruction sets"),
    ("Mmap", &["data/pack/reader"], "only the pack reader maps files"),
    (
        "unsafe",
        &["kernel/", "data/pack/reader", "session/process", "board/memory", "board/storage"],
        "unsafe lives in one folder and explains itself",
    ),
    ("print!(", &[], "it panics where a stream refuses: session/terminal prints"),
    ("burn::backend", &["ops/"], "the backend is named in one folder"),
];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"];

const LONGEST_FILE: usize = 400;

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
