//! TFLite files: written from a network of ours and read back, cut and flipped, and the published one against what
//! LiteRT computes from it.

use fieldtune::boxes::{AnchorRule, Anchors, CellAnchors, ScoreFunction};
use fieldtune::interchange::{Imported, Scope, import};
use fieldtune::model::{ConvKind, ConvWeights, Ssd, SsdModel, ssd_mobilenet_v2};
use fieldtune::ops;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::onnx::{CLASSES, SIZE, narrow_network};
use crate::shared::{json, shared};
use crate::state_dicts::flip;
use crate::tflite_writer::{Numbers, written};

fn imported(bytes: &[u8]) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    std::fs::write(&path, bytes).unwrap();
    import(&path).unwrap_or_else(|e| panic!("{e}"))
}

fn anchors(network: &Ssd<ConvWeights>) -> Anchors {
    network.specs().anchors([SIZE, SIZE]).unwrap()
}

/// The narrow network with dense extras and 1x1 predictors, as the plain SSD has them.
fn plain_ssd() -> Ssd<ConvWeights> {
    let (lite, mut rng) = (narrow_network(), Pcg64Mcg::seed_from_u64(11));
    let shape = ssd_mobilenet_v2(0.35, CLASSES);
    let mut plain = fieldtune::model::initialise_network(&shape, &mut rng);
    (plain.stem, plain.blocks) = (lite.stem, lite.blocks);
    plain
}

#[test]
fn every_form_of_numbers_comes_back_with_anchors_and_scores() {
    for network in [narrow_network(), plain_ssd()] {
        for numbers in [Numbers::Float, Numbers::Half, Numbers::Bytes, Numbers::SignedBytes] {
            let file = imported(&written(&network, [SIZE, SIZE], &anchors(&network), numbers));
            assert_eq!(file.scope, Scope::Detector, "{numbers:?}: {:?}", file.warnings);
            assert_eq!((file.classes(), file.input_size), (Some(CLASSES), Some([SIZE, SIZE])));
            assert_eq!(file.network.convention.scores, ScoreFunction::Sigmoid);
            assert_eq!(file.network.convention.anchors, AnchorRule::Tf { reduced_lowest: true });
            let quantised = matches!(numbers, Numbers::Bytes | Numbers::SignedBytes);
            assert_eq!(file.normalisation.stated, quantised, "{numbers:?}");
            assert_eq!(file.warnings.len(), usize::from(!quantised), "{numbers:?}: {:?}", file.warnings);
            compare(&file.network, &network, numbers);
        }
    }
}

/// Each number within half a step of its form.
fn compare(found: &Ssd<ConvWeights>, expected: &Ssd<ConvWeights>, numbers: Numbers) {
    let pairs = found.convs().into_iter().zip(expected.convs());
    for (i, ((stage, a), (_, b))) in pairs.enumerate() {
        assert_eq!(a.spec, b.spec, "{stage:?}");
        let out = a.spec.out_channels;
        let largest = b.weight.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        let tolerance = match numbers {
            Numbers::Float => 0.0,
            Numbers::Half => largest / 2048.0,
            Numbers::Bytes | Numbers::SignedBytes => largest / 127.0 * 0.51,
        };
        // (p - 128) / 128 instead of p / 127.5 - 1 goes into the stem.
        let slope = if i == 0 && numbers != Numbers::Float && numbers != Numbers::Half { 127.5 / 128.0 } else { 1.0 };
        // The file codes boxes with weights 5, 10, 5, 2.5.
        let boxes = matches!(stage, fieldtune::model::Stage::BoxHead(_)) && a.spec.kind == ConvKind::Pointwise;
        for (j, (x, y)) in a.weight.iter().zip(&b.weight).enumerate() {
            let by = if boxes { [2.0, 1.0, 1.0, 2.0][j % out % 4] } else { 1.0 };
            let (x, y) = (x / by, y * slope);
            assert!((x - y).abs() <= tolerance + 1e-7, "{numbers:?} {stage:?} weight {j}: {x} is not {y}");
        }
        for (j, (x, y)) in a.bias.iter().zip(&b.bias).enumerate().filter(|_| i > 0) {
            let by = if boxes { [2.0, 1.0, 1.0, 2.0][j % 4] } else { 1.0 };
            // Half a step of input (0.1 at most) times weight.
            let whole = matches!(numbers, Numbers::Float | Numbers::Half);
            let close = if whole { 0.0 } else { 0.051 * largest / 127.0 + 1e-6 };
            assert!((x / by - y).abs() <= close, "{numbers:?} {stage:?} bias {j}: {x} is not {y}");
        }
    }
}

