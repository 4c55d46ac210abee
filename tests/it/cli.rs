//! The program's answers to bad input, and the findings of `check` in real photos: through the binary.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::photos::{jpeg, voc_xml};
use crate::runs::{basis, copy_run, run, stderr, succeed, text, training, write_weights};
use crate::shared::shared;

/// A folder that bad input is made in.
struct Corner {
    dir: tempfile::TempDir,
    basis: [String; 2],
    failures: Vec<String>,
    cases: usize,
}

impl Corner {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self { dir, basis: basis(), failures: Vec::new(), cases: 0 }
    }

    fn path(&self, name: &str) -> String {
        text(&self.dir.path().join(name)).to_string()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
        fs::write(&path, content).expect("writes");
        text(&path).to_string()
    }

    /// Runs the program, which must fail with `code` and say every one of `parts`.
    fn refuse(&mut self, arguments: &[&str], code: i32, parts: &[&str]) {
        self.cases += 1;
        let output = run(arguments);
        let said = stderr(&output);
        let missing: Vec<&&str> = parts.iter().filter(|part| !said.contains(**part)).collect();
        if output.status.code() != Some(code) || !missing.is_empty() {
            let status = output.status;
            self.failures.push(format!("{arguments:?}\n  {status}, expected {code}; not said: {missing:?}\n{said}"));
        }
    }

    /// As [`Corner::refuse`], for a training run with these arguments besides photos, weights and folder.
    fn refuse_training(&mut self, more: &[&str], code: i32, parts: &[&str]) {
        let [photos, weights] = self.basis.clone();
        let out = self.path("out");
        let arguments = ["train", &photos, "--weights", &weights, "--out", &out];
        self.refuse(&[&arguments[..], more].concat(), code, parts);
    }

    fn refuse_job(&mut self, toml: &str, parts: &[&str]) {
        let job = self.file("job.toml", toml);
        self.refuse_training(&["--config", &job], 1, parts);
    }

    fn end(self, least: usize) {
        assert!(self.failures.is_empty(), "{} cases failed:\n{}", self.failures.len(), self.failures.join("\n"));
        assert!(self.cases >= least, "{} cases", self.cases);
    }
}

