//! `fieldtune advise`: trials within a time, and a change that is applied.

use crate::resume::finished;
use crate::runs::{basis, copy_run, run, stderr, succeed, text, training};
use fieldtune::watchdog::{EpochSignals, JournalEntry, Mode, RunFacts, Shortfall};
use std::fs;

/// A journal of six epochs in which AP50 rose to the end.
fn rising() -> String {
    let facts = RunFacts { classes: vec!["disc".into(), "square".into()], objects: vec![9, 9], ..RunFacts::default() };
    let epoch = |epoch: u64| {
        let ap50 = 0.1 + 0.15 * (epoch as f32).ln();
        JournalEntry::Epoch(Box::new(EpochSignals {
            epoch,
            step: 6 * epoch,
            training: [1.2, 0.5],
            validation: Some([1.25, 0.5]),
            ap: Some(ap50 / 2.0),
            ap50: Some(ap50),
            class_ap: vec![0.2, 0.2],
            ap50_interval: Some([ap50 - 0.01, ap50 + 0.01]),
            shortfall: Some(Shortfall::default()),
            ..EpochSignals::default()
        }))
    };
    let run = JournalEntry::Run { mode: Mode::Advise, facts: Box::new(facts) };
    let entries = std::iter::once(run).chain((1..=6).map(epoch));
    entries.map(|entry| entry.to_line() + "\n").collect()
}

#[test]
fn the_change_that_a_run_asks_for_is_applied() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    copy_run(finished(), dir.path());
    let folder = dir.path().join("run");
    fs::write(folder.join("journal.jsonl"), rising()).expect("writes");
    let said = succeed(&["advise", text(&folder)]);
    assert!(said.contains("1. The run ended while AP50 was rising") && said.contains("Train for 18 epochs"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&succeed(&["advise", text(&folder), "--json"])).expect("JSON");
    assert_eq!(json["limits"][0]["change"], serde_json::json!({ "epochs": 18 }), "{json}");

    let applied = run(&["advise", text(&folder), "--apply"]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    let results = fs::read_to_string(dir.path().join("photos-1/results.csv")).expect("a new run beside the old one");
    assert_eq!(results.lines().count(), 19, "{results}");
    let job = fs::read_to_string(dir.path().join("photos-1.toml")).expect("its job file");
    assert!(job.contains("epochs = 18"), "{job}");

    fs::write(folder.join("journal.jsonl"), rising().lines().take(2).collect::<Vec<_>>().join("\n")).expect("writes");
    let nothing = run(&["advise", text(&folder), "--apply"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("nothing to apply"), "{}", stderr(&nothing));
}

#[test]
fn trials_of_a_data_set_compare_levers_on_the_same_photos() {
    let [photos, weights] = basis();
    let said = succeed(&["advise", &photos, "--weights", &weights, "--minutes", "0.6"]);
    assert!(said.starts_with("Trials of ") && said.contains("without a change AP is 0."), "{said}");
    assert!(said.contains("--imgsz 160") && said.contains("twice as many photos"), "{said}");
    for line in said.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.contains("95 % interval") && line.contains(" AP "), "{line}");
    }
    let short = run(&["advise", &photos, "--weights", &weights, "--minutes", "0.01"]);
    assert_eq!(short.status.code(), Some(1));
    assert!(stderr(&short).contains("0.01 minutes are too short for a trial"), "{}", stderr(&short));
}

#[test]
fn a_share_of_the_training_photos_is_trained_on_and_gone_on_with() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let half = run(&training(&basis(), dir.path(), &["--epochs", "1", "--threads", "1", "--train-share", "0.5"]));
    assert_eq!(half.status.code(), Some(0), "{}", stderr(&half));
    assert!(stderr(&half).contains("6 images of split train to train on, 4 of split val"), "{}", stderr(&half));
    let longer = run(&["train", "--resume", text(&dir.path().join("run")), "--epochs", "2"]);
    assert_eq!(longer.status.code(), Some(0), "{}", stderr(&longer));
    let refused = run(&training(&basis(), dir.path(), &["--train-share", "0"]));
    assert!(stderr(&refused).contains("train_share = 0, expected above 0 and at most 1"), "{}", stderr(&refused));
}

#[test]
fn a_run_ends_with_the_ap_that_was_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let more = ["--epochs", "5", "--threads", "1", "--until", "0.000001"];
    let [photos, _] = basis();
    let start = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo.onnx");
    let ended = run(&training(&[photos, start.into()], dir.path(), &more));
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("ended early: a validation AP of 0.000001 is reached"), "{}", stderr(&ended));
    let longer = run(&["train", "--resume", text(&dir.path().join("run")), "--epochs", "7"]);
    assert!(stderr(&longer).contains("--until does not hold any more"), "{}", stderr(&longer));
}
