//! Packages from strangers: what is sound comes in, whatever else is there is a clear error in bounded memory.

use std::fs;
use std::path::Path;

use fieldtune::weights::Store;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tar::EntryType;

use crate::memory::most_alive;
use crate::package_files::{gzip, tar, tar_entry, tar_header, tflite_of, tgz, zip};
use crate::runs::write_weights;
use crate::shared::shared;

/// More than a model of 2 MB needs on its way in, and far less than any of these packages says it has.
const MEMORY: usize = 48 << 20;

/// Seeded damages of each kind of package.
const DAMAGES: usize = 150;

fn model() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("model.onnx");
    write_weights(&path, &["cat", "dog"]);
    fs::read(path).expect("a model")
}

/// Adds a package of these bytes to an empty store: the class names and place of what is kept, or the error.
fn add(name: &str, bytes: &[u8]) -> Result<(String, Option<Vec<String>>), String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (file, folder) = (dir.path().join(name), dir.path().join("kept"));
    fs::write(&file, bytes).expect("writes");
    add_file(&file, &folder)
}

fn add_file(file: &Path, folder: &Path) -> Result<(String, Option<Vec<String>>), String> {
    let store = Store::at(folder);
    let mut result = None;
    let most = most_alive(|| result = Some(store.add(file, None, &|_| String::new())));
    assert!(most < MEMORY, "{most} bytes of memory");
    let result = result.expect("it was run");
    let kept: Vec<_> = fs::read_dir(folder).map(|f| f.flatten().map(|e| e.file_name()).collect()).unwrap_or_default();
    match result {
        Ok(added) => {
            assert_eq!(kept.len(), 3, "model, record and default: {kept:?}");
            Ok((added.record.source, added.record.classes))
        }
        Err(error) => {
            assert!(kept.is_empty(), "nothing is left behind: {kept:?}");
            Err(error.to_string())
        }
    }
}

