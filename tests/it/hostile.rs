//! Inputs that broke something once, and others of their kinds.

use crate::runs::{basis, program, run, stderr, succeed, text, training};
use crate::shared::shared;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Copies the files of a folder that may be read-only.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("it is read").flatten() {
        fs::write(to.join(entry.file_name()), fs::read(entry.path()).expect("a file")).expect("writes");
    }
}

#[test]
fn predictions_never_take_the_place_of_photos_or_of_earlier_predictions() {
    let Some(hostile) = shared("hostile") else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = ["s1", "s2"].map(|name| dir.path().join(name));
    copied(&hostile.join("01-predict-overwrites-photos/s1"), &first);
    copied(&hostile.join("01-predict-overwrites-photos/s2"), &second);
    let before: Vec<Vec<u8>> = ["a.jpg", "a.png"].map(|name| fs::read(first.join(name)).expect("a photo")).into();
    let [_, model] = basis();
    let said = succeed(&["predict", &model, text(&first), text(&second), "-o", text(&first)]);
    assert!(said.contains("3 photos, pictures and detections.json in"), "{said}");
    let after: Vec<Vec<u8>> = ["a.jpg", "a.png"].map(|name| fs::read(first.join(name)).expect("a photo")).into();
    assert!(before == after, "a photo was written over");
    let list = fs::read(first.join("detections.json")).expect("a list");
    let all: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
    let pictures: std::collections::BTreeSet<&str> =
        all.as_array().expect("a list").iter().map(|p| p["picture"].as_str().expect("a name")).collect();
    assert_eq!(pictures.len(), 3, "{pictures:?}");
    assert!(pictures.iter().all(|name| first.join(name).is_file() && *name != "a.png"), "{pictures:?}");
    let said = succeed(&["predict", &model, text(&second), "-o", text(&first)]);
    assert!(said.contains("s1-2"), "{said}");
    assert!(fs::read(first.join("detections.json")).expect("a list") == list, "the earlier list is as it was");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_no_photos() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let pipe = dir.path().join("photo.jpg");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()));
    let [_, model] = basis();
    for (path, found) in [(text(&pipe), "a named pipe"), ("/dev/zero", "a device"), ("/dev/null", "a device")] {
        let output = run(&["predict", &model, path, "-o", text(&dir.path().join("out"))]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("{path}: {found}, expected a photo")), "{}", stderr(&output));
        assert!(stderr(&output).contains("1 of 1 photos cannot be read"), "{}", stderr(&output));
    }
    for arguments in [["diagnose", text(&pipe)], ["diagnose", "/dev/zero"]] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("not a regular file"), "{}", stderr(&output));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_no_text_work_or_are_refused_before_the_work() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    let [photos, model] = basis();
    let basis = [photos.clone(), model.clone()];
    let out = dir.path().join("out");
    let mut arguments: Vec<std::ffi::OsString> = training(&basis, &out, &[]).into_iter().map(Into::into).collect();
    let at = arguments.iter().position(|a| a == out.as_os_str()).expect("--out");
    arguments[at] = odd.clone().into();
    let output = program(&[]).args(&arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("the path of out is not UTF-8"), "{}", stderr(&output));
    assert!(!odd.exists(), "nothing was made");

    fs::create_dir(&odd).expect("a folder");
    let photo =
        fs::read_dir(Path::new(&photos).join("JPEGImages")).expect("photos").flatten().next().expect("one").path();
    let name = std::ffi::OsStr::from_bytes(b"photo\xfe.jpg");
    fs::copy(&photo, odd.join(name)).expect("copies");
    let mut command = program(&["predict", &model]);
    let output = command.arg(&odd).arg("-o").arg(odd.join("seen")).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(odd.join("seen").join(std::ffi::OsStr::from_bytes(b"photo\xfe.jpg")).is_file());
}

#[test]
fn journals_and_traces_of_huge_counts_are_answered_at_once() {
    let Some(hostile) = shared("hostile") else { return };
    let files =
        ["10-journal-hang/journal-hang.jsonl", "14-overflow-trace/trace.jsonl", "14-overflow-trace/journal.jsonl"];
    for file in files {
        let began = Instant::now();
        let output = run(&["diagnose", text(&hostile.join(file))]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{file}: {}", stderr(&output));
        assert!(began.elapsed() < Duration::from_secs(20), "{file}: {:?}", began.elapsed());
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let trace = dir.path().join("trace.jsonl");
    let line = |step: &str, epoch: &str| {
        format!("{{\"step\": {step}, \"epoch\": {epoch}, \"cls\": 1, \"box\": 1, \"grad_norm\": 1}}\n")
    };
    fs::write(&trace, line("18446744073709551615", "0")).expect("writes");
    let output = run(&["diagnose", text(&trace)]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("a count above"), "{}", stderr(&output));
    fs::write(&trace, line("0", "0") + &line("9007199254740992", "9007199254740992")).expect("writes");
    succeed(&["diagnose", text(&trace)]);
}

#[test]
fn class_names_that_labels_txt_cannot_hold_are_refused_before_the_run() {
    let Some(hostile) = shared("hostile") else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [_, model] = basis();
    let set = dir.path().join("photos");
    copied(&hostile.join("07-newline-class-name"), &set);
    let out = dir.path().join("out");
    let labels = fs::read_to_string(set.join("a.json")).expect("labels");
    let json: serde_json::Value = serde_json::from_str(&labels).expect("JSON");
    for name in ["a\nb", "", "BACKGROUND"] {
        let mut json = json.clone();
        json["categories"][0]["name"] = name.into();
        fs::write(set.join("a.json"), json.to_string()).expect("writes");
        let output = run(&training(&[text(&set).into(), model.clone()], &out, &["--epochs", "1"]));
        assert_eq!(output.status.code(), Some(1), "{name:?}: {}", stderr(&output));
        assert!(!out.join("run").exists(), "{name:?}: no run was begun: {}", stderr(&output));
    }
}

#[test]
fn no_name_out_of_a_file_steers_the_terminal() {
    let Some(hostile) = shared("hostile") else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let set = dir.path().join("esc");
    copied(&hostile.join("11-escape-class-names/esc"), &set);
    let [_, model] = basis();
    let out = dir.path().join("out");
    let basis = [text(&set).to_string(), model.clone()];
    let calls: [Vec<&str>; 4] = [
        vec!["check", text(&set)],
        vec!["check", text(&set), "--json"],
        vec!["val", &model, text(&set)],
        training(&basis, &out, &["--epochs", "1", "--threads", "1"]),
    ];
    let steers =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    for arguments in calls {
        let output = run(&arguments);
        assert!(!steers(&output.stdout) && !steers(&output.stderr), "{arguments:?}: {:?}", stderr(&output));
    }
    for name in ["train.log", "story.txt"] {
        if let Ok(bytes) = fs::read(out.join("run").join(name)) {
            assert!(!steers(&bytes), "{name}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
