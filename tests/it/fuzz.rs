//! Every reader on sound inputs, changed at random but seeded, and on the inputs of `fuzz/corpus`: whatever they are,
//! they are answered, soon and without a panic.
//!
//! `FIELDTUNE_FUZZ_SECONDS` (a reader; 1 if not set), `FIELDTUNE_FUZZ_SEED` and `FIELDTUNE_FUZZ_ONLY` (names, with commas)
//! make a longer run of it; `FIELDTUNE_FUZZ_CORPUS` names a folder for the sound inputs, as seeds of cargo-fuzz.

use crate::resume::finished;
use crate::runs::text;
use fieldtune::data::DataSet;
use fieldtune::fleet::wire::{FleetMessage, MessageMetadata};
use image::{DynamicImage, ImageFormat, RgbImage};
use prost::Message as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../../fuzz/mutator.rs"]
mod mutator;
#[path = "../../fuzz/readers.rs"]
mod readers;
#[path = "../../fuzz/seeds.rs"]
mod sound;

use mutator::{Dice, mutate, mutate_checkpoint, mutate_pack, mutate_record};
use readers::{READERS, Reader, prepare, read};

/// No input may take longer; the slowest that is allowed anything is a long text of rules to be lived through.
const LONGEST: Duration = Duration::from_secs(2);

/// Inputs between looks at the clock.
const ROUND: usize = 16;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The files that mutations start from.
fn seeds(reader: &Reader) -> Vec<Vec<u8>> {
    let run = finished();
    let of = |path: PathBuf| fs::read(path).expect("a result of the run");
    let head = |bytes: Vec<u8>, lines: usize| -> Vec<u8> {
        bytes.split_inclusive(|b| *b == b'\n').take(lines).flatten().copied().collect()
    };
    match reader.name {
        "voc" => vec![VOC.into()],
        "coco" => vec![COCO.into()],
        "yolo" => vec![b"0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.2 0.1 0.3 0.3 0.1 0.4\n".to_vec()],
        "data_yaml" => vec![
            b"train: images\nval: images\nnc: 2\nnames: [cat, dog]\n".to_vec(),
            b"path: .\nnames:\n  0: cat\n  1: dog\ntrain: [a.bmp]\n".to_vec(),
        ],
        "csv" => vec![
            b"filename,width,height,class,xmin,ymin,xmax,ymax\na.bmp,12,8,cat,1,1,6,5\na.bmp,12,8,\"dog, big\",2,2,9,7\n"
                .to_vec(),
        ],
        "image" => images(),
        "pack" => vec![of(run.join("photos.pack"))],
        "onnx" => vec![of(run.join("run/weights/best.onnx"))],
        "tflite" => vec![b"\x1c\0\0\0TFL3\x14\0 \0\x1c\0\x18\0\x14\0\x10\0\x0c\0\0\0\x08\0\x04\0\x14\0\0\0\x1c\0\0\0".to_vec()],
        "torch" => vec![torch()],
        "safetensors" | "checkpoint" => vec![of(run.join("run/weights/last.ckpt"))],
        "journal" => vec![head(of(run.join("run/journal.jsonl")), 60)],
        "trace" => vec![traces()],
        "job" => vec![of(run.join("run/config.toml")), b"data = \"photos\"\n[recipe]\nepochs = 3\n[service]\npoll_s = 1\n".into()],
        "tfrecord" => vec![sound::tfrecord()],
        "zip" => vec![sound::zip(VOC)],
        "fleet_message" => vec![sound::fleet_message(&fleet_root())],
        other => vec![sound::text(other).unwrap_or_else(|| panic!("no seeds for {other}")).into()],
    }
}

const VOC: &[u8] = b"<annotation><folder>a</folder><filename>a.bmp</filename><size><width>12</width><height>8</height>\
<depth>3</depth></size><object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax>\
<ymax>5</ymax></bndbox></object><object><name>dog</name><bndbox><xmin>2.5</xmin><ymin>2</ymin><xmax>9</xmax><ymax>7</ymax>\
</bndbox></object></annotation>\n";