#[test]
fn a_training_run_that_cannot_work_says_why() {
    let mut c = Corner::new();
    let [photos, weights] = c.basis.clone();
    let out = c.path("out");
    c.refuse(&["train", &photos], 1, &["error: no pretrained weights given", "help:", "--weights"]);
    c.refuse(&["train", "--weights", &weights], 1, &["no data set given", "help:"]);
    c.refuse(&["train", &c.path("nowhere"), "--weights", &weights, "--out", &out], 1, &["nowhere: no such data set"]);
    fs::create_dir(c.path("empty")).expect("a folder");
    c.refuse(&["train", &c.path("empty"), "--weights", &weights, "--out", &out], 1, &["empty: ", "expected", "help:"]);
    c.file("bare/a.jpg", jpeg(100, 80, 1));
    c.refuse(&["train", &c.path("bare"), "--weights", &weights, "--out", &out], 1, &["bare: ", "help:"]);
    let words = c.file("words.onnx", "hello, world");
    c.refuse(&["train", &photos, "--weights", &words], 1, &["words.onnx: found", "expected an ONNX model", "help:"]);
    c.refuse(&["train", &photos, "--weights", &c.path("none.onnx")], 1, &["none.onnx", "No such file"]);
    for i in 0..4 {
        c.file(&format!("void/{i}.jpg"), jpeg(100, 80, i));
        c.file(&format!("void/{i}.xml"), voc_xml(100, 80, &[]));
    }
    let labels = c.file("void/labels.txt", "cat\n");
    c.refuse(
        &["train", &c.path("void"), "--weights", &weights, "--out", &out],
        1,
        &["void: training split train: 3 images without a single object", "help:"],
    );
    c.refuse(&["train", &labels, "--weights", &weights, "--out", &out], 1, &["labels.txt: ", "help:"]);
    let plain = c.file("plain", "a file");
    c.refuse(&["train", &photos, "--weights", &weights, "--out", &plain], 1, &["plain", "cannot make the folder"]);

    c.refuse_training(&["--imgsz", "10"], 1, &["imgsz = 10, expected 64 to 1280"]);
    c.refuse_training(
        &["--batch", "4", "--micro-batch", "3"],
        1,
        &["micro_batch = 3, expected a divisor of batch = 4"],
    );
    c.refuse_training(&["--batch", "0"], 1, &["batch = 0"]);
    c.refuse_training(&["--batch", "99999"], 1, &["batch = 99999, expected at most"]);
    c.refuse_training(&["--lr", "nan"], 1, &["lr = NaN, expected more than 0"]);
    c.refuse_training(&["--lr", "-1"], 1, &["lr = -1, expected more than 0"]);
    c.refuse_training(&["--lr", "fast"], 2, &["invalid value 'fast' for '--lr"]);
    c.refuse_training(&["--epochs", "0"], 1, &["epochs = 0"]);
    c.refuse_training(&["--ema", "1"], 1, &["ema = 1, expected 0 or more and below 1"]);
    c.refuse_training(&["--freeze", "20"], 1, &["freeze = 20, expected at most 19"]);
    c.refuse_training(&["--seed", "9223372036854775808"], 1, &["seed = 9223372036854775808, expected at most"]);
    c.refuse_training(&["--threads", "100000"], 1, &["threads = 100000, expected at most"]);
    c.refuse_training(&["--val-share", "1.5"], 1, &["val_share = 1.5"]);
    c.refuse_training(&["--optimizer", "adam"], 2, &["possible values: adamw, sgd"]);
    c.refuse_training(&["--class-weight", "disc"], 2, &["expected NAME=WEIGHT"]);
    c.refuse_training(&["--class-weight", "disc=0"], 1, &["class_weights.disc = 0, expected more than 0"]);
    c.refuse_training(
        &["--class-weight", "cat=2"],
        1,
        &["class_weights.cat: no such class, expected one of disc, square"],
    );
    c.refuse_training(&["--train-split", "tran"], 1, &["no split \"tran\"", "train, trainval, val"]);
    c.refuse_training(&["--val-split", "test"], 1, &["no split \"test\""]);
    c.refuse_training(&["--config", &c.path("none.toml")], 1, &["none.toml: cannot read the job file"]);
    fs::create_dir_all(c.path("out/taken/weights")).expect("a folder");
    c.refuse_training(&["--name", "taken"], 1, &["taken: a run of that name exists", "--resume", "--name"]);
    c.file("out/file", "");
    c.refuse_training(&["--name", "file"], 1, &["file: cannot make the run folder"]);

    c.refuse_job("[recipe]\nepoch = 3\n", &["job.toml: ", "line 2", "unknown field `epoch`", "help:"]);
    c.refuse_job("[recipe]\nepochs = \"many\"\n", &["job.toml: ", "line 2", "invalid type"]);
    c.refuse_job("epochs: 3\n", &["job.toml: ", "line 1", "help:"]);
    c.refuse_job("[recipe.augment]\nflip_horizontal = 3.0\n", &["augment.flip_horizontal = 3, expected 0 to 1"]);
    c.refuse_job("[recipe.augment]\ncontrast = [2.0, 0.5]\n", &["augment.contrast = [2, 0.5]"]);
    c.refuse_job("[recipe.augment]\nmax_zoom_out = inf\n", &["augment.max_zoom_out = inf"]);
    c.refuse_job("[recipe.optimizer]\nkind = \"sgd\"\nmomentum = 1.5\n", &["optimizer.momentum = 1.5"]);
    c.end(35);
}

