//! Streams that end or refuse, and signals that mean that nobody waits any more: with real processes and real pipes.

#![cfg(target_os = "linux")]

use crate::runs::{basis, program, send, stderr, terminate, text, training, wait_for_step_kept};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// A run that would take for ever, and has saved at step 3.
fn endless(out: &Path, start: impl FnOnce(&[&str]) -> std::process::Command) -> Child {
    let basis = basis();
    let more = ["--epochs", "4000", "--threads", "1", "--checkpoint-every", "0"];
    let mut child = start(&training(&basis, out, &more)).stderr(Stdio::piped()).spawn().expect("the program starts");
    assert!(wait_for_step_kept(&mut child, 3), "the run began");
    child
}

/// The step of a run's last checkpoint, as resuming it tells.
fn resumed_at(out: &Path) -> u64 {
    let mut child =
        program(&["train", "--resume", text(&out.join("run"))]).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut step = None;
    crate::runs::wait_for(&mut child, &mut |line| {
        let said = line.split_once("resuming at step ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        step = step.or(said);
        step.is_some()
    });
    terminate(&mut child);
    step.expect("it resumes")
}

#[test]
fn a_run_that_is_hung_up_on_saves_and_can_be_resumed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // These tests may run under nohup themselves.
    let hearing = |arguments: &[&str]| {
        let mut command = program(arguments);
        let listen = || {
            // SAFETY: `signal` may be called between fork and exec, and the system's default is no handler of ours.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: the closure makes no other call than that one.
        unsafe { command.pre_exec(listen) };
        command
    };
    let mut child = endless(dir.path(), hearing);
    send(&child, libc::SIGHUP);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    assert!(resumed_at(dir.path()) >= 3);
}

#[test]
fn a_run_whose_log_nobody_reads_any_more_saves_and_ends() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut child = endless(dir.path(), program);
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    let log = fs::read_to_string(dir.path().join("run/train.log")).expect("a log");
    assert!(log.contains("stopped at step"), "the log in the folder has its end: {log}");
    assert!(resumed_at(dir.path()) >= 3);
}

#[test]
fn under_nohup_a_run_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ignoring = |arguments: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
        let inner = program(arguments);
        shell.arg(inner.get_program()).args(inner.get_args()).env("RUST_LOG", "debug").stdin(Stdio::null());
        shell
    };
    let mut child = endless(dir.path(), ignoring);
    send(&child, libc::SIGHUP);
    assert!(wait_for_step_kept(&mut child, 30), "it trains on");
    assert_eq!(terminate(&mut child), Some(75));
}

/// The answer of each command that prints, with its standard output elsewhere.
fn printing(dir: &Path, out: impl Fn() -> Stdio) -> Vec<(Vec<String>, Output)> {
    let [photos, model] = basis();
    let journal = dir.join("trace.jsonl");
    let step = |i: u64| format!("{{\"step\": {i}, \"cls\": 2.0, \"box\": 1.0, \"grad_norm\": 1.0}}\n");
    fs::write(&journal, (0..40).map(step).collect::<String>()).expect("writes");
    let photo = fs::read_dir(Path::new(&photos).join("JPEGImages")).expect("photos").flatten().next().expect("one");
    let (photo, pack) = (text(&photo.path()).to_string(), text(&dir.join("p.pack")).to_string());
    let commands: [&[&str]; 10] = [
        &["check", &photos],
        &["check", &photos, "--json"],
        &["val", &model, &photos],
        &["val", &model, &photos, "--json"],
        &["predict", &model, &photo, "--json"],
        &["diagnose", text(&journal)],
        &["diagnose", text(&journal), "--json"],
        &["pack", &photos, "-o", &pack],
        &["bench", "loader", &photos, "--out", text(dir), "--threads", "1"],
        &["probe", "--imgsz", "96"],
    ];
    let run = |arguments: &&[&str]| {
        let output = program(arguments).stdout(out()).stderr(Stdio::piped()).output().expect("it starts");
        (arguments.iter().map(|a| a.to_string()).collect(), output)
    };
    commands.iter().map(run).collect()
}

#[test]
fn a_reader_that_leaves_ends_the_output_quietly() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    for (arguments, output) in printing(dir.path(), closed) {
        let said = stderr(&output);
        assert!(!said.contains("panicked") && !said.contains("error:"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has one"));
    for (arguments, output) in printing(dir.path(), full) {
        let said = stderr(&output);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("standard output: cannot write: No space left"), "{arguments:?}: {said}");
    }
}

#[test]
fn closed_streams_are_survived() {
    let [photos, _] = basis();
    let shell = |redirected: &str| {
        let inner = program(&["check", &photos]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirected}")]).arg(inner.get_program()).args(inner.get_args());
        shell.output().expect("it runs").status.code()
    };
    assert_eq!(shell(">&- 2>&-"), Some(0));
    assert_eq!(shell(">/dev/full 2>/dev/full"), Some(1));
}