const COCO: &[u8] = br#"{"images": [{"id": 1, "file_name": "a.bmp", "width": 12, "height": 8}],
"categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog", "supercategory": "pet"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 4], "area": 20, "iscrowd": 0},
{"id": 2, "image_id": 1, "category_id": 7, "bbox": [2.5, 2, 6, 5], "segmentation": [[2, 2, 8, 2, 8, 7]], "iscrowd": 1}]}
"#;

fn images() -> Vec<Vec<u8>> {
    let picture = DynamicImage::from(RgbImage::from_fn(24, 16, |x, y| image::Rgb([(x * 9) as u8, (y * 15) as u8, 77])));
    let deep = DynamicImage::from(picture.to_rgba16());
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];
    let encode = |picture: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("it is encoded");
        bytes.into_inner()
    };
    let mut all: Vec<Vec<u8>> = formats.iter().map(|f| encode(&picture, *f)).collect();
    all.push(encode(&deep, ImageFormat::Png));
    all
}

/// A zip with a pickle, as PyTorch writes them, of an empty dictionary.
fn torch() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in
        [("archive/data.pkl", &b"\x80\x02}q\0X\x01\0\0\0aq\x01K\x01s."[..]), ("archive/version", b"3\n")]
    {
        zip.start_file(name, options).expect("a file");
        zip.write_all(bytes).expect("its bytes");
    }
    zip.finish().expect("a zip").into_inner()
}

/// The metadata of a training message, as a server encodes it.
fn fleet_root() -> Vec<u8> {
    let metadata = MessageMetadata {
        run_id: 7,
        dst_node_id: 9,
        message_type: "train".into(),
        group_id: "1".into(),
        ttl: 3600.0,
        ..MessageMetadata::default()
    };
    FleetMessage { metadata: Some(metadata), ..FleetMessage::default() }.encode_to_vec()
}

/// As [`mutate`], of the label file in an archive or of its name, mostly; the archive is packed again.
fn mutate_archive(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    if dice.below(4) == 0 {
        return mutate(bytes, other, dice);
    }
    let (mut name, mut labels) = (b"set/a.xml".to_vec(), VOC.to_vec());
    let changed = if dice.below(2) == 0 { &mut name } else { &mut labels };
    mutate(changed, VOC, dice);
    let name = String::from_utf8_lossy(&name[..name.len().min(300)]).into_owned();
    *bytes = sound::packed(&[("set/a.bmp".into(), readers::bmp()), (name, labels)]);
}

fn traces() -> Vec<u8> {
    let step = |i: u32| {
        format!(
            "{{\"step\": {i}, \"epoch\": {}, \"lr\": 0.001, \"cls\": {:.3}, \"box\": 1.0, \"grad_norm\": {}, \"pos_per_image\": \
             [{}, 2], \"grad_norm_stage\": {{\"stem\": 0.1, \"blocks_0_2\": 0.2}}, \"update_weight_ratio\": {{\"extras\": \
             0.01}}, \"dead_channels\": {{\"Conv\": 0}}, \"sat6_share\": {{\"Conv_1\": 0.2}}, \"response\": 1.0}}\n",
            i / 12,
            3.0 - f64::from(i) / 100.0,
            1 + i % 3,
            i % 4
        )
    };
    (0..40).map(step).collect::<String>().into_bytes()
}

/// Reads one input and returns how long that took; a panic is told with what it was about.
fn answered(reader: &Reader, file: &Path, bytes: &[u8], told: &str) -> Duration {
    let began = Instant::now();
    let done = std::panic::catch_unwind(|| read(reader, file, bytes));
    let took = began.elapsed();
    if done.is_err() || took > LONGEST {
        let kept = std::env::temp_dir().join(format!("fieldtune-fuzz-{}-{:08x}", reader.name, crc32fast::hash(bytes)));
        fs::write(&kept, bytes).expect("writes");
        assert!(done.is_ok(), "{}: {told}: a panic, input {}", reader.name, kept.display());
        assert!(took <= LONGEST, "{}: {told}: {took:?}, input {}", reader.name, kept.display());
    }
    took
}