#[test]
fn anchors_of_a_files_own_are_kept_and_such_without_a_rule_leave_the_backbone() {
    let network = narrow_network();
    let per_cell = [3, 6, 6, 6, 6, 6];
    let cells = |n: usize| CellAnchors {
        shapes: (0..n).map(|i| [0.1 + 0.05 * i as f64, 0.2]).collect(),
        step: [1.0, 1.0],
        offset: [0.5, 0.5],
    };
    let own = AnchorRule::Cells { maps: per_cell.map(cells).to_vec(), clipped: false };
    let mut with_own = network.clone();
    with_own.convention.anchors = own;
    let table = anchors(&with_own);
    let file = imported(&written(&with_own, [SIZE, SIZE], &table, Numbers::Float));
    assert!(matches!(file.network.convention.anchors, AnchorRule::Cells { .. }), "{:?}", file.warnings);
    let back = anchors(&file.network);
    for (a, b) in back.centers().iter().zip(table.centers()) {
        assert!([a.cx - b.cx, a.cy - b.cy, a.w - b.w, a.h - b.h].iter().all(|d| d.abs() < 1e-5), "{a:?} is not {b:?}");
    }
    // One number of the table off: no rule gives it.
    let mut bytes = written(&network, [SIZE, SIZE], &anchors(&network), Numbers::Float);
    let first: Vec<u8> = [1.0f32 / 12.0, 1.0 / 12.0, 0.1, 0.1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let at = bytes.windows(16).position(|w| w == first).expect("the first anchor of a 6x6 map");
    bytes[at..at + 4].copy_from_slice(&0.9f32.to_le_bytes());
    let file = imported(&bytes);
    assert_eq!(file.classes(), None);
    assert!(file.warnings[0].contains("not the same shapes on every cell"), "{:?}", file.warnings);
}

#[test]
fn no_cut_and_no_flipped_bit_makes_the_reader_panic() {
    let network = narrow_network();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.tflite");
    let mut refused = 0;
    for (seed, numbers) in [(1, Numbers::Float), (2, Numbers::SignedBytes)] {
        let whole = written(&network, [SIZE, SIZE], &anchors(&network), numbers);
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        // FlatBuffers are written back to front: what was made last, the structure, stands first.
        for i in 0..1500 {
            use rand::Rng;
            let mut bytes = whole.clone();
            match i % 3 {
                0 => bytes.truncate(rng.random_range(8..whole.len())),
                1 => flip(&mut bytes, 8..4000, &mut rng),
                _ => flip(&mut bytes, 8..whole.len(), &mut rng),
            }
            std::fs::write(&path, bytes).unwrap();
            if let Err(error) = import(&path) {
                assert!(error.to_string().contains("help:"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1000, "cut files must be refused, {refused} were");
}

/// `tests/it/litert.json` is made by `tests/it/litert.py`: what LiteRT says of the published file about four photos.
#[test]
fn the_published_detector_computes_what_litert_computes() {
    let Some(root) = shared("") else { return };
    let path = root.join("weights/ssd_mobilenet_v2_oidv4_fp16.tflite");
    let file = import(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((file.classes(), file.input_size), (Some(24), Some([300, 300])));
    assert_eq!(file.network.convention.scores, ScoreFunction::Sigmoid);
    assert_eq!(file.network.convention.anchors, AnchorRule::Tf { reduced_lowest: true });
    assert!(file.network.extras.iter().all(|e| e.spatial.spec.kind == ConvKind::Dense && e.expand.is_none()));
    let model = SsdModel::for_inference(&file.network);
    let golden = json(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/litert.json"));
    let mut worst = [0.0f64; 2];
    for photo in golden["photos"].as_array().unwrap() {
        let image = pattern(photo["seed"].as_u64().unwrap());
        let out = model.forward(ops::tensor(image, [1, 300, 300, 3]));
        for (worst, (name, tensor)) in worst.iter_mut().zip([("boxes", out.deltas), ("logits", out.logits)]) {
            let expected: Vec<(usize, f64)> = serde_json::from_value(photo[name].clone()).unwrap();
            ops::read(&tensor, |values| {
                for (at, value) in expected {
                    *worst = worst.max((f64::from(values[at]) - value).abs());
                }
            });
        }
    }
    println!("largest difference from LiteRT: boxes {:.2e}, logits {:.2e}", worst[0], worst[1]);
    assert!(worst.iter().all(|w| *w <= 1e-3), "{worst:?}");
}

/// An image that every program can make: `[300, 300, 3]` in [-1, 1].
fn pattern(seed: u64) -> Vec<f32> {
    let pixel = |i: usize| {
        let (y, x, c) = (i / 900, i / 3 % 300, i % 3);
        let wave = (x * (c + 1 + seed as usize) + y * (4 - c) + (x * y / 64) * 7) % 256;
        (wave as f64 / 127.5 - 1.0) as f32
    };
    (0..300 * 300 * 3).map(pixel).collect()
}
