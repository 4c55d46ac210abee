//! Leftovers of runs: `clean` lists it first, and removes what the program made and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::runs::{basis, copy_run, succeed, text, training};

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("lists").flatten() {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => drop(all.insert(text(entry.path().strip_prefix(folder).expect("inside")).to_string())),
            }
        }
    }
    all
}

#[test]
fn clean_lists_first_and_removes_only_what_the_program_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("runs");
    let data = basis();
    succeed(&training(&data, &out, &["--epochs", "2", "--threads", "1"]));
    let weights = out.join("run/weights");
    assert!(!weights.join("good.ckpt").exists(), "a finished run drops what only its steps needed");
    // As runs of earlier versions were left.
    fs::copy(weights.join("last.ckpt"), weights.join("good.ckpt")).expect("copies");
    // A run that is not finished, and files of other people under names that runs use.
    copy_run(&out.join("run"), &out.join("stopped"));
    let job = fs::read_to_string(out.join("stopped/config.toml")).expect("a job");
    assert!(job.contains("epochs = 2"), "{job}");
    fs::write(out.join("run/weights/abandoned.ckpt"), "notes of somebody").expect("writes");
    fs::create_dir_all(out.join("foreign/weights")).expect("a folder");
    fs::write(out.join("foreign/weights/previous.ckpt"), "of another program").expect("writes");
    succeed(&["pack", &data[0], "-o", text(&out.join("kept.pack"))]);
    fs::write(out.join("other.pack"), "no pack").expect("writes");
    fs::write(out.join(".other.pack.part"), "no pack").expect("writes");
    // The checkpoint of a run in the middle, and no story yet.
    let stopped = out.join("stopped/weights");
    fs::remove_file(out.join("stopped/story.txt")).expect("removes");
    fs::copy(stopped.join("previous.ckpt"), stopped.join("last.ckpt")).expect("copies");

    let before = files(&out);
    let listed = succeed(&["clean", text(&out)]);
    assert_eq!(files(&out), before, "nothing is touched");
    for part in ["photos.pack: photos as packed for runs", "previous.ckpt: an earlier state", "nothing was removed"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    for kept in
        ["kept.pack: made by", "other.pack: not a pack", "abandoned.ckpt: not a sound", "stopped: the run is not"]
    {
        assert!(listed.contains(kept), "{kept}: {listed}");
    }
    assert!(!listed.contains("last.ckpt") && !listed.contains("foreign"), "{listed}");

    succeed(&["clean", text(&out), "--remove"]);
    let gone = ["photos.pack", "run/weights/previous.ckpt", "run/weights/good.ckpt"];
    let expected: BTreeSet<String> = before.iter().filter(|f| !gone.contains(&f.as_str())).cloned().collect();
    assert_eq!(files(&out), expected);
    // The rest of the run still goes on, with the photos packed again.
    succeed(&["train", "--resume", text(&out.join("run")), "--epochs", "3"]);
    succeed(&["clean", text(&out.join("run")), "--last", "--remove"]);
    assert!(!weights.join("last.ckpt").exists() && weights.join("best.onnx").exists());
    assert!(out.join("photos.pack").exists(), "a run folder alone was named");
}