#[test]
fn inputs_that_broke_something_are_answered() {
    let below = tempfile::tempdir().expect("a temporary folder");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for reader in &READERS {
        let file = prepare(reader, below.path());
        let Ok(entries) = fs::read_dir(corpus.join(reader.name)) else { continue };
        for entry in entries.flatten() {
            let bytes = fs::read(entry.path()).expect("it is read");
            answered(reader, &file, &bytes, text(&entry.path()));
            count += 1;
        }
    }
    assert!(count > 0, "the corpus is there");
}

/// Mutations of inputs that are refused at once would reach little of a reader.
#[test]
fn sound_inputs_are_read() {
    let below = tempfile::tempdir().expect("a temporary folder");
    for reader in READERS.iter().filter(|reader| readers::is_data_set(reader)) {
        let file = prepare(reader, below.path());
        for seed in seeds(reader) {
            fs::write(&file, seed).expect("writes");
            let place = if reader.name == "zip" { &file } else { file.parent().expect("a folder") };
            let set = DataSet::open(place).unwrap_or_else(|e| panic!("{}: {e}", reader.name));
            let boxes: usize = set.annotations.iter().map(|a| a.objects.len()).sum();
            assert!(boxes > 0, "{}: no box was read", reader.name);
        }
    }
    let file = below.path().join("message");
    fs::write(&file, sound::fleet_message(&fleet_root())).expect("writes");
    assert_eq!(readers::fleet_numbers(&file), Some(2), "a sound message has its array");
}

#[test]
fn changed_inputs_are_answered() {
    let time = Duration::from_secs(number("FIELDTUNE_FUZZ_SECONDS", 1));
    let seed = number("FIELDTUNE_FUZZ_SEED", 1);
    let only = std::env::var("FIELDTUNE_FUZZ_ONLY").unwrap_or_default();
    let below = tempfile::tempdir().expect("a temporary folder");
    for reader in READERS.iter().filter(|r| only.is_empty() || only.split(',').any(|name| name == r.name)) {
        let file = prepare(reader, below.path());
        let seeds = seeds(reader);
        if let Ok(folder) = std::env::var("FIELDTUNE_FUZZ_CORPUS") {
            let folder = Path::new(&folder).join(reader.name);
            fs::create_dir_all(&folder).expect("a folder");
            seeds.iter().enumerate().for_each(|(i, s)| fs::write(folder.join(format!("seed-{i}")), s).expect("writes"));
        }
        let (began, mut count, mut slowest) = (Instant::now(), 0u64, Duration::ZERO);
        while began.elapsed() < time {
            for _ in 0..ROUND {
                // Each input has a seed of its own, so that it can be made again alone.
                let mut dice = Dice::new(seed.wrapping_mul(1 << 32).wrapping_add(count));
                let mut bytes = seeds[dice.below(seeds.len())].clone();
                let other = seeds[dice.below(seeds.len())].clone();
                match reader.name {
                    "checkpoint" => mutate_checkpoint(&mut bytes, &other, &mut dice),
                    "pack" => mutate_pack(&mut bytes, &other, &mut dice),
                    "tfrecord" => mutate_record(&mut bytes, &other, &mut dice),
                    "zip" => mutate_archive(&mut bytes, &other, &mut dice),
                    _ => mutate(&mut bytes, &other, &mut dice),
                }
                slowest = slowest.max(answered(reader, &file, &bytes, &format!("seed {seed}, input {count}")));
                count += 1;
            }
        }
        println!("{}: {count} inputs in {:?}, the slowest {slowest:?}", reader.name, began.elapsed());
    }
}
