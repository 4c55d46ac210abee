//! One function a reader of the program: bytes in, as the file that a user would name; whatever it makes of them but a
//! panic, an abort or a hang is right.
//!
//! cargo-fuzz's targets and `tests/it/fuzz.rs` share this file.

use fieldtune::boxes::Anchors;
use fieldtune::config::JobFile;
use fieldtune::data::{CheckOptions, DataSet, Pack, Photo, SplitOptions, check};
use fieldtune::interchange::import;
use fieldtune::model::ssdlite_mobilenet_v2;
use fieldtune::train::Checkpoint;
use fieldtune::watchdog::{Mode, Watchdog, parse, read_trace, replay, story};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A reader: its name, the file that the input becomes below its folder, and what is done with it.
pub struct Reader {
    pub name: &'static str,
    pub file: &'static str,
    read: fn(&Path),
}

/// All of them.
pub const READERS: [Reader; 15] = [
    Reader { name: "voc", file: "voc/a.xml", read: data_set },
    Reader { name: "coco", file: "coco/a.json", read: data_set },
    Reader { name: "yolo", file: "yolo/a.txt", read: data_set },
    Reader { name: "data_yaml", file: "data_yaml/data.yaml", read: data_set },
    Reader { name: "csv", file: "csv/a.csv", read: data_set },
    Reader { name: "image", file: "image/a.png", read: |path| drop(Photo::read(path)) },
    Reader { name: "pack", file: "pack/a.pack", read: pack },
    Reader { name: "onnx", file: "onnx/a.onnx", read: |path| drop(import(path)) },
    Reader { name: "tflite", file: "tflite/a.tflite", read: |path| drop(import(path)) },
    Reader { name: "torch", file: "torch/a.pth", read: |path| drop(import(path)) },
    Reader { name: "safetensors", file: "safetensors/a.safetensors", read: |path| drop(import(path)) },
    Reader { name: "checkpoint", file: "checkpoint/a.ckpt", read: checkpoint },
    Reader { name: "journal", file: "journal/journal.jsonl", read: journal },
    Reader { name: "trace", file: "trace/trace.jsonl", read: trace },
    Reader { name: "job", file: "job/job.toml", read: job },
];

/// Makes the folder of a reader, with the files beside which its input stands.
pub fn prepare(reader: &Reader, below: &Path) -> PathBuf {
    let file = below.join(reader.file);
    let folder = file.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder is made");
    if matches!(reader.name, "voc" | "coco" | "yolo" | "data_yaml" | "csv") {
        fs::write(folder.join("a.bmp"), bmp()).expect("writes");
    }
    if reader.name == "yolo" {
        fs::write(folder.join("data.yaml"), "names: [cat, dog]\n").expect("writes");
    }
    if reader.name == "data_yaml" {
        fs::write(folder.join("a.txt"), "0 0.5 0.5 0.5 0.5\n").expect("writes");
    }
    file
}

/// Has a reader read bytes from its file.
pub fn read(reader: &Reader, file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("writes");
    (reader.read)(file);
}

/// For the fuzzer: one input, in a folder of the process.
#[allow(dead_code)]
pub fn one(name: &str, bytes: &[u8]) {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let reader = READERS.iter().find(|r| r.name == name).expect("a reader of this name");
    let file = FILE.get_or_init(|| {
        let below = std::env::temp_dir().join(format!("fieldtune-fuzz-{}", std::process::id()));
        prepare(reader, &below)
    });
    read(reader, file, bytes);
}

/// A picture of 12 x 8 pixels, 24 bits each.
pub fn bmp() -> Vec<u8> {
    let (width, height) = (12u32, 8u32);
    let mut bytes = b"BM".to_vec();
    let size = 54 + width * height * 3;
    for number in [size, 0, 54, 40, width, height, 1 | 24 << 16, 0, width * height * 3, 2835, 2835, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((0..width * height * 3).map(|i| (i * 7) as u8));
    bytes
}

fn data_set(file: &Path) {
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    let anchors = ANCHORS.get_or_init(|| Anchors::tf_ssd(&ssdlite_mobilenet_v2(1.0, 2, false).map_sizes([96; 2])));
    let Ok(set) = DataSet::open(file.parent().expect("a folder")) else { return };
    let split = SplitOptions { val_share: 0.2, seed: 0 };
    let report = check(&set, &CheckOptions { input_size: 96.into(), anchors: anchors.corners(), split });
    let _ = (report.render_table(), report.to_json().to_string());
}

fn pack(file: &Path) {
    let Ok(pack) = Pack::open(file) else { return };
    let roles = pack.roles();
    for name in ["all".into(), roles.train].into_iter().chain(roles.val) {
        let Ok(split) = pack.split(&name) else { continue };
        for i in 0..split.len() {
            let _ = (split.objects(i), split.record(i));
        }
    }
}

fn checkpoint(file: &Path) {
    let Ok(loaded) = Checkpoint::load(file) else { return };
    let Ok(state) = loaded.restore(file) else { return };
    let _ = state.averaged();
}

fn journal(file: &Path) {
    let Ok(text) = fs::read_to_string(file) else { return };
    let Ok(entries) = parse(&text) else { return };
    let again = replay(&entries);
    let _ = story(&again, &|image| format!("image {image}"));
    let lines: usize = again.iter().map(|entry| entry.to_line().len()).sum();
    assert!(lines > 0 || entries.is_empty() || again.is_empty());
}

fn trace(file: &Path) {
    let Ok(text) = fs::read_to_string(file) else { return };
    let Ok((facts, steps)) = read_trace(&text) else { return };
    let (mut watchdog, mut said) = Watchdog::begin(facts, Mode::Cure);
    steps.iter().for_each(|step| said.extend(watchdog.step(step)));
    let _ = story(&said, &|image| format!("image {image}"));
}

fn job(file: &Path) {
    let Ok(job) = JobFile::read(file) else { return };
    if job.recipe.check().is_ok() {
        let _ = (job.recipe.schedule(1000).factor(7), job.to_toml());
    }
}
