//! The quick form of `fieldtune bench stagnation`: a healthy run is left alone, faults get their names.

use crate::runs::{basis, run, stderr, succeed, text};
use serde_json::Value;

#[test]
fn injected_faults_get_their_names() {
    let faults = ["rate-x0.001", "never-warms-up", "decays-at-once", "dead-stage"];
    let said = succeed(
        &"bench stagnation --healthy 1 --seeds 1 --images 64 --epochs 4 --threads 1 --json --diagnose-only --faults"
            .split(' ')
            .chain([faults.join(",").as_str()])
            .collect::<Vec<_>>(),
    );
    let rows: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).expect("a row is JSON")).collect();
    assert_eq!(rows.len(), 1 + faults.len(), "{said}");
    for row in &rows {
        let healthy = row["fault"] == "none";
        assert_eq!(row["diagnosis"].is_null(), healthy, "{row}");
        assert!(healthy || row["right"] == true, "{row}");
    }
}

/// Before the first step, from what the objects look like to the network that the run begins with.
#[test]
fn swapped_labels_are_named_before_the_run() {
    let arguments = "bench stagnation --healthy 1 --seeds 1 --seed 1 --images 160 --epochs 1 --threads 1 --json \
                     --diagnose-only --faults labels-swapped-20";
    let said = succeed(&arguments.split_whitespace().collect::<Vec<_>>());
    let rows: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).expect("a row is JSON")).collect();
    assert!(rows[0]["diagnosis"].is_null(), "{}", rows[0]);
    assert_eq!((&rows[1]["right"], rows[1]["step"].as_u64()), (&true.into(), Some(0)), "{}", rows[1]);
    assert!(rows[1]["auc"].as_f64() > Some(0.9), "{}", rows[1]);
}

#[test]
fn a_run_may_be_rehearsed_first() {
    let [data, weights] = basis();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = text(folder.path());
    let arguments =
        ["train", &data, "--weights", &weights, "--imgsz", "96", "--epochs", "1", "--threads", "1", "--out", out];
    fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        [arguments, more].concat()
    }
    let refused = run(&with(&arguments, &["--name", "a", "--lr", "fast"]));
    assert!(stderr(&refused).contains("expected a number or auto"), "{}", stderr(&refused));
    let asleep = run(&with(&arguments, &["--name", "b", "--lr", "1e-9", "--probe-overfit"]));
    assert_eq!(asleep.status.code(), Some(1), "{}", stderr(&asleep));
    assert!(stderr(&asleep).contains("could not overfit"), "{}", stderr(&asleep));
    succeed(&with(&arguments, &["--name", "c", "--lr", "auto"]));
    let config = std::fs::read_to_string(folder.path().join("c/config.toml")).expect("the run's job file");
    assert!(config.contains("\nlr = "), "{config}");
}
