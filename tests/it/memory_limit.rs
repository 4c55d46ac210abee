//! `--memory` as a promise: a run stays within it and its program's size of address space, where the same run without it
//! dies.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use crate::photos::voc_xml;
use crate::runs::{run, stderr, text};
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const MEMORY_MB: u64 = 72;

/// 80 scenes, and a photo that takes 48 MB when it is decoded whole.
fn scenes(below: &Path) -> String {
    let set = below.join("scenes");
    let written = run(&["demo", "--images", "80", "--imgsz", "320", "--write", text(&set)]);
    assert!(written.status.success(), "{}", stderr(&written));
    let side = 4000u32;
    let mut bytes = Vec::new();
    let pixels = vec![99; (side * side) as usize];
    JpegEncoder::new_with_quality(&mut bytes, 50)
        .write_image(&pixels, side, side, ExtendedColorType::L8)
        .expect("encodes");
    fs::write(set.join("JPEGImages/large.jpg"), bytes).expect("writes");
    let objects = [("disc", [1000, 1000, 3000, 3000])];
    fs::write(set.join("Annotations/large.xml"), voc_xml(side, side, &objects)).expect("writes");
    let list = set.join("ImageSets/Main/train.txt");
    let names = fs::read_to_string(&list).expect("a list of scenes");
    fs::write(list, names + "large\n").expect("writes");
    text(&set).into()
}

/// Trains in as much address space as `MEMORY_MB` and the program's file.
fn train_within(arguments: &[&str], set: &str, out: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_fieldtune");
    let limit = (MEMORY_MB << 10) + (fs::metadata(program).expect("the program").len() >> 10);
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo.onnx");
    let fixed = ["--imgsz", "320", "--batch", "32", "--micro-batch", "32", "--epochs", "1", "--threads", "1"];
    Command::new("sh")
        .args(["-c", "ulimit -v $0 && exec \"$@\"", &limit.to_string(), program, "train", set])
        .args(["--weights", text(&start), "--out", text(out), "--name", "run"])
        .args(fixed)
        .args(arguments)
        .output()
        .expect("a shell")
}

#[test]
fn a_run_keeps_to_the_memory_it_was_given() {
    let below = tempfile::tempdir().expect("a temporary folder");
    let set = scenes(below.path());
    let free = train_within(&[], &set, &below.path().join("free"));
    assert!(!free.status.success(), "without the bound it must need more: {}", stderr(&free));

    let bounded = train_within(&["--memory", &MEMORY_MB.to_string()], &set, &below.path().join("bounded"));
    let said = stderr(&bounded);
    assert!(bounded.status.success(), "{said}");
    assert!(said.contains("micro-batch 8 instead of 32"), "{said}");
    assert!(below.path().join("bounded/run/weights/best.onnx").is_file(), "{said}");

    let less = train_within(&["--memory", "32"], &set, &below.path().join("less"));
    assert_eq!(less.status.code(), Some(1), "{}", stderr(&less));
    assert!(stderr(&less).contains("memory: training takes"), "{}", stderr(&less));
    let absurd = train_within(&["--memory", "3"], &set, &below.path().join("absurd"));
    assert!(stderr(&absurd).contains("memory_mb = 3, expected 32 to 1048576 MB"), "{}", stderr(&absurd));
}
