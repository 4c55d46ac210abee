//! `fieldtune bench accuracy`: recipes beside each other, and runs that are there already.

use crate::runs::{basis, run, stderr, succeed, text};

#[test]
fn recipes_are_compared_and_runs_are_made_once() {
    let [data, weights] = basis();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, slow) = (folder.path().join("out"), folder.path().join("slow.toml"));
    std::fs::write(&slow, "[recipe]\nlr = 1e-6\n").expect("a job file is written");
    let (out, slow) = (text(&out), text(&slow));
    let arguments = [
        "bench",
        "accuracy",
        data.as_str(),
        "--weights",
        weights.as_str(),
        "--recipe",
        slow,
        "--seeds",
        "0",
        "--epochs",
        "1",
        "--out",
        out,
    ];
    let said = succeed(&arguments);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "a heading, two runs and a comparison: {said}");
    assert!(lines[3].starts_with("slow against the default, 1 pairs: AP "), "{said}");
    let csv = std::fs::read_to_string(format!("{out}/accuracy.csv")).expect("a table is left");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    // Nothing is trained again: the runs' files are as they were.
    let results = format!("{out}/{}", first_result(out));
    let before = std::fs::metadata(&results).and_then(|m| m.modified()).expect("a result is kept");
    assert_eq!(succeed(&arguments), said);
    assert_eq!(std::fs::metadata(&results).and_then(|m| m.modified()).expect("it is still there"), before);
    // A result that was cut off is told of and not guessed.
    std::fs::write(&results, "{\"ap\": 0.").expect("the file is written");
    let refused = run(&arguments);
    assert!(!refused.status.success() && stderr(&refused).contains("remove it to run again"), "{}", stderr(&refused));
}

/// Path of a kept result below the bench's folder.
fn first_result(out: &str) -> String {
    let folders = std::fs::read_dir(out).expect("the folder is there");
    let names = folders.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let name = names.filter(|n| n.contains("-default-")).min().expect("a run of the default recipe");
    format!("{name}/result.json")
}
