//! Runs that are over, told by what they left behind.

use std::fs;

use serde_json::Value;

use crate::runs::{basis, run, stderr, succeed, text, training};
use crate::shared::shared;

fn diagnosed(path: &str) -> Value {
    serde_json::from_str(&succeed(&["diagnose", path, "--json"])).expect("it is JSON")
}

#[test]
fn the_journal_of_a_run_is_decided_again_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let basis = basis();
    succeed(&training(&basis, folder.path(), &["--epochs", "2", "--lr", "1e-9", "--threads", "1"]));
    let run = folder.path().join("run");
    let whole = diagnosed(text(&run));
    assert_eq!(whole["source"], "journal");
    assert_eq!(whole["same_decisions"], true, "{whole}");
    let decisions = whole["decisions"].as_array().expect("a list");
    assert!(decisions.iter().any(|d| d["entry"] == "diagnosis"), "random weights are said to be: {whole}");

    // A journal with a decision struck out is not what the watchdog would have written.
    let journal = fs::read_to_string(run.join("journal.jsonl")).expect("a journal");
    let doctored: String = journal.split_inclusive('\n').filter(|l| !l.contains("\"entry\":\"diagnosis\"")).collect();
    assert_ne!(doctored, journal);
    let path = folder.path().join("doctored.jsonl");
    fs::write(&path, doctored).expect("writes");
    let other = diagnosed(text(&path));
    assert_eq!(other["same_decisions"], false);
    assert_eq!(other["decisions"], whole["decisions"], "what was seen decides, not what was written");
}

#[test]
fn traces_of_another_trainer_get_their_names() {
    let cases = [
        ("raccoon_base.jsonl", None),
        ("raccoon_lr30x.jsonl", Some("rate-too-high")),
        ("raccoon_lr0.001x.jsonl", Some("rate-too-low")),
        ("raccoon_shift40.jsonl", Some("boxes-wrong")),
    ];
    for (name, cause) in cases {
        let Some(path) = shared(&format!("reference/traces/{name}")) else { return };
        let found = diagnosed(text(&path));
        assert_eq!(found["source"], "trace");
        let first = found["decisions"].as_array().expect("a list").iter().find(|d| d["entry"] == "diagnosis");
        assert_eq!(first.and_then(|d| d["cause"]["kind"].as_str()), cause, "{name}: {found}");
        let said = succeed(&["diagnose", text(&path)]);
        assert_eq!(said.contains("To do:"), cause.is_some(), "{said}");
    }
}

#[test]
fn what_is_no_record_of_a_run_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = [
        ("", "expected a line of JSON a step"),
        ("step,loss\n1,2\n", "line 1"),
        ("{\"step\":1,\"loss\":2.0}\n", "a JSON object with step, cls, box and grad_norm"),
        ("{\"entry\":\"none\"}\n", "a line of a watchdog's journal"),
    ];
    for (content, expected) in cases {
        let path = folder.path().join("file.jsonl");
        fs::write(&path, content).expect("writes");
        let output = run(&["diagnose", text(&path)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{content:?}: {}", stderr(&output));
    }
    let output = run(&["diagnose", text(folder.path())]);
    assert!(stderr(&output).contains("give a run folder"), "{}", stderr(&output));
}