#[test]
fn packages_of_one_model_come_in() {
    let model = model();
    let about = br#"{"name": "start", "license": "Apache-2.0"}"#;
    let npm: [(&str, &[u8]); 4] = [
        ("package/package.json", about),
        ("package/README.md", b"a start"),
        ("package/._start.onnx", b"what a Mac leaves"),
        ("package/start.onnx", &model),
    ];
    for (name, bytes, source) in [
        ("start-1.0.0.tgz", tgz(&npm), "start-1.0.0.tgz: package/start.onnx"),
        ("start.tar", tar(&npm), "start.tar: package/start.onnx"),
        ("start.zip", zip(&npm), "start.zip: package/start.onnx"),
        ("start.onnx", model.clone(), "start.onnx"),
    ] {
        let (found, classes) = add(name, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((found.as_str(), classes), (source, Some(vec!["cat".into(), "dog".into()])), "{name}");
    }
    // Long names come in headers of their own.
    let deep = format!("{}/start.onnx", "deep".repeat(40));
    let gnu = [tar_entry("@LongLink", EntryType::GNULongName, format!("{deep}\0").as_bytes()), tar(&npm[3..])].concat();
    assert_eq!(add("a.tgz", &gzip(&gnu)).expect("it comes in").0, format!("a.tgz: {deep}"));
    let record = format!(" path={deep}\n");
    let record = format!("{}{record}", record.len() + 3);
    let pax = [tar_entry("PaxHeader", EntryType::XHeader, record.as_bytes()), tar(&npm[3..])].concat();
    assert_eq!(add("a.tgz", &gzip(&pax)).expect("it comes in").0, format!("a.tgz: {deep}"));
}

#[test]
fn hostile_packages_are_refused_with_the_reason() {
    let model = model();
    let file = |name: &str| tar_entry(name, EntryType::Regular, &model);
    let end = vec![0; 1024];
    let tarred = |entries: &[Vec<u8>]| gzip(&[entries.concat(), end.clone()].concat());
    let mut twice = zip(&[("a.onnx", &model), ("b.onnx", &model)]);
    let at: Vec<usize> = twice.windows(6).enumerate().filter(|(_, w)| *w == b"b.onnx").map(|(i, _)| i).collect();
    at.into_iter().for_each(|at| twice[at] = b'a');
    let lied = |size: u64| tarred(&[tar_header("model.onnx", EntryType::Regular, size), model.clone()]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a.tgz", tarred(&[tar_entry("model.onnx", EntryType::Symlink, b"")]), "a link"),
        ("a.tgz", tarred(&[file("model.onnx"), tar_entry("more", EntryType::Link, b"")]), "a link"),
        (
            "a.tgz",
            tarred(&[file("model.onnx"), tar_entry("null", EntryType::Char, b"")]),
            "neither a file nor a folder",
        ),
        ("a.tgz", tarred(&[file("../model.onnx")]), "leads out of the archive"),
        ("a.tgz", tarred(&[file("/tmp/model.onnx")]), "leads out of the archive"),
        ("a.tgz", tarred(&[file("model.onnx"), file("./model.onnx")]), "the same name twice"),
        ("a.tgz", tarred(&[file("one.onnx"), file("two.onnx")]), "2 models that can be read (one.onnx, two.onnx)"),
        ("a.tgz", tgz(&[("package/index.js", b"code")]), "1 files, 0 of them models"),
        ("a.tgz", lied(300 << 20), "expected a model of at most 256 MB"),
        ("a.tgz", lied(200 << 30), "more than 512 MB"),
        ("a.tgz", lied(100 << 20), "a whole archive"),
        ("a.tgz", tarred(&[tar_header("README", EntryType::Regular, 1 << 40), end.clone()]), "more than 512 MB"),
        ("a.tgz", tarred(&[tar_header("@LongLink", EntryType::GNULongName, 1 << 30)]), "a header of 1073741824 bytes"),
        ("a.tgz", tarred(&[tar_entry("h", EntryType::XHeader, b"15 size=123456\n"), file("m.onnx")]), "a second size"),
        ("a.tgz", tarred(&[tar_entry("h", EntryType::XHeader, b"garbage"), file("m.onnx")]), "a damaged header"),
        ("a.tgz", gzip(b"no archive at all"), "expected a whole archive"),
        ("a.zip", twice, "the same name twice"),
        ("a.zip", zip(&[("../model.onnx", &model)]), "leads out of the archive"),
        ("a.zip", zip(&[("one.onnx", &model), ("two.onnx", &model)]), "2 models that can be read"),
        ("a.zip", zip(&[("readme.txt", b"words")]), "1 files, 0 of them models"),
        ("a.zip", zip(&[("model.onnx", b"words")]), "a.zip: model.onnx: found"),
        ("a.data", b"labels and no model".to_vec(), "19 bytes without a whole TFLite model"),
        ("a.data", [b"not here", b"TFL3".repeat(99).as_slice()].concat(), "99 places that look like a model"),
        ("a.onnx", Vec::new(), "an empty file"),
    ];
    for (name, bytes, said) in cases {
        let error = add(name, &bytes).expect_err(said);
        assert!(error.contains(said) && error.contains("help:") && error.contains(name), "{said:?}:\n{error}");
    }
    let many: Vec<Vec<u8>> = (0..10_001).map(|i| tar_entry(&format!("f{i}"), EntryType::Regular, b"")).collect();
    assert!(add("a.tgz", &tarred(&many)).expect_err("too many").contains("more than 10000 entries"));
}

#[test]
fn what_inflates_without_end_ends() {
    let zeros = vec![0u8; 1 << 20];
    let bomb = |head: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let write = |encoder: &mut flate2::write::GzEncoder<Vec<u8>>, bytes: &[u8]| {
            std::io::Write::write_all(encoder, bytes).expect("compresses");
        };
        write(&mut encoder, head);
        (0..600).for_each(|_| write(&mut encoder, &zeros));
        encoder.finish().expect("compresses")
    };
    // Behind the end of a sound archive, where a reader of archives no longer looks.
    let behind = bomb(&tar(&[("model.onnx", &model())]));
    assert!(behind.len() < 8 << 20, "{} bytes", behind.len());
    let error = add("a.tgz", &behind).expect_err("a bomb");
    assert!(error.contains("inflates to more bytes than it may"), "{error}");
    // In one long file, whose size is told.
    let size = 600 << 20;
    let error = add("a.tgz", &bomb(&tar_header("README", EntryType::Regular, size))).expect_err("a bomb");
    assert!(error.contains("more than 512 MB"), "{error}");
    // A zip file that says it is small.
    let mut small = zip(&[("model.onnx", &zeros)]);
    let len = (zeros.len() as u32).to_le_bytes();
    let at: Vec<usize> = small.windows(4).enumerate().filter(|(_, w)| *w == len).map(|(i, _)| i).collect();
    assert!(!at.is_empty(), "sizes are in the headers");
    at.into_iter().for_each(|at| small[at..at + 4].copy_from_slice(&1000u32.to_le_bytes()));
    let error = add("a.zip", &small).expect_err("a bomb");
    assert!(error.contains("a.zip") && error.contains("help:"), "{error}");
}

#[test]
fn models_in_packed_assets_are_found_by_their_bounds() {
    let labels = b"???\ncat\ndog\n".as_slice();
    // The identifier in a text, and a model behind a model.
    let decoy = b"....TFL3 is what such files begin with....\n\0\0\0";
    let tflite = tflite_of(3000);
    let packed = [labels, decoy, &tflite, &tflite].concat();
    let at = labels.len() + decoy.len();
    let error = add("a.data", &packed).expect_err("no detector in it");
    let [first, second] = [at, at + tflite.len()].map(|at| format!("a.data: bytes {at} to {}", at + tflite.len()));
    assert!(error.contains(&first) && error.contains(&second), "{error}");
    let error = add("a.data", &packed[..at + tflite.len() - 100]).expect_err("cut off");
    assert!(error.contains("without a whole TFLite model"), "{error}");
}

