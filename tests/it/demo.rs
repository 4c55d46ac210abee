//! The demo from start to finish: scenes, training, a verified file, pictures.

use std::fs;
use std::process::Command;

#[test]
fn a_short_demo_learns_and_leaves_a_whole_run_folder() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let done = Command::new(env!("CARGO_BIN_EXE_fieldtune"))
        .args(["demo", "--images", "40", "--epochs", "3", "--imgsz", "96", "--threads", "1", "--out"])
        .arg(dir.path())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("tract differs from our forward"), "{said}");
    let folder = fs::read_dir(dir.path()).expect("a folder").next().expect("a run").expect("readable").path();
    for name in [
        "weights/best.onnx",
        "weights/labels.txt",
        "weights/last.ckpt",
        "labels.png",
        "train_batch0.png",
        "val_pred.png",
        "pr_curve.png",
        "confusion_matrix.png",
    ] {
        let bytes = fs::metadata(folder.join(name)).map(|m| m.len()).unwrap_or(0);
        assert!(bytes > 0, "{name} is missing or empty");
    }
    let results = fs::read_to_string(folder.join("results.csv")).expect("results");
    let rows: Vec<Vec<f64>> = results
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|v| v.parse().expect("a number in every column")).collect())
        .collect();
    assert_eq!(rows.len(), 3, "{results}");
    let loss = |row: &[f64]| row[2] + row[3];
    assert!(loss(&rows[2]) < 0.95 * loss(&rows[0]), "{results}");
    let ap = rows[2][6];
    assert!((0.0..=1.0).contains(&ap), "{results}");
}
