//! Weights to start from, as people use them: kept under a name, found when none are named, with the names of their
//! classes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use prost::Message;
use serde_json::Value;

use crate::onnx::load;
use crate::runs::{basis, program, stderr, text, write_weights};

/// A user's data folder, and another for files.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn kept(&self) -> PathBuf {
        self.path("kept")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = program(arguments).env("FIELDTUNE_WEIGHTS", self.kept()).output().expect("the program starts");
        assert!(!stderr(&output).contains("panicked"), "{arguments:?}\n{}", stderr(&output));
        output
    }

    /// The output and log of a command that must succeed.
    fn succeed(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).expect("text"), stderr(&output))
    }

    /// The error of a command that must fail.
    fn refuse(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{}", stderr(&output));
        stderr(&output)
    }

    fn train(&self, name: &str, more: &[&str]) -> String {
        let [photos, _] = basis();
        let out = self.path("runs");
        let mut all = vec!["train", photos.as_str(), "--out", text(&out), "--name", name, "--epochs", "1"];
        all.extend(["--threads", "1", "--freeze", "0", "--warmup", "2"]);
        all.extend(more);
        self.succeed(&all).1
    }
}

/// A detector without metadata, as another program would write it.
fn write_foreign(path: &Path, class_names: &[&str]) {
    write_weights(path, class_names);
    let mut model = load(path);
    model.metadata_props.clear();
    fs::write(path, model.encode_to_vec()).expect("writes");
    fs::remove_file(path.with_file_name("labels.txt")).expect("the export wrote labels");
}