/// One seeded damage: cut off, some bits, a run of bytes, or a piece moved elsewhere.
fn damaged(sound: &[u8], rng: &mut Pcg64Mcg) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    let at = |rng: &mut Pcg64Mcg| rng.random_range(0..sound.len());
    match rng.random_range(0..4) {
        0 => bytes.truncate(at(rng)),
        1 => (0..rng.random_range(1..16)).for_each(|_| bytes[at(rng)] ^= 1 << rng.random_range(0..8)),
        2 => {
            let (start, value) = (at(rng), [0, 0xff, rng.random()][rng.random_range(0..3)]);
            let end = (start + rng.random_range(1..64)).min(bytes.len());
            bytes[start..end].fill(value);
        }
        _ => {
            let (from, to, len) = (at(rng), at(rng), rng.random_range(1..2000));
            let piece = sound[from..(from + len).min(sound.len())].to_vec();
            bytes.splice(to..to, piece);
        }
    }
    bytes
}

/// Adds damaged packages: each comes in, or is refused with a reason. Returns how many were refused.
fn refused(name: &str, seed: u64, sound: &[u8], finish: impl Fn(Vec<u8>) -> Vec<u8>) -> usize {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut count = 0;
    for i in 0..DAMAGES {
        let bytes = finish(damaged(sound, &mut rng));
        if let Err(error) = add(name, &bytes) {
            assert!(error.contains("help:"), "damage {i}: {error}");
            count += 1;
        }
    }
    count
}

#[test]
fn damaged_packages_never_panic() {
    // Small models: most damage then hits what describes them.
    let text = b"no model, but a reader has to open it to see that".as_slice();
    let files: [(&str, &[u8]); 3] =
        [("package/package.json", b"{\"license\": \"MIT\"}"), ("package/labels.txt", b"cat\ndog"), ("m.onnx", text)];
    let whole = model();
    let large: [(&str, &[u8]); 1] = [("m.onnx", &whole)];
    // Checksums catch nearly everything in compressed bytes; the archive under them is damaged as well.
    assert!(refused("a.tgz", 1, &tgz(&large), |b| b) > DAMAGES / 2);
    assert_eq!(refused("a.tgz", 2, &tar(&files), |b| gzip(&b)), DAMAGES);
    assert!(refused("a.tgz", 3, &tar(&large), |b| gzip(&b)) > 0);
    assert_eq!(refused("a.zip", 4, &zip(&files), |b| b), DAMAGES);
    assert!(refused("a.zip", 5, &zip(&large), |b| b) > 0);
    let packed = [b"???\ncat\n".as_slice(), &tflite_of(2000)].concat();
    assert_eq!(refused("a.data", 6, &packed, |b| b), DAMAGES);
}

#[test]
fn the_public_package_is_known() {
    let Some(tflite) = shared("weights/ssd_mobilenet_v2_oidv4_fp16.tflite") else { return };
    let Some(labels) = shared("weights/ssd_mobilenet_v2_oidv4_labels.txt") else { return };
    let (model, labels) = (fs::read(tflite).expect("a model"), fs::read(labels).expect("labels"));
    // As it is in the package: the labels end with a line end, and the model follows.
    let labels = [labels.trim_ascii_end(), b"\n"].concat();
    assert_eq!(labels.len(), 184);
    let packed = [labels.as_slice(), &model].concat();
    let package = tgz(&[
        ("package/object_detection_3d_cup.tflite", &tflite_of(100)),
        ("package/objectron_solution_packed_assets.data", &packed),
        ("package/package.json", br#"{"license": "Apache-2.0"}"#),
    ]);
    for (name, bytes) in [("objectron_solution_packed_assets.data", &packed), ("objectron.tgz", &package)] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join(name);
        fs::write(&file, bytes).expect("writes");
        let store = Store::at(dir.path().join("kept"));
        let added = store.add(&file, None, &|_| String::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let record = &added.record;
        assert_eq!((record.name.as_str(), record.bytes), ("ssd_mobilenet_v2_oidv4", 9_987_728));
        assert_eq!(record.licence.as_deref(), Some("Apache-2.0"));
        assert!(record.source.ends_with("bytes 184 to 9987912"), "{}", record.source);
        let classes = record.classes.as_ref().expect("names");
        assert_eq!((classes.len(), classes[3].as_str(), classes[22].as_str()), (23, "Person", "Car"));
        assert!(
            added.notes.iter().any(|n| n.contains("d0a5255b") && n.contains("Open Images V4")),
            "{:?}",
            added.notes
        );
        assert_eq!(fs::read(store.path(record)).expect("kept"), model);
    }
}
