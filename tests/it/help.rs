//! Help, completions, man pages and the documentation's tables: all made from the command line and the keys as they
//! are.

use crate::runs::{run, succeed};
use std::path::Path;

/// Every command with its sub-commands.
fn all(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().filter(|c| c.get_name() != "help").flat_map(all);
    std::iter::once(command.clone()).chain(below).collect()
}

#[test]
fn every_argument_of_every_command_says_what_it_is() {
    let mut command = fieldtune::cli::command();
    command.build();
    let commands = all(&command);
    assert!(commands.len() > 15, "{}", commands.len());
    for command in &commands {
        assert!(command.get_about().is_some(), "{}: no description", command.get_name());
        let own = |a: &&clap::Arg| !["help", "version"].contains(&a.get_id().as_str());
        for argument in command.get_arguments().filter(own) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 10, "{} {}: {help:?}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn a_job_file_completions_and_man_pages_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path that is text").to_string();
    succeed(&["config", "-o", &path("job.toml")]);
    assert_eq!(std::fs::read_to_string(path("job.toml")).expect("a file"), fieldtune::config::commented_job());
    let again = run(&["config", "-o", &path("job.toml")]);
    assert_eq!(again.status.code(), Some(1), "a file that exists stays");
    for shell in ["bash", "zsh", "fish"] {
        let text = succeed(&["completions", shell]);
        assert!(text.contains("checkpoint-every") && text.contains("staircase"), "{shell}");
    }
    succeed(&["man", &path("man")]);
    let page = std::fs::read_to_string(path("man/fieldtune-train.1")).expect("a page");
    assert!(page.contains("Examples") && page.contains("epochs"), "{page}");
    assert!(std::fs::exists(path("man/fieldtune.1")).expect("a readable folder"));
}

/// The marks around generated text in a page of the documentation.
const BEGIN: &str = "<!-- generated: tests/it/help.rs -->\n";
const END: &str = "<!-- end of generated -->\n";

/// Holds the generated part of a page; with `FIELDTUNE_WRITE_DOCS=1` it is written.
fn hold(page: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(&path).expect("a page of the documentation");
    let (before, rest) = text.split_once(BEGIN).expect("a mark where the generated part begins");
    let (found, after) = rest.split_once(END).expect("a mark where it ends");
    if std::env::var_os("FIELDTUNE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{generated}{END}{after}")).expect("writes");
        return;
    }
    assert!(
        found == generated,
        "docs/{page} is not what the code says: FIELDTUNE_WRITE_DOCS=1 cargo test --test it help::"
    );
}

#[test]
fn tables_of_the_documentation_are_those_of_the_code() {
    hold("configuration.md", &fieldtune::config::markdown_tables());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data/finding.rs");
    let source = std::fs::read_to_string(source).expect("a source");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|'));
    let table: String = rows.map(|row| format!("{row}\n")).collect();
    assert!(table.lines().count() > 30, "{table}");
    hold("check.md", &table);
}
