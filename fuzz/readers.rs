//! One function a reader of the program: bytes in, as the file that a user would name; whatever it makes of them but a
//! panic, an abort or a hang is right.
//!
//! cargo-fuzz's targets and `tests/it/fuzz.rs` share this file.

use fieldtune::boxes::Anchors;
use fieldtune::config::JobFile;
use fieldtune::data::{CheckOptions, DataSet, Pack, Photo, SplitOptions, check};
use fieldtune::fleet::wire::{FleetMessage, MessageMetadata, ObjectId, read as read_message};
use fieldtune::interchange::import;
use fieldtune::model::ssdlite_mobilenet_v2;
use fieldtune::serve::Request;
use fieldtune::train::Checkpoint;
use fieldtune::watchdog::{Mode, Watchdog, parse, read_trace, replay, story};
use prost::Message as _;
use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// A reader: its name, the file that the input becomes below its folder, and what is done with it.
pub struct Reader {
    pub name: &'static str,
    pub file: &'static str,
    read: fn(&Path),
}

/// All of them.
pub const READERS: [Reader; 27] = [
    Reader { name: "voc", file: "voc/a.xml", read: data_set },
    Reader { name: "coco", file: "coco/a.json", read: data_set },
    Reader { name: "yolo", file: "yolo/a.txt", read: data_set },
    Reader { name: "data_yaml", file: "data_yaml/data.yaml", read: data_set },
    Reader { name: "csv", file: "csv/a.csv", read: data_set },
    Reader { name: "cvat", file: "cvat/annotations.xml", read: data_set },
    Reader { name: "labelme", file: "labelme/a.json", read: data_set },
    Reader { name: "label_studio", file: "label_studio/export.json", read: data_set },
    Reader { name: "createml", file: "createml/_annotations.createml.json", read: data_set },
    Reader { name: "via", file: "via/via_project.json", read: data_set },
    Reader { name: "open_images", file: "open_images/sub-train-annotations-bbox.csv", read: data_set },
    Reader { name: "kitti", file: "kitti/a.txt", read: data_set },
    Reader { name: "visdrone", file: "visdrone/a.txt", read: data_set },
    Reader { name: "tfrecord", file: "tfrecord/train.tfrecord", read: data_set },
    Reader { name: "zip", file: "zip/set.zip", read: archive },
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
    Reader { name: "http", file: "http/request", read: request },
    Reader { name: "fleet_message", file: "fleet_message/message", read: fleet_message },
];

/// True if the reader's input is the labels of a data set.
pub fn is_data_set(reader: &Reader) -> bool {
    [data_set as fn(&Path), archive].iter().any(|read| std::ptr::fn_addr_eq(reader.read, *read))
}

/// Makes the folder of a reader, with the files beside which its input stands.
pub fn prepare(reader: &Reader, below: &Path) -> PathBuf {
    let file = below.join(reader.file);
    let folder = file.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder is made");
    if is_data_set(reader) && !matches!(reader.name, "tfrecord" | "zip") {
        let photos = if reader.name == "open_images" { folder.join("train") } else { folder.to_path_buf() };
        fs::create_dir_all(&photos).expect("a folder is made");
        fs::write(photos.join("a.bmp"), bmp()).expect("writes");
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
    looked_through(file.parent().expect("a folder"));
}

fn archive(file: &Path) {
    looked_through(file);
}

fn looked_through(place: &Path) {
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    let anchors = ANCHORS.get_or_init(|| Anchors::tf_ssd(&ssdlite_mobilenet_v2(1.0, 2, false).map_sizes([96; 2])));
    let Ok(set) = DataSet::open(place) else { return };
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

/// A request as a server's connection brings it.
fn request(file: &Path) {
    const MOST_BODY: usize = 4096;
    static LISTENER: OnceLock<(TcpListener, SocketAddr)> = OnceLock::new();
    let (listener, address) = LISTENER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    });
    let Ok(bytes) = fs::read(file) else { return };
    let mut client = TcpStream::connect(address).expect("the listener is there");
    let (mut server, _) = listener.accept().expect("somebody has come");
    // What is longer than a socket takes at once is longer than a request may be.
    let sent = bytes.len().min(2 * MOST_BODY + 8192);
    client.write_all(&bytes[..sent]).and_then(|()| client.shutdown(Shutdown::Write)).expect("the server is there");
    if let Ok(request) = Request::read(&mut server, MOST_BODY, Duration::from_secs(1)) {
        assert!(request.path.starts_with('/') && request.body.len() <= MOST_BODY);
        let _ = (request.query("token"), request.header("host"));
    }
}

/// Between the objects of a fleet's message.
pub const BETWEEN_SECTIONS: &[u8] = b"\n--\n";

/// Objects as a server sends them: each has the hash of its content for an id, or a message would be refused unread. A
/// section has a line with an object's kind and the numbers of its children, and its body, in which `@N` is the id of
/// section N. The last is the message itself.
fn fleet_message(file: &Path) {
    let _ = fleet_numbers(file);
}

/// The count of numbers in a sound message's arrays.
pub fn fleet_numbers(file: &Path) -> Option<usize> {
    const MOST_SECTIONS: usize = 64;
    let bytes = fs::read(file).ok()?;
    let mut objects: Vec<(String, Vec<u8>)> = Vec::new();
    let mut metadata = MessageMetadata::default();
    for section in split(&bytes, BETWEEN_SECTIONS).into_iter().take(MOST_SECTIONS) {
        let end = section.iter().position(|b| *b == b'\n').unwrap_or(section.len());
        let head = String::from_utf8_lossy(&section[..end]).into_owned();
        let (kind, children) = head.split_once(' ').unwrap_or((&head, ""));
        let mut body = section.get(end + 1..).unwrap_or_default().to_vec();
        if let Ok(text) = String::from_utf8(body.clone()) {
            let ids = objects.iter().enumerate();
            body = ids.fold(text, |text, (n, (id, _))| text.replace(&format!("@{n}"), id)).into_bytes();
        }
        let children = children.split(',').filter_map(|n| objects.get(n.trim().parse::<usize>().ok()?));
        let children = children.map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(",");
        metadata = FleetMessage::decode(&body[..]).ok().and_then(|message| message.metadata).unwrap_or_default();
        let object = [format!("{kind} {children} {}\0", body.len()).as_bytes(), &body].concat();
        objects.push((ObjectId::of(&object).as_str().to_string(), object));
    }
    metadata.message_id = objects.last().map(|(id, _)| id.clone()).unwrap_or_default();
    let fetch = &mut |id: &ObjectId| {
        let found = objects.iter().find(|(own, _)| own == id.as_str());
        found.map(|(_, object)| object.clone()).ok_or("no such object")
    };
    let content = read_message(&metadata, fetch).ok()?;
    let numbers: usize = content.arrays.iter().map(|(_, array)| array.shape.iter().product::<usize>()).sum();
    assert!(numbers <= MOST_SECTIONS * bytes.len(), "no more numbers than have come");
    Some(numbers)
}

/// The pieces of `bytes` between a mark.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    while let Some(at) = bytes[from..].windows(mark.len()).position(|w| w == mark) {
        pieces.push(&bytes[from..from + at]);
        from += at + mark.len();
    }
    pieces.push(&bytes[from..]);
    pieces
}

fn job(file: &Path) {
    let Ok(job) = JobFile::read(file) else { return };
    if job.recipe.check().is_ok() {
        let _ = (job.recipe.schedule(1000).factor(7), job.to_toml());
    }
}