#[test]
fn nothing_is_resumed_from_what_is_no_sound_run() {
    let mut c = Corner::new();
    let copied = c.dir.path().join("photos");
    copy_run(Path::new(&c.basis[0]), &copied);
    let own = [text(&copied).to_string(), c.basis[1].clone()];
    succeed(&training(&own, c.dir.path(), &["--epochs", "1", "--threads", "1"]));
    let good = PathBuf::from(c.path("run"));
    let last = fs::read(good.join("weights/last.ckpt")).expect("a checkpoint");

    c.refuse(&["train", "--resume", text(&good), "--lr", "0.1"], 2, &["cannot be used with"]);
    c.refuse(&["train", "--resume", &c.path("nowhere")], 1, &["nowhere: cannot resume", "help:"]);
    c.refuse(&["train", "--resume", text(&copied)], 1, &["no config.toml", "expected a run folder", "help:"]);
    let bare = good.join("../bare");
    fs::create_dir(&bare).expect("a folder");
    fs::copy(good.join("config.toml"), bare.join("config.toml")).expect("copies");
    c.refuse(&["train", "--resume", text(&bare)], 1, &["last.ckpt: no checkpoint", "help:"]);

    let mut resume = |name: &str, content: &[u8], parts: &[&str]| {
        let path = good.join("weights").join(name);
        fs::write(&path, content).expect("writes");
        c.refuse(&["train", "--resume", text(&path)], 1, &[&[name], parts].concat());
    };
    let previous = "previous.ckpt";
    resume("noise.ckpt", &[0xA5; 5000], &["not a whole safetensors file", previous]);
    resume("empty.ckpt", b"", &["not a whole safetensors file", previous]);
    resume("cut.ckpt", &last[..last.len() - 7], &["safetensors file", previous]);
    resume("long.ckpt", &[&last[..], b"more"].concat(), &["safetensors file", previous]);
    let flipped = |at: usize| {
        let mut bytes = last.clone();
        bytes[at] ^= 1;
        bytes
    };
    resume("flipped.ckpt", &flipped(last.len() - 5000), &["checksum", "expected", previous]);
    let rate = last.windows(10).position(|w| w == b"class_loss").expect("the header is text");
    resume("header.ckpt", &flipped(rate + 16), &["header checksum", "expected", previous]);
    let safetensors = |metadata: Option<(&str, &str)>| {
        let metadata = metadata.map(|(k, v)| HashMap::from([(k.to_string(), v.to_string())]));
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
        safetensors::serialize([("conv.weight", view)], metadata).expect("serialises")
    };
    resume("other.ckpt", &safetensors(Some(("format", "pt"))), &["a safetensors file of another program"]);
    let header = "version = 99\n";
    let future = format!("{:08x}\n{header}", crc32fast::hash(header.as_bytes()));
    resume("future.ckpt", &safetensors(Some(("fieldtune", &future))), &["of version 99, expected version 2", "help:"]);
    let header = "version = 2\n";
    let hollow = format!("{:08x}\n{header}", crc32fast::hash(header.as_bytes()));
    resume("hollow.ckpt", &safetensors(Some(("fieldtune", &hollow))), &["a header that cannot be read"]);

    // The set has as many photos as before, and one label is another.
    let label = copied.join("Annotations/scene_00001.xml");
    let xml = fs::read_to_string(&label).expect("a label");
    let (class, other) = if xml.contains("<name>disc") { ("disc", "square") } else { ("square", "disc") };
    fs::write(&label, xml.replacen(&format!("<name>{class}"), &format!("<name>{other}"), 1)).expect("writes");
    c.refuse(&["train", "--resume", text(&good)], 1, &["the data set has changed", "12 training images", "help:"]);
    fs::remove_dir_all(&copied).expect("removed");
    c.refuse(&["train", "--resume", text(&good)], 1, &["photos: no such data set"]);
    fs::write(good.join("config.toml"), "data = 3").expect("writes");
    c.refuse(&["train", "--resume", text(&good)], 1, &["config.toml", "invalid type"]);
    c.end(16);
}

