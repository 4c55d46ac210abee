//! One process a folder, and nothing left of those that died.

#![cfg(target_os = "linux")]

use crate::runs::{basis, program, run, stderr, terminate, text, training, wait_for};
use std::fs;
use std::process::Stdio;

/// More than Linux gives to a process (2^22 at most).
const DEAD: u32 = 1 << 30;

#[test]
fn two_services_on_one_state_folder_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let state = dir.path().join("state");
    let config = dir.path().join("job.toml");
    fs::create_dir(&state).expect("a folder");
    fs::write(state.join(format!(".best.onnx.{DEAD}.tmp")), "torn").expect("writes");
    fs::write(&config, format!("[service]\nstate = {:?}\npoll_s = 1\n", text(&state))).expect("writes");
    let arguments = ["service", "--config", text(&config)];
    let mut first = program(&arguments).stderr(Stdio::piped()).spawn().expect("it starts");
    assert!(wait_for(&mut first, &mut |line| line.contains("waiting for pretrained weights")).is_some());
    let second = run(&arguments);
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    let owner = format!("process {} runs as a service in this folder", first.id());
    assert!(stderr(&second).contains(&owner), "{}", stderr(&second));
    assert!(!state.join(format!(".best.onnx.{DEAD}.tmp")).exists(), "what a dead process left is gone");
    assert_eq!(terminate(&mut first), Some(0));
    // With the process the lock is gone, whatever is left of its file.
    let mut third = program(&arguments).stderr(Stdio::piped()).spawn().expect("it starts");
    assert!(wait_for(&mut third, &mut |line| line.contains("waiting for pretrained weights")).is_some());
    assert_eq!(terminate(&mut third), Some(0));
}

#[test]
fn temporary_files_of_killed_runs_go_when_the_run_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let arguments = training(&basis(), dir.path(), &["--epochs", "1", "--threads", "1"]).join("\n");
    let output = run(&arguments.lines().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let weights = dir.path().join("run/weights");
    let torn = [format!(".best.onnx.{DEAD}.tmp"), ".last.ckpt.tmp".into()];
    torn.iter().for_each(|name| fs::write(weights.join(name), "torn").expect("writes"));
    assert_eq!(run(&["train", "--resume", text(&dir.path().join("run"))]).status.code(), Some(0));
    for entry in fs::read_dir(&weights).expect("weights").flatten() {
        assert!(!text(&entry.path()).ends_with(".tmp"), "{:?}", entry.path());
    }
}
