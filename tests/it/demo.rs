//! The demo from start to finish: scenes, training, a verified file, pictures; and one that is stopped on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::runs::{succeed, text};

/// Arguments of a short demo on small scenes.
fn short(out: &Path) -> Vec<&str> {
    vec!["demo", "--images", "60", "--epochs", "3", "--imgsz", "96", "--threads", "1", "--out", text(out)]
}

/// The run folder of a short demo that nobody disturbed, made once.
fn undisturbed() -> PathBuf {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        succeed(&short(dir.path()));
        dir
    });
    dir.path().join("scenes-1")
}

#[test]
fn a_short_demo_learns_and_leaves_a_whole_run_folder() {
    let folder = undisturbed();
    for name in [
        "config.toml",
        "import.txt",
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
    let said = fs::read_to_string(folder.join("train.log")).expect("a log");
    assert!(said.contains("verified; the engine tract computes the same"), "{said}");
    assert!(said.contains("36 start fresh") || said.contains("class predictors start fresh"), "{said}");
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

#[cfg(unix)]
#[test]
fn a_stopped_demo_is_resumed_as_any_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut child = crate::runs::program(&short(dir.path()))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    assert!(crate::pipeline::wait_for_step(&mut child, 0), "it saves before its first step");
    let pid = i32::try_from(child.id()).expect("a process number");
    // Twice, as `timeout` does.
    for _ in 0..2 {
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    assert_eq!(child.wait().expect("it is gone").code(), Some(75), "stopped and resumable");
    let folder = dir.path().join("scenes-1");
    succeed(&["train", "--resume", text(&folder)]);
    for name in ["weights/last.ckpt", "weights/best.onnx", "results.csv"] {
        let [whole, resumed] = [&undisturbed(), &folder].map(|run| crate::runs::result(run, name));
        assert!(whole == resumed, "{name} differs from that of a demo nobody stopped");
    }
}

#[test]
fn the_network_it_starts_from_is_small_and_made_by_a_command() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo.onnx");
    assert!(fs::metadata(shipped).expect("it is there").len() < 2_000_000);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let made = dir.path().join("made.onnx");
    let mut command = short(dir.path());
    command.extend(["--pretrain", text(&made)]);
    succeed(&command);
    let first = fs::read(&made).expect("a network");
    assert!(first.len() < 2_000_000, "{} bytes", first.len());
    for run in ["pretraining-1", "pretraining-2"] {
        assert!(dir.path().join(run).join("weights/best.onnx").is_file(), "{run}");
    }
    // Whoever calls it again gets the same, and nothing is trained twice.
    fs::remove_file(&made).expect("it is there");
    succeed(&command);
    assert!(fs::read(&made).expect("a network") == first);
}
