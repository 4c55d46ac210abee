//! Resuming that says what it does: longer runs, edited job files, other instruction sets, damaged packs and checkpoints.

use crate::runs::{basis, copy_run, run, stderr, succeed, text, training};
use fieldtune::kernel::Isa;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A finished run of two epochs, made once; its folder, beside which lies the pack.
pub fn finished() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        succeed(&training(&basis(), dir.path(), &["--epochs", "2", "--threads", "1"]));
        dir
    });
    dir.path()
}

/// A copy of everything, to spoil; the run's folder in it.
fn copy(dir: &tempfile::TempDir) -> PathBuf {
    copy_run(finished(), dir.path());
    dir.path().join("run")
}

#[test]
fn a_finished_run_is_extended_and_says_how() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let refused = run(&["train", "--resume", text(&folder), "--epochs", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("epochs = 1, but the run has done 2 already"), "{}", stderr(&refused));
    let longer = run(&["train", "--resume", text(&folder), "--epochs", "4"]);
    assert_eq!(longer.status.code(), Some(0), "{}", stderr(&longer));
    let said = stderr(&longer);
    assert!(said.contains("4 epochs instead of 2: from step") && said.contains("epoch 4/4"), "{said}");
    let rows = fs::read_to_string(folder.join("results.csv")).expect("figures");
    assert_eq!(rows.lines().count(), 5, "{rows}");
    let rates: Vec<f64> =
        rows.lines().skip(1).map(|r| r.split(',').nth(5).expect("a rate").parse().expect("a number")).collect();
    assert!(rates[2] > 10.0 * rates[1] && rates[3] < rates[2], "the rate begins anew and falls: {rates:?}");
    assert!(folder.join("journal-1.jsonl").exists() && folder.join("journal.jsonl").exists());
    // It is the run's length from now on.
    let again = run(&["train", "--resume", text(&folder)]);
    assert!(
        stderr(&again).contains("has done its 4 epochs") && !stderr(&again).contains("config.toml:"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn an_extended_run_that_is_stopped_goes_on_as_extended() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let whole = tempfile::tempdir().expect("a temporary folder");
    let undisturbed = copy(&whole);
    succeed(&["train", "--resume", text(&undisturbed), "--epochs", "4"]);
    let mut child =
        crate::runs::program(&["train", "--resume", text(&folder), "--epochs", "4", "--checkpoint-every", "0"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
    assert!(crate::runs::wait_for_step_kept(&mut child, 15), "it goes on");
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    succeed(&["train", "--resume", text(&folder)]);
    for name in ["weights/best.onnx", "results.csv"] {
        let [a, b] = [&folder, &undisturbed].map(|f| crate::runs::result(f, name));
        assert!(a == b, "{name} is another than that of a run nobody stopped");
    }
}

#[test]
fn what_is_another_than_at_the_beginning_is_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let config = fs::read_to_string(folder.join("config.toml")).expect("a job");
    assert!(config.contains("\nbackbone_rate = 1.0\n"), "{config}");
    let edited = config.replace("\nbackbone_rate = 1.0\n", "\nbackbone_rate = 0.5\n");
    fs::write(folder.join("config.toml"), edited).expect("writes");
    let isa = Isa::available().into_iter().find(|isa| *isa != Isa::best());
    let mut arguments = vec!["train", "--resume", text(&folder)];
    if let Some(isa) = isa {
        arguments.extend(["--isa", isa.name()]);
    }
    let said = stderr(&run(&arguments));
    assert!(said.contains("recipe.backbone_rate = 0.5, but the run began with 1.0"), "{said}");
    if let Some(isa) = isa {
        assert!(said.contains(&format!("kernels of {}, the run was saved by those of", isa.name())), "{said}");
    }
}

#[test]
fn a_damaged_pack_beside_a_run_is_made_anew() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let pack = dir.path().join("photos.pack");
    let sound = fs::read(&pack).expect("a pack");
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 1;
    fs::write(&pack, &damaged).expect("writes");
    let output = run(&["train", "--resume", text(&folder)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("the photos are packed again"), "{}", stderr(&output));
    assert!(fs::read(&pack).expect("a pack") == sound, "it is as it was");
}

#[test]
fn with_both_checkpoints_damaged_one_answer_says_what_is_left() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let [last, previous] = ["last.ckpt", "previous.ckpt"].map(|name| folder.join("weights").join(name));
    for path in [&last, &previous] {
        let mut bytes = fs::read(path).expect("a checkpoint");
        let middle = bytes.len() - 999;
        bytes[middle] ^= 1;
        fs::remove_file(path).expect("removed");
        fs::write(path, bytes).expect("writes");
    }
    for path in [&folder, &last, &previous] {
        let output = run(&["train", "--resume", text(path)]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("neither checkpoint can be gone on from") && said.contains("--from-best"), "{said}");
        assert!(said.contains("last.ckpt: checksum") && said.contains("previous.ckpt: checksum"), "{said}");
    }
    let output = run(&["train", "--resume", text(&folder), "--from-best", "--epochs", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(dir.path().join("run-1/weights/best.onnx").is_file());
    let alone = run(&["train", "--from-best"]);
    assert_eq!(alone.status.code(), Some(2));
}

/// A checkpoint with another header, its checksum right.
fn forged(sound: &[u8], edit: &dyn Fn(&str) -> String) -> Vec<u8> {
    let len = u64::from_le_bytes(sound[..8].try_into().expect("eight bytes")) as usize;
    let mut json: serde_json::Value = serde_json::from_slice(&sound[8..8 + len]).expect("JSON");
    let header = json["__metadata__"]["fieldtune"].as_str().expect("a header");
    let (_, toml) = header.split_once('\n').expect("a checksum and a header");
    let edited = edit(toml);
    assert_ne!(edited, toml, "the edit finds its place");
    json["__metadata__"]["fieldtune"] = format!("{:08x}\n{edited}", crc32fast::hash(edited.as_bytes())).into();
    let text = json.to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &sound[8 + len..]].concat()
}

/// A number of a key in TOML's text replaced, the first of that name.
fn set<'a>(key: &'a str, value: &'a str) -> impl Fn(&str) -> String + 'a {
    move |toml: &str| {
        let at = toml.find(&format!("\n{key} = ")).map_or(0, |at| at + 1);
        let end = toml[at..].find('\n').map_or(toml.len(), |n| at + n);
        format!("{}{key} = {value}{}", &toml[..at], &toml[end..])
    }
}

#[test]
fn checkpoints_of_absurd_numbers_with_right_checksums_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = copy(&dir);
    let sound = fs::read(folder.join("weights/last.ckpt")).expect("a checkpoint");
    let huge = "9223372036854775807";
    let edits = [
        ("size", huge, "an input of"),
        ("size", "3", "an input of"),
        ("in_channels", huge, "network: the stem"),
        ("out_channels", "0", "network: the stem"),
        ("stride", "0", "stride 0"),
        ("tap", huge, "tap"),
        ("classes", huge, "classes, expected 2"),
        ("anchors_per_cell", "7", "network: head 0"),
        ("epochs", huge, "epochs"),
        ("batch", huge, "batch"),
        ("lr", "1e-300", "lr = 1e-300"),
        ("lr", "nan", "lr = NaN"),
        ("clip", "inf", "clip"),
        ("images", "0", "0 training images"),
        ("images", huge, "training images"),
        ("position", huge, "progress at step"),
        ("step", huge, "progress at step"),
        ("grad_norm", "nan", "not finite"),
        ("layer_steps", "[1, 2]", "step counts of 2 layers"),
        ("class_names", "[\"one\"]", "1 class names"),
        ("next", huge, "watchdog: next"),
        ("total_steps", huge, "watchdog: total_steps"),
        ("looks", huge, "watchdog: looks"),
        ("times", "0", ""),
    ];
    let path = folder.join("weights/forged.ckpt");
    for (key, value, part) in edits {
        fs::write(&path, forged(&sound, &set(key, value))).expect("writes");
        let output = run(&["train", "--resume", text(&path)]);
        let said = stderr(&output);
        if part.is_empty() {
            assert_eq!(output.status.code(), Some(0), "{key} = {value}: {said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{key} = {value}: {said}");
        assert!(said.contains(part) && said.contains("help:"), "{key} = {value}: {said}");
    }
}
