//! `predict` on lists and streams, its labels read back, and the detector as an endpoint.

use crate::photos::jpeg;
use crate::runs::{basis, program, run, stderr, succeed, text};
use crate::web::{ask, get, start};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Lowest score at which a network that has seen nothing finds something.
const LOW: &str = "0.3";

fn photos() -> Vec<PathBuf> {
    let folder = Path::new(&basis()[0]).join("JPEGImages");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).expect("photos").flatten().map(|e| e.path()).collect();
    all.sort();
    all.truncate(4);
    all
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The findings, without names and times.
fn found(values: &[Value]) -> Vec<Value> {
    values.iter().map(|v| json!([v["width"], v["height"], v["detections"]])).collect()
}

/// Sends SIGTERM and waits for the end.
#[cfg(unix)]
fn stopped(child: &mut std::process::Child) -> Option<i32> {
    crate::runs::send(child, libc::SIGTERM);
    child.wait().expect("it ends").code()
}

/// Runs `predict` with bytes on standard input.
fn fed(arguments: &[&str], bytes: &[u8]) -> std::process::Output {
    let mut command = program(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("it is piped");
    // It may refuse before it has read all.
    let _ = pipe.write_all(bytes);
    drop(pipe);
    child.wait_with_output().expect("it ends")
}

#[test]
fn labels_of_every_format_are_read_back_with_the_same_boxes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [_, model] = basis();
    // Two photos of one name, and one whose name is markup.
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let odd = "<script>&'x.jpg";
    for (folder, name, seed) in [(&one, "a.jpg", 3), (&other, "a.jpg", 4), (&other, odd, 5)] {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join(name), jpeg(160, 120, seed)).expect("writes");
    }
    let out = dir.path().join("out");
    let arguments = ["predict", &model, text(&one), text(&other), "--conf", LOW, "--save", "pictures,voc,yolo,coco"];
    succeed(&[&arguments[..], &["-o", text(&out)]].concat());
    let list: Value = serde_json::from_slice(&fs::read(out.join("detections.json")).expect("a list")).expect("JSON");
    let count: usize =
        list.as_array().expect("a list").iter().map(|p| p["detections"].as_array().map_or(0, Vec::len)).sum();
    assert!(count > 0, "the network finds something at {LOW}");
    for name in ["a.jpg", "a-2.jpg", odd] {
        assert!(out.join(name).is_file(), "{name}");
    }
    for format in ["voc", "yolo", "coco"] {
        let checked = run(&["check", text(&out.join(format)), "--json"]);
        let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        let said = report.to_string();
        assert_eq!(checked.status.code(), Some(0), "{format}: {said}");
        assert!(
            said.contains(&format!(":{count},")) || said.contains(&format!(":{count}}}")),
            "{format}, {count}: {said}"
        );
    }
    let again = succeed(&[&arguments[..], &["-o", text(&out)]].concat());
    assert!(again.contains("out-2"), "{again}");
}

#[test]
fn frames_of_a_stream_are_seen_as_the_files_are() {
    let [_, model] = basis();
    let photos = photos();
    let names: Vec<&str> = photos.iter().map(|p| text(p)).collect();
    let listed = run(&[&["predict", &model, "--jsonl", "--conf", LOW][..], &names].concat());
    let listed = lines(&listed.stdout);
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|l| l["ms"].as_f64().is_some_and(|ms| ms > 0.0)), "{listed:?}");
    let bytes: Vec<Vec<u8>> = photos.iter().map(|p| fs::read(p).expect("a photo")).collect();
    let broken = bytes[0][..bytes[0].len() - 60].to_vec();
    let stream =
        [b"--boundary\r\n".to_vec(), bytes[0].clone(), bytes[1].clone(), broken, bytes[2].clone(), bytes[3].clone()];
    let output = fed(&["predict", &model, "-", "--conf", LOW], &stream.concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(found(&lines(&output.stdout)), found(&listed));
    assert!(stderr(&output).contains("frames per second; latency"), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 frames broke off"), "{}", stderr(&output));

    let image = image::open(&photos[0]).expect("a photo").into_rgb8();
    let size = format!("{}x{}", image.width(), image.height());
    let plain = [image.as_raw().clone(), image.as_raw().clone()].concat();
    let output = fed(&["predict", &model, "-", "--conf", LOW, "--raw", &size], &plain);
    let twice = [listed[0].clone(), listed[0].clone()];
    assert_eq!(found(&lines(&output.stdout)), found(&twice), "{}", stderr(&output));
    let output = fed(&["predict", &model, "-", "--raw", &size], &plain[1..]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("frame 2 has"), "{}", stderr(&output));
}

/// Cameras leave out the Huffman tables, which are the same in every frame of motion JPEG.
#[test]
fn frames_without_huffman_tables_are_decoded() {
    let [_, model] = basis();
    let whole = jpeg(96, 64, 7);
    let (mut bare, mut at) = (whole[..2].to_vec(), 2);
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            bare.extend_from_slice(&whole[at..end]);
        }
        at = end;
    }
    bare.extend_from_slice(&whole[at..]);
    assert!(bare.len() < whole.len());
    let output = fed(&["predict", &model, "-"], &bare);
    assert_eq!(lines(&output.stdout).len(), 1, "{}", stderr(&output));
}

/// Intersection over union of two boxes: left, top, right, bottom.
fn iou(a: &Value, b: &Value) -> f64 {
    let [a, b] = [a, b].map(|v| [0, 1, 2, 3].map(|i| v[i].as_f64().expect("a number")));
    let area = |c: [f64; 4]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    common / (area(a) + area(b) - common)
}