#[test]
fn weights_are_added_listed_chosen_and_removed() {
    let home = Home::new();
    let [_, weights] = basis();
    assert!(home.succeed(&["weights", "list"]).0.starts_with("none are kept in "));
    assert_eq!(home.succeed(&["weights", "default"]).0, "none\n");
    let (said, _) = home.succeed(&["weights", "add", &weights]);
    for part in ["not among the files that are known", "a detector, SSDLite", "2: disc, square", "kept as fresh"] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    assert!(said.contains("runs without --weights start from it"), "{said}");
    assert!(home.succeed(&["weights", "add", &weights]).0.contains("was kept already as fresh"));
    let cats = home.path("cats.onnx");
    write_weights(&cats, &["cat"]);
    let error = home.refuse(&["weights", "add", text(&cats), "--name", "fresh"]);
    assert!(error.contains("fresh: other weights of that name are kept") && error.contains("help:"), "{error}");
    let error = home.refuse(&["weights", "add", text(&cats), "--name", "../fresh"]);
    assert!(error.contains("expected at most 64 letters") && error.contains("help:"), "{error}");
    assert!(home.succeed(&["weights", "add", text(&cats)]).0.contains("fieldtune weights default cats"));
    let listed = || -> Vec<Value> {
        serde_json::from_str(&home.succeed(&["weights", "list", "--json"]).0).expect("JSON and nothing else")
    };
    let all = listed();
    let names: Vec<&str> = all.iter().map(|w| w["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["cats", "fresh"]);
    assert_eq!((&all[0]["default"], &all[1]["default"]), (&Value::from(false), &Value::from(true)));
    assert_eq!(all[0]["classes"], serde_json::json!(["cat"]));
    assert_eq!(all[0]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(fs::read(all[0]["path"].as_str().expect("a path")).expect("kept"), fs::read(&cats).expect("given"));
    home.succeed(&["weights", "default", "cats"]);
    let text_list = home.succeed(&["weights", "list"]).0;
    assert!(
        text_list.starts_with("* cats   detector of 1 classes") && text_list.contains("\n  fresh  "),
        "{text_list}"
    );
    home.succeed(&["weights", "remove", "cats"]);
    assert_eq!(home.succeed(&["weights", "default"]).0, "fresh\n", "the only one left");
    let error = home.refuse(&["weights", "remove", "cats"]);
    assert!(error.contains("cats: no such file") && error.contains("kept: fresh"), "{error}");
    assert_eq!(listed().len(), 1);
    // A file that is damaged or left by a killed program does not count.
    fs::write(home.kept().join("half.onnx"), "torn").expect("writes");
    fs::write(home.kept().join("other.toml"), "name = 3").expect("writes");
    assert_eq!(listed().len(), 1);
}

#[test]
fn a_run_without_weights_starts_from_the_kept_default() {
    let home = Home::new();
    let [photos, weights] = basis();
    let error = home.refuse(&["train", &photos]);
    for part in [
        "error: no pretrained weights given, and none are kept in",
        "npm pack @mediapipe/objectron@0.4.1675468480\n",
        "fieldtune weights add mediapipe-objectron-0.4.1675468480.tgz\n",
        "--weights FILE",
        "docs/weights.md",
    ] {
        assert!(error.contains(part), "{part:?} in\n{error}");
    }
    home.succeed(&["weights", "add", &weights, "--name", "start"]);
    let said = home.train("by-default", &[]);
    assert!(said.contains("no --weights given: starting from start, the default of the kept weights"), "{said}");
    let said = home.train("by-name", &["--weights", "start"]);
    assert!(!said.contains("no --weights given"), "{said}");
    // The same start gives the same run.
    let best = |run: &str| fs::read(home.path("runs").join(run).join("weights/best.onnx")).expect("a model");
    assert_eq!(best("by-default"), best("by-name"));
    let job = fs::read_to_string(home.path("runs/by-name/config.toml")).expect("a job");
    assert!(job.contains("kept/start.onnx"), "the job names the file: {job}");
    let error = home.refuse(&["train", &photos, "--weights", "strat"]);
    assert!(error.contains("strat: no such file") && error.contains("kept: start"), "{error}");
    home.succeed(&["val", "start", &photos]);
    home.succeed(&["export", "start", "-o", text(&home.path("jetson.onnx"))]);
}

#[test]
fn a_foreign_detector_is_judged_by_the_names_of_its_classes() {
    let home = Home::new();
    let [photos, _] = basis();
    let foreign = home.path("foreign.onnx");
    write_foreign(&foreign, &["cat", "disc", "square"]);
    let error = home.refuse(&["val", text(&foreign), &photos]);
    assert!(error.contains("does not name its classes: give --names"), "{error}");
    let judge = |more: &[&str]| home.succeed(&[&["val", text(&foreign), &photos], more].concat());
    let whole = judge(&["--names", "cat,disc,square"]).0;
    assert!(whole.contains("disc ") && whole.contains("square ") && !whole.contains("cat "), "{whole}");
    let labels = home.path("labels.txt");
    fs::write(&labels, "BACKGROUND\ncat\ndisc\nsquare\n").expect("writes");
    assert_eq!(judge(&[]).0, whole);
    fs::write(home.path("foreign.pbtxt"), "item { id: 2 name: 'disc' } item { id: 3 display_name: \"square\" }")
        .expect("writes");
    assert_eq!(judge(&[]).0, whole, "the label map of this model comes before the folder's labels");
    fs::remove_file(home.path("foreign.pbtxt")).expect("removed");
    // Names differ by case only: said, and judged.
    let (table, said) = judge(&["--names", "cat,Disc,SQUARE"]);
    assert_eq!(table.replace("Disc", "disc").replace("SQUARE", "square"), whole);
    assert!(said.contains("disc (Disc in the model), square (SQUARE in the model)"), "{said}");
    // One class is not known: the other is judged all the same.
    let (table, said) = judge(&["--names", "cat,disc,ring"]);
    assert!(said.contains("judged on disc; not judged, as the model does not know them: square"), "{said}");
    let row = |table: &str| table.lines().find(|l| l.starts_with("disc")).map(str::to_string);
    assert_eq!(row(&table).map(|r| r.split_whitespace().map(String::from).collect::<Vec<_>>()), {
        row(&whole).map(|r| r.split_whitespace().map(String::from).collect::<Vec<_>>())
    });
    let error = home.refuse(&["val", text(&foreign), &photos, "--names", "a,b,c"]);
    assert!(error.contains("no class \"disc\" among a, b, c") && error.contains("help:"), "{error}");
    let error = home.refuse(&["val", text(&foreign), &photos, "--names", "a,b"]);
    assert!(error.contains("--names: found 2 class names, expected 3, as many as"), "{error}");
    fs::write(&labels, "one\ntwo\nthree\nfour\nfive\n").expect("writes");
    let error = home.refuse(&["val", text(&foreign), &photos]);
    assert!(error.contains("labels.txt: found 5 class names, expected 3"), "{error}");
}

#[test]
fn classes_that_the_file_knows_stay_in_training() {
    let home = Home::new();
    // The program's own small detector: every layer of it hears these scenes, which a random network's do not.
    let start = home.path("start.onnx");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo.onnx");
    let mut model = load(&demo);
    model.metadata_props.clear();
    fs::write(&start, model.encode_to_vec()).expect("writes");
    let train =
        |run: &str, more: &[&str]| home.train(run, &[&["--weights", text(&start), "--imgsz", "160"], more].concat());
    let said = train("named", &["--names", "ring,Square,cat,a,b,c,d,e"]);
    let note = "1 of 2 classes kept from the file: square; new: disc";
    let report = fs::read_to_string(home.path("runs/named/import.txt")).expect("a report");
    assert!(said.contains(note) && report.contains(&format!("note: {note}\n")), "{said}\n{report}");
    let said = train("turned", &["--names", "square,a,b,disc,c,d,e,f"]);
    assert!(said.contains("2 of 2 classes kept from the file: disc, square"), "{said}");
    let said = train("unnamed", &[]);
    assert!(said.contains("class predictors start fresh"), "{said}");
    let said = home.refuse(&["train", &basis()[0], "--weights", text(&start), "--names", "disc,square"]);
    assert!(said.contains("--names: found 2 class names, expected 8"), "{said}");
}

#[test]
fn names_are_shown_by_inspect_and_written_by_convert() {
    let home = Home::new();
    let foreign = home.path("foreign.onnx");
    write_foreign(&foreign, &["cat", "disc"]);
    assert!(home.succeed(&["inspect", text(&foreign)]).0.contains("2: no names"));
    assert!(home.succeed(&["inspect", text(&foreign), "--names", "lion,coin"]).0.contains("2: lion, coin"));
    fs::write(home.path("labels.txt"), "???\nlion\ncoin\n").expect("writes");
    assert!(home.succeed(&["inspect", text(&foreign)]).0.contains("2: lion, coin"));
    home.succeed(&["weights", "add", text(&foreign), "--name", "kept"]);
    let (shown, _) = home.succeed(&["inspect", "kept"]);
    assert!(shown.contains("2: lion, coin"), "{shown}");
    let record = fs::read_to_string(home.kept().join("kept.toml")).expect("a record");
    assert!(record.contains("2: lion, coin") && record.contains("classes = ["), "{record}");
    let converted = home.path("own.onnx");
    fs::remove_file(home.path("labels.txt")).expect("removed");
    home.succeed(&["convert", "kept", "-o", text(&converted)]);
    fs::remove_file(home.path("labels.txt")).expect("written beside it");
    assert!(home.succeed(&["inspect", text(&converted)]).0.contains("2: lion, coin"), "in the file's metadata");
    // Labels of another model beside it: told, and no reason not to look.
    fs::write(home.path("labels.txt"), "one\n").expect("writes");
    let (shown, _) = home.succeed(&["inspect", text(&foreign)]);
    assert!(shown.contains("labels.txt: found 1 class names, expected 2"), "{shown}");
}