#[test]
fn models_packs_and_figures_that_do_not_fit_are_refused() {
    let mut c = Corner::new();
    let [photos, model] = c.basis.clone();
    c.refuse(&[], 2, &["Usage"]);
    c.refuse(&["val"], 2, &["required"]);
    c.refuse(&["val", &model, &photos, "--split", "tset"], 1, &["no split \"tset\"", "train, trainval, val", "help:"]);
    write_weights(&c.dir.path().join("cats.onnx"), &["cat", "dog"]);
    c.refuse(&["val", &c.path("cats.onnx"), &photos], 1, &["cats.onnx: no class \"disc\" among cat, dog", "help:"]);
    let cut = fs::read(&model).expect("a model");
    let cut = c.file("cut.onnx", &cut[..cut.len() / 2]);
    c.refuse(&["val", &cut, &photos], 1, &["cut.onnx: found", "expected an ONNX model"]);
    c.refuse(&["val", &photos, &photos], 1, &["not a regular file"]);

    let truth = c
        .file("truth.json", r#"{"images": [{"id": 1, "width": 9, "height": 9}], "annotations": [], "categories": []}"#);
    let list = c.file("list.json", "[]");
    let words = c.file("words.json", "{\"images\": [");
    c.refuse(&["val", "--ground-truth", &words, "--detections", &list], 1, &["words.json"]);
    c.refuse(&["val", "--ground-truth", &c.path("no.json"), "--detections", &list], 1, &["no.json"]);
    c.refuse(&["val", "--ground-truth", &truth, "--detections", &words], 1, &["words.json"]);
    c.refuse(&["val", "--ground-truth", &truth], 2, &["--detections"]);

    let prose = c.file("seen/b.txt", "no photo");
    let whole = c.file("seen/a.jpg", jpeg(120, 90, 3));
    let half = jpeg(120, 90, 4);
    let half = c.file("seen/half.jpg", &half[..40]);
    let (shown, none) = (c.path("shown"), c.path("none.jpg"));
    c.refuse(&["predict", &model, &prose, &half, &none, &whole, "-o", &shown], 1, &["b.txt", "half.jpg", "none.jpg"]);
    let seen: Value =
        serde_json::from_slice(&fs::read(c.path("shown/detections.json")).expect("written")).expect("JSON");
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "the sound photo is looked at all the same");
    fs::create_dir(c.path("empty")).expect("a folder");
    c.refuse(&["predict", &model, &c.path("empty")], 1, &["no photo found", "help:"]);
    c.refuse(&["predict", &c.path("no.onnx"), &whole], 1, &["no.onnx"]);
    c.refuse(&["predict", &model, &whole, "-o", &prose], 1, &["b.txt: cannot make the folder"]);
    c.refuse(&["export", &model, "-o", &format!("{prose}/ssd.onnx")], 1, &["ssd.onnx: cannot write", "help:"]);

    c.refuse(&["pack", &photos, "-o", &format!("{prose}/p.pack")], 1, &["p.pack: cannot write the pack", "help:"]);
    c.refuse(&["pack", &c.path("nowhere"), "-o", &c.path("p.pack")], 1, &["nowhere"]);
    succeed(&["pack", &photos, "-o", &c.path("p.pack")]);
    let pack = fs::read(c.path("p.pack")).expect("a pack");
    let cut = c.file("cut.pack", &pack[..pack.len() / 2]);
    let mut damaged = pack.clone();
    damaged[500] ^= 4;
    let damaged = c.file("damaged.pack", &damaged);
    let prose = c.file("prose.pack", "no pack at all");
    for (pack, part) in [(&cut, "the pack is cut off"), (&damaged, "the pack is damaged"), (&prose, "expected a pack")]
    {
        let out = c.path("out");
        c.refuse(&["train", pack, "--weights", &model, "--out", &out], 1, &[part, "help:"]);
        c.refuse(&["val", &model, pack, "--split", "all"], 1, &[part, "help:"]);
    }
    c.refuse(&["check", &c.path("nowhere")], 1, &["nowhere"]);
    c.refuse(&["check", &photos, "--imgsz", "5"], 1, &["imgsz = 5"]);
    c.refuse(&["demo", "--images", "1"], 1, &["images = 1, expected at least"]);
    c.refuse(&["demo", "--epochs", "0", "--out", &c.path("demo")], 1, &["epochs = 0"]);
    c.end(25);
}

/// The findings of `check --json`, by kind, and its exit code.
fn findings(path: &Path) -> (HashMap<String, Vec<Value>>, Value) {
    let output = run(&["check", text(path), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON on standard output");
    let mut kinds: HashMap<String, Vec<Value>> = HashMap::new();
    for finding in report["findings"].as_array().expect("a list") {
        let keys: Vec<&str> = finding.as_object().expect("an object").keys().map(String::as_str).collect();
        for key in ["kind", "severity", "file", "detail", "action"] {
            assert!(keys.contains(&key) && finding[key].is_string(), "{finding}");
        }
        assert!(["error", "warning", "info"].contains(&finding["severity"].as_str().expect("a text")), "{finding}");
        kinds.entry(finding["kind"].as_str().expect("a text").into()).or_default().push(finding.clone());
    }
    (kinds, report["classes"].clone())
}

#[test]
fn check_names_the_known_defects_of_real_sets() {
    let Some(data) = shared("data") else { return };
    let (bccd, classes) = findings(&data.join("bccd"));
    let counts = |kinds: &HashMap<String, Vec<Value>>, kind: &str| kinds.get(kind).map_or(0, Vec::len);
    assert_eq!((counts(&bccd, "zero-area-box"), counts(&bccd, "near-duplicate-box")), (2, 7), "{bccd:?}");
    assert_eq!(classes.as_object().map(|c| c.len()), Some(3), "{classes}");
    let (raccoon, _) = findings(&data.join("raccoon"));
    assert!(counts(&raccoon, "duplicate-image") + counts(&raccoon, "duplicate-image-across-splits") > 0, "{raccoon:?}");
    let (boards, _) = findings(&data.join("microcontrollers"));
    assert!(boards.values().flatten().all(|f| f["severity"] == "info"), "{boards:?}");
}