#[test]
fn scores_of_classes_and_suppression_over_classes_are_as_asked() {
    let [_, model] = basis();
    let photos = photos();
    let ask = |more: &[&str]| {
        let output = run(&[&["predict", &model, "--jsonl", text(&photos[0])][..], more].concat());
        lines(&output.stdout)[0]["detections"].as_array().expect("a list").clone()
    };
    let all = ask(&["--conf", LOW]);
    let first = all[0]["class"].as_str().expect("a name").to_string();
    let without = ask(&["--conf", LOW, "--conf", &format!("{first}=1")]);
    assert!(without.iter().all(|d| d["class"] != first.as_str()), "{without:?}");
    // At most a hundred are told, so that there is room for more of them.
    let expected: Vec<&Value> = all.iter().filter(|d| d["class"] != first.as_str()).collect();
    assert!(!expected.is_empty() && without.iter().zip(&expected).all(|(a, b)| a == *b), "they are as they were");
    let agnostic = ask(&["--conf", LOW, "--agnostic"]);
    let overlaps = |found: &[Value]| {
        (1..found.len()).any(|i| found[..i].iter().any(|other| iou(&found[i]["box"], &other["box"]) > 0.5 + 1e-9))
    };
    assert!(overlaps(&all) && !overlaps(&agnostic), "one place, one object");
    assert_eq!(agnostic[0], all[0]);
    let output = run(&["predict", &model, text(&photos[0]), "--conf", "nobody=0.5"]);
    assert!(stderr(&output).contains("no such class\nhelp: the model has"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_watched_folder_is_looked_at_until_stopped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (seen, out) = (dir.path().join("seen"), dir.path().join("seen/results"));
    fs::create_dir(&seen).expect("a folder");
    fs::write(seen.join("a.jpg"), jpeg(96, 64, 1)).expect("writes");
    let [_, model] = basis();
    let mut child = program(&["predict", &model, "--watch", text(&seen), "-o", text(&out)]).spawn().expect("it starts");
    let began = std::time::Instant::now();
    let count = || fs::read_to_string(out.join("detections.jsonl")).map_or(0, |t| t.lines().count());
    for expected in 1..=2 {
        while count() < expected {
            assert!(began.elapsed().as_secs() < 120, "{} of {expected}", count());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        fs::write(seen.join("b.jpg"), jpeg(96, 64, 2)).expect("writes");
    }
    assert_eq!(stopped(&mut child), Some(0));
    assert!(out.join("a.jpg").is_file() && out.join("b.jpg").is_file());
}

#[test]
fn a_run_folder_is_its_best_weights() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [_, model] = basis();
    let photo = text(&photos()[0]).to_string();
    fs::create_dir(dir.path().join("weights")).expect("a folder");
    fs::write(dir.path().join("config.toml"), "").expect("writes");
    let output = run(&["predict", text(dir.path()), &photo, "--json"]);
    assert!(stderr(&output).contains("best.onnx: not there, the first epoch"), "{}", stderr(&output));
    fs::copy(&model, dir.path().join("weights/best.onnx")).expect("copies");
    succeed(&["predict", text(dir.path()), &photo, "--json"]);
}

#[test]
fn other_programs_get_what_predict_finds() {
    let [_, model] = basis();
    let photo = photos().remove(0);
    let bytes = fs::read(&photo).expect("a photo");
    let listed = lines(&run(&["predict", &model, text(&photo), "--jsonl", "--conf", LOW]).stdout);
    let folder = photo.parent().expect("a folder");
    let (mut child, address, _) =
        start(program(&["serve-model", &model, "--serve", "127.0.0.1:0", "--conf", LOW, "--photos", text(folder)]));
    let (status, _, body) = ask(address, "POST /detect", "", &bytes);
    assert_eq!((status, found(&lines(&body))), (200, found(&listed)));
    assert!(get(address, "/health").1.contains("\"status\":\"UP\""));
    for (body, answer) in [(&b""[..], 422), (b"no picture", 422), (&bytes[..bytes.len() / 2], 422)] {
        assert_eq!(ask(address, "POST /detect", "", body).0, answer);
    }
    let labels: String = listed[0]["detections"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| format!("<Label value={}/>", d["class"]))
        .collect();
    let config = format!(
        "<View><Image name='i' value='$image'/><RectangleLabels name='l' toName='i'>{labels}</RectangleLabels></View>"
    );
    let inside = format!("data:image/jpeg;base64,{}", STANDARD.encode(&bytes));
    let local = format!("/data/local-files/?d={}", photo.file_name().and_then(|n| n.to_str()).expect("a name"));
    let tasks =
        json!([{"id": 1, "data": {"image": inside}}, {"id": 2, "data": {"image": local}}, {"id": 3, "data": {}}]);
    let body = json!({"tasks": tasks, "label_config": config, "params": {}}).to_string();
    let (status, _, body) = ask(address, "POST /predict", "Content-Type: application/json\r\n", body.as_bytes());
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(status, 200, "{answer}");
    let count = listed[0]["detections"].as_array().map_or(0, Vec::len);
    for (task, expected) in [(0, count), (1, count), (2, 0)] {
        assert_eq!(answer["results"][task]["result"].as_array().map(Vec::len), Some(expected), "task {task}");
    }
    #[cfg(unix)]
    assert_eq!(stopped(&mut child), Some(0));
    #[cfg(not(unix))]
    child.kill().expect("it ends");
}
