//! The keys with their defaults, for a person: as a job file full of comments, and as tables for the documentation.

use super::fleet_file::FleetFile;
use super::job_file::{JobFile, ServiceFile};
use super::keys::{JobKey, KEYS};
use std::fmt::Write;

/// Width that comments are broken at.
const WIDTH: usize = 100;

/// The default of a key as TOML; `None` where it is no constant.
pub fn default_of(key: &JobKey) -> Option<String> {
    let job =
        JobFile { service: Some(ServiceFile::default()), fleet: Some(FleetFile::default()), ..JobFile::default() };
    let all = toml::Table::try_from(job).expect("a job has only keys that TOML can hold");
    let mut tables = key.table.split('.').filter(|t| !t.is_empty());
    let table = tables.try_fold(&all, |at, name| at.get(name).and_then(toml::Value::as_table))?;
    table.get(key.name).map(toml::Value::to_string)
}

/// A job file with every key, its meaning and its default, all but the tables' heads commented out.
pub fn commented_job() -> String {
    let mut text = String::from(
        "# A job of fieldtune: every key with its default. Remove the # before a line to change its value.\n\
         # fieldtune train --config job.toml; flags of the command line come before what stands here.\n",
    );
    let mut table = "";
    for key in &KEYS {
        if key.table != table {
            table = key.table;
            let mark = if table == "recipe" { "" } else { "#" };
            write!(text, "\n{mark}[{table}]\n").expect("a string takes everything");
        }
        let note = key.otherwise.map_or(String::new(), |(otherwise, _)| format!(" [default: {otherwise}]"));
        text.push('\n');
        for line in broken(&format!("{}{note}", key.doc)) {
            writeln!(text, "# {line}").expect("a string takes everything");
        }
        let value = default_of(key).or(key.otherwise.map(|(_, example)| example.to_string()));
        writeln!(text, "#{} = {}", key.name, value.unwrap_or_default()).expect("a string takes everything");
    }
    text
}

/// Text in lines of at most [`WIDTH`] characters.
fn broken(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(word.into());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

/// A table for each table of the file: key, flag, default, meaning.
pub fn markdown_tables() -> String {
    let mut text = String::new();
    let mut table = None;
    for key in &KEYS {
        if table != Some(key.table) {
            table = Some(key.table);
            let head =
                if key.table.is_empty() { "At the top of the file".into() } else { format!("`[{}]`", key.table) };
            write!(text, "\n### {head}\n\n| key | flag | default | meaning |\n|---|---|---|---|\n")
                .expect("a string takes everything");
        }
        let flag = match key.flag {
            None => String::new(),
            Some("data") => "the argument".into(),
            Some(flag) => format!("`--{}`", flag.replace('_', "-")),
        };
        let default = key.otherwise.map(|(otherwise, _)| otherwise.to_string());
        let default = default.or_else(|| default_of(key).map(|value| format!("`{value}`"))).unwrap_or_default();
        writeln!(text, "| `{}` | {flag} | {default} | {} |", key.name, key.doc).expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every key that a written job file has, as `table.name`.
    fn keys_of(table: &toml::Table, path: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (name, value) in table {
            let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value.as_table().filter(|_| full != "recipe.class_weights") {
                Some(inner) => all.extend(keys_of(inner, &full)),
                None => {
                    all.insert(full);
                }
            }
        }
        all
    }

    fn full(key: &JobKey) -> String {
        if key.table.is_empty() { key.name.into() } else { format!("{}.{}", key.table, key.name) }
    }

    #[test]
    fn the_table_of_keys_is_that_of_the_file() {
        let text = "data = 'a'\nalso = ['h']\naccept = ['i']\nnames = 'j'\nweights = 'b'\nname = 'c'\nimgsz = 300\nminutes = 20.0\nthreads = 1\nmemory_mb = 256\ntrain_split = 'd'\nval_split = 'e'\nserve = '1'\nmetrics_file = 'k'\nnotify = 'l'\n\
                    [service]\nstate = 'f'\ninbox = 'g'\n[fleet]\nsuperlink = 'm'\nroot_certificates = 'n'\nkey = 'o'\nmb_per_day = 1.0\nclip_update = 1.0\n";
        let job: JobFile = toml::from_str(text).expect("a job file");
        let mut written = keys_of(&toml::Table::try_from(job).expect("TOML"), "");
        // The default optimizer has none.
        written.insert("recipe.optimizer.momentum".into());
        let listed: Vec<String> = KEYS.iter().map(full).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), written);
        assert_eq!(listed.len(), written.len(), "a key is listed twice");
    }

    #[test]
    fn the_commented_job_is_the_default_and_every_line_of_it_is_valid() {
        let text = commented_job();
        assert_eq!(toml::from_str::<JobFile>(&text).expect("comments"), JobFile::default());
        let is_setting = |l: &&str| l.starts_with('#') && !l.starts_with("# ");
        let lines = text.lines().map(|l| if is_setting(&l) { &l[1..] } else { l });
        // SGD's only, and the optimizer is AdamW.
        let bare: String = lines.filter(|l| !l.starts_with("momentum")).map(|l| format!("{l}\n")).collect();
        let job: JobFile = toml::from_str(&bare).expect("every key with its default");
        assert_eq!(job.recipe, JobFile::default().recipe);
        assert!(text.lines().all(|l| l.len() < 120 || !l.starts_with("# ")), "{text}");
    }
}
