//! Storage that refuses: full, or read-only, on a small file system of its own, which needs the right to mount; and one
//! that cannot be read any more.

#![cfg(target_os = "linux")]

use crate::runs::{basis, program, run, stderr, terminate, text, training, wait_for, wait_for_step_kept};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system in memory, gone when the test is.
struct Card {
    dir: tempfile::TempDir,
}

impl Card {
    /// `None` where mounting is not allowed.
    fn new(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", text(dir.path())]).output();
        if !mounted.is_ok_and(|o| o.status.success()) {
            eprintln!("SKIPPED: no right to mount a file system to fill up");
            return None;
        }
        Some(Self { dir })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a folder read-only from one moment to the next, as the kernel does after errors of a card: a mount of
    /// itself, sealed in another place, is laid over it. Sealed in its own place it would be busy with files that are
    /// being written.
    fn seal(&self, folder: &Path) {
        let aside = self.path().join("sealed");
        fs::create_dir(&aside).expect("a folder");
        let (folder, aside) = (text(folder), text(&aside));
        for arguments in [&["--bind", folder, aside][..], &["-o", "remount,bind,ro", aside], &["--bind", aside, folder]]
        {
            let done = Command::new("mount").args(arguments).output().expect("mount runs");
            assert!(done.status.success(), "{arguments:?}: {}", stderr(&done));
        }
    }

    fn unseal(&self, folder: &Path) {
        for place in [text(folder), text(&self.path().join("sealed"))] {
            let done = Command::new("umount").args(["-l", place]).output().expect("umount runs");
            assert!(done.status.success(), "{}", stderr(&done));
        }
    }

    /// Writes until nothing more goes in.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // A file that is still open keeps it busy; it goes with the last of them.
        let _ = Command::new("umount").args(["-l", text(self.path())]).output();
    }
}

/// A long run on the card that saves after every step.
fn start(card: &Card) -> Child {
    let basis = basis();
    let more = ["--epochs", "4000", "--threads", "1", "--checkpoint-every", "0"];
    let arguments = training(&basis, card.path(), &more);
    let mut child = program(&arguments).stderr(Stdio::piped()).spawn().expect("the program starts");
    assert!(wait_for_step_kept(&mut child, 3), "the run began");
    child
}

#[test]
fn a_full_card_is_told_survived_and_used_again_when_there_is_room() {
    let Some(card) = Card::new(64) else { return };
    let mut child = start(&card);
    let filler = card.fill();
    let said = wait_for(&mut child, &mut |line| line.contains("cannot write")).expect("it tells");
    assert!(said.contains("last.ckpt") || said.contains("best.onnx") || said.contains("results.csv"), "{said}");
    fs::remove_file(filler).expect("removed");
    let saved = wait_for(&mut child, &mut |line| line.contains("checkpoint at step "));
    assert!(saved.is_some(), "it saves again");
    assert_eq!(terminate(&mut child), Some(75));
    let resumed = resume_for_a_step(card.path());
    assert_eq!(resumed, Some(75));
}

#[test]
fn a_card_that_stays_read_only_ends_the_run_resumably() {
    let Some(card) = Card::new(64) else { return };
    let mut child = start(&card);
    let weights = card.path().join("run/weights");
    let last = weights.join("last.ckpt");
    card.seal(&weights);
    assert!(wait_for(&mut child, &mut |line| line.contains("training goes on")).is_some(), "it tells");
    let good = fs::read(&last).expect("a checkpoint");
    assert!(wait_for(&mut child, &mut |line| line.contains("continue with")).is_some(), "it ends in the end");
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    assert!(fs::read(&last).expect("a checkpoint") == good, "the last good state is kept");
    card.unseal(&weights);
    assert_eq!(resume_for_a_step(card.path()), Some(75));
}

/// The effect of an unreadable card on a mapped file, done here by cutting the file off.
#[test]
fn a_pack_that_cannot_be_read_any_more_ends_the_run_resumably() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [photos, weights] = basis();
    let [pack, whole] = ["photos.pack", "whole.pack"].map(|name| dir.path().join(name));
    let packed = run(&["pack", &photos, "--output", text(&pack)]);
    assert_eq!(packed.status.code(), Some(0), "{}", stderr(&packed));
    fs::copy(&pack, &whole).expect("copies");
    let basis = [text(&pack).to_string(), weights];
    let more = ["--epochs", "4000", "--threads", "1", "--checkpoint-every", "0"];
    let mut child = program(&training(&basis, dir.path(), &more)).stderr(Stdio::piped()).spawn().expect("it starts");
    assert!(wait_for_step_kept(&mut child, 3), "the run began");
    fs::OpenOptions::new().write(true).open(&pack).and_then(|file| file.set_len(4096)).expect("cut off");
    assert!(wait_for(&mut child, &mut |line| line.contains("storage: a part of the pack cannot be read")).is_some());
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    fs::copy(&whole, &pack).expect("copies");
    assert_eq!(resume_for_a_step(dir.path()), Some(75));
}

#[test]
fn a_card_without_room_is_refused_before_the_work() {
    let Some(card) = Card::new(2) else { return };
    let basis = basis();
    let output = run(&training(&basis, card.path(), &["--epochs", "1", "--threads", "1"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
}

/// Goes on with the run until it has saved once more, then asks it to stop.
fn resume_for_a_step(out: &Path) -> Option<i32> {
    let folder = out.join("run");
    let mut child = program(&["train", "--resume", text(&folder)]).stderr(Stdio::piped()).spawn().expect("it starts");
    let saved = wait_for(&mut child, &mut |line| line.contains("checkpoint at step "));
    assert!(saved.is_some(), "it goes on");
    terminate(&mut child)
}
