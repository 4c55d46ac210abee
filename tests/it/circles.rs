//! Files of one layer import each other in one direction only: no circle of files, so that each can be read after those
//! that it builds on.
//!
//! A folder's `mod.rs` gathers what its files offer: an import from the folder leads to the file that the name comes
//! from. It also may hold what all of them share, so a file that uses its own folder's `mod.rs` closes no circle.

use crate::sources::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The crate's modules by path (`["train", "store"]`), and what each offers under a name of its own.
struct Modules {
    files: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

fn module_of(source: &Source) -> Vec<String> {
    source.path.split('/').filter(|part| *part != "mod").map(String::from).collect()
}

/// The paths that `tree` (`a::{b, c::D as E}`) names, each with the name it is given.
fn paths_of(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let path: Vec<String> = path.split("::").map(|part| part.trim().to_string()).collect();
        let name = name.map_or_else(|| path[path.len() - 1].clone(), |name| name.trim().to_string());
        return vec![(path, name)];
    };
    let before: Vec<String> =
        tree[..open].split("::").map(|p| p.trim().to_string()).filter(|p| !p.is_empty()).collect();
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..i].trim().is_empty() {
                    all.extend(paths_of(&inner[start..i]));
                }
                start = i + 1;
            }
            _ => {}
        }
    }
    all.into_iter().map(|(path, name)| (before.iter().cloned().chain(path).collect(), name)).collect()
}

/// Every `use` of the code, with whether it offers what it names to others.
fn uses(code: &str) -> Vec<(Vec<String>, String, bool)> {
    let mut all = Vec::new();
    let mut rest = code;
    while let Some((line, after)) = rest.split_once('\n') {
        let (before, named) = line.split_once("use ").unwrap_or((line, ""));
        let before_it = before.trim();
        let offered = before_it == "pub" || before_it.starts_with("pub(") && before_it.ends_with(')');
        if named.is_empty() || !(offered || before_it.is_empty()) {
            rest = after;
            continue;
        }
        let tree = rest[before.len() + "use ".len()..].split(';').next().unwrap_or_default();
        all.extend(paths_of(tree).into_iter().map(|(path, name)| (path, name, offered)));
        rest = after;
    }
    all
}

/// Paths that begin with `crate::` or `super::` outside of `use`.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c));
    let paths = words.filter(|w| w.starts_with("crate::") || w.starts_with("super::"));
    paths.map(|w| w.split("::").filter(|p| !p.is_empty()).map(String::from).collect()).collect()
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let mut files = BTreeMap::new();
        for source in sources {
            let module = module_of(source);
            let offers = uses(&(source.shipped() + "\n")).into_iter().filter(|(_, _, offered)| *offered);
            let offers = offers.map(|(path, name, _)| (name, Self::absolute(&module, &path))).collect();
            files.insert(module, offers);
        }
        Self { files }
    }

    /// A path as it stands in `module`, from the crate's root.
    fn absolute(module: &[String], path: &[String]) -> Vec<String> {
        let mut base = match path[0].as_str() {
            "crate" => Vec::new(),
            _ => module.to_vec(),
        };
        let mut rest = path.iter().skip_while(|p| *p == "crate" || *p == "self").peekable();
        while rest.next_if(|p| *p == "super").is_some() {
            base.pop();
        }
        base.extend(rest.cloned());
        base
    }

    /// The file that the path leads to; `None` outside of the crate.
    fn file(&self, path: &[String]) -> Option<Vec<String>> {
        let mut module = Vec::new();
        for (i, part) in path.iter().enumerate() {
            let below: Vec<String> = module.iter().chain([part]).cloned().collect();
            if self.files.contains_key(&below) {
                module = below;
                continue;
            }
            let offered = self.files.get(&module).and_then(|offers| offers.get(part));
            let Some(offered) = offered else { break };
            let further: Vec<String> = offered.iter().chain(&path[i + 1..]).cloned().collect();
            return if further == path { Some(module) } else { self.file(&further) };
        }
        (!module.is_empty()).then_some(module)
    }

    /// The files of the same layer that a file builds on.
    fn imports(&self, source: &Source) -> BTreeSet<Vec<String>> {
        let (module, code) = (module_of(source), source.shipped() + "\n");
        let used = uses(&code).into_iter().filter(|(_, _, offered)| !offered).map(|(path, ..)| path);
        let paths = used.chain(inline_paths(&code));
        let files = paths.filter_map(|path| self.file(&Self::absolute(&module, &path)));
        let own_folder = |file: &[String]| module.starts_with(file);
        files.filter(|file| file[0] == module[0] && !own_folder(file)).collect()
    }
}

/// A circle that `at` is on or leads to, if any; `done` are known to lead to none.
fn circle(
    at: &[String],
    graph: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    way: &mut Vec<Vec<String>>,
    done: &mut BTreeSet<Vec<String>>,
) -> Option<Vec<Vec<String>>> {
    if let Some(first) = way.iter().position(|w| w == at) {
        return Some(way[first..].to_vec());
    }
    if done.contains(at) {
        return None;
    }
    way.push(at.to_vec());
    let found = graph.get(at).into_iter().flatten().find_map(|next| circle(next, graph, way, done));
    way.pop();
    done.insert(at.to_vec());
    found
}

fn circles(sources: &[Source]) -> Vec<String> {
    let modules = Modules::of(sources);
    let graph: BTreeMap<_, _> = sources.iter().map(|s| (module_of(s), modules.imports(s))).collect();
    let mut done = BTreeSet::new();
    let found = graph.keys().filter_map(|at| circle(at, &graph, &mut Vec::new(), &mut done));
    let words = |way: Vec<Vec<String>>| way.iter().map(|file| file.join("/")).collect::<Vec<_>>().join(" -> ");
    found.map(words).collect()
}

#[test]
fn files_of_a_layer_form_no_circle() {
    let is_above = |s: &Source| s.path == "lib" || s.path == "main";
    let sources: Vec<Source> = sources("src").into_iter().filter(|s| !is_above(s)).collect();
    let found = circles(&sources);
    assert!(found.is_empty(), "files that import each other in a circle:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_through_folders_and_names() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let folder = source("a/mod", "mod b;\nmod c;\npub use b::B;\npub use c::{C, d as e};");
    let b = source("a/b", "use super::e;\npub struct B;");
    let straight = [folder, b, source("a/c", "pub struct C;\npub fn d() {}")];
    assert!(circles(&straight).is_empty(), "{:?}", circles(&straight));
    let [folder, b, _] = straight;
    let c = source("a/c", "pub fn d() { let _ = crate::a::B; }");
    assert_eq!(circles(&[folder, b, c]), ["a/b -> a/c"]);
}
