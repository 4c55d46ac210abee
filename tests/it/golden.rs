//! The detector that is part of the program against PyTorch in float64: anchors, matching, predictions, loss, mining, every
//! gradient, ten steps, suppression, detections.
//!
//! `tests/golden/make.py` made the figures from the same ONNX file, whose nodes it runs one by one.

use crate::shared::json;
use crate::support::layouts::{encoder, objects, targets, to_file_layout};
use fieldtune::boxes::{Anchors, BoxCoder, CenterBox, CornerBox, Matcher, ScoreFunction, nms};
use fieldtune::eval::PostProcessor;
use fieldtune::interchange::{Imported, import};
use fieldtune::loss::{Classification, SsdLoss};
use fieldtune::model::{ConvKind, LayerTraining, SsdModel};
use fieldtune::ops;
use fieldtune::optim::{LayerUpdate, Optimizer, OptimizerKind, Rates};
use fieldtune::train::{Observe, TrainBatch, Window, micro_step};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

const SIZE: usize = 224;
const IMAGES: usize = 3;
const COLUMNS: usize = 9;

/// Largest difference of a prediction: float32 against float64.
const PREDICTION: f64 = 5e-5;

/// Largest relative difference of a loss.
const LOSS: f64 = 1e-5;

/// Largest relative difference of the norm of a gradient under cross-entropy.
const GRADIENT: f64 = 1e-4;

/// The same under focal loss, where every anchor takes part: contributions nearly cancel in the sums over the first layers'
/// places, and what is left has the rounding of float32 sums (measured 2e-4).
const CANCELLING: f64 = 1e-3;

/// Largest relative difference of a loss within ten steps.
const STEP: f64 = 1e-3;

fn golden(name: &str) -> Value {
    json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
}

fn network() -> Imported {
    import(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo.onnx")).expect("the program's own detector")
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a golden file as make.py writes it")
}

/// The bytes of an image, `[3, S, S]`: the same as `image` of make.py makes.
fn bytes(number: u64) -> Vec<u8> {
    let mut state = number + 1;
    let mut all = Vec::with_capacity(3 * SIZE * SIZE);
    for (c, y, x) in (0..3).flat_map(|c| (0..SIZE).flat_map(move |y| (0..SIZE).map(move |x| (c, y, x)))) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ramp = (2 * x * (c + 1) + y * (5 - c)) / 4 % 160;
        all.push((ramp + (state >> 40) as usize % 96) as u8);
    }
    all
}

/// All images, `[N, S, S, 3]`.
fn images() -> Vec<f32> {
    let of_image = |number| {
        let bytes = bytes(number);
        let value = move |i: usize| (f64::from(bytes[i % 3 * SIZE * SIZE + i / 3]) / 127.5 - 1.0) as f32;
        (0..3 * SIZE * SIZE).map(value).collect::<Vec<_>>()
    };
    (0..IMAGES as u64).flat_map(of_image).collect()
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

fn corner(yx: &[f64]) -> CornerBox {
    CornerBox::new(yx[1], yx[0], yx[3], yx[2])
}

#[track_caller]
fn assert_close(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: {got}, PyTorch has {want}");
}

#[test]
fn the_images_are_those_of_the_script() {
    let forward = golden("forward.json");
    for n in 0..IMAGES {
        let bytes = bytes(n as u64);
        assert_eq!(bytes.iter().map(|&b| u64::from(b)).sum::<u64>(), read::<u64>(&forward["bytes_sum"][n]));
        let first: [[u8; 4]; 3] = read(&forward["first_bytes"][n]);
        for (plane, first) in bytes.chunks_exact(SIZE * SIZE).zip(first) {
            assert_eq!(plane[..4], first);
        }
    }
}

#[test]
fn anchors_and_the_box_coder_equal_the_script() {
    let (golden, encoder) = (golden("boxes.json"), encoder(&network(), SIZE));
    let centers = encoder.anchors.centers();
    assert_eq!(centers.len(), read::<usize>(&golden["anchors"]));
    let columns = |c: &CenterBox| [c.cy, c.cx, c.h, c.w];
    for row in read::<Vec<Vec<f64>>>(&golden["anchor_samples"]) {
        for (got, want) in columns(&centers[row[0] as usize]).iter().zip(&row[1..]) {
            assert_close(*got, *want, 1e-15, &format!("anchor {}", row[0]));
        }
    }
    for (column, want) in read::<Vec<f64>>(&golden["anchor_sums"]).into_iter().enumerate() {
        assert_close(centers.iter().map(|c| columns(c)[column]).sum(), want, 1e-9, "sum over the anchors");
    }
    let decoded: Vec<Vec<f64>> = read(&golden["decoded"]);
    assert_eq!(decoded.len(), 8);
    for row in decoded {
        let got = BoxCoder::default().decode(&centers[row[0] as usize], [row[1], row[2], row[3], row[4]]);
        let want = corner(&row[5..]);
        for (got, want) in [(got.x0, want.x0), (got.y0, want.y0), (got.x1, want.x1), (got.y1, want.y1)] {
            assert_close(got, want, 1e-12, "corner of a decoded box");
        }
    }
}

#[test]
fn matching_and_encodings_equal_the_script() {
    let (golden, encoder) = (golden("loss.json"), encoder(&network(), SIZE));
    let anchors: &Anchors = &encoder.anchors;
    let mut compared = 0;
    for n in 0..IMAGES {
        let boxes = objects(&golden["objects"][n]).0;
        let assignment = Matcher::default().assign(anchors, &boxes);
        let rows: Vec<Vec<f64>> = read(&golden["matching"][n]);
        let pairs: Vec<(usize, usize)> = rows.iter().map(|r| (r[0] as usize, r[1] as usize)).collect();
        assert_eq!(assignment.positives().collect::<Vec<_>>(), pairs, "image {n}");
        for ((a, g), row) in pairs.into_iter().zip(&rows) {
            assert_close(anchors.corners()[a].iou(&boxes[g]), row[2], 1e-12, "IoU");
            let target = encoder.coder.encode(&anchors.centers()[a], &boxes[g]);
            for (got, want) in target.iter().zip(&row[3..]) {
                assert_close(*got, *want, 1e-12, "encoding");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, read::<usize>(&golden["normaliser"]));
}

#[test]
fn predictions_equal_pytorch() {
    let golden = golden("forward.json");
    let input = ops::tensor(images(), [IMAGES, SIZE, SIZE, 3]);
    let predictions = SsdModel::for_inference(&network().network).forward(input);
    for (name, tensor) in [("class_logits", predictions.logits), ("box_encodings", predictions.deltas)] {
        let [_, anchors, columns] = tensor.dims();
        ops::read(&tensor, |values| {
            for (n, ours) in values.chunks_exact(anchors * columns).enumerate() {
                let expected = &golden[name][n];
                for (i, want) in read::<Vec<(usize, f64)>>(&expected["samples"]) {
                    assert_close(f64::from(ours[i]), want, PREDICTION, &format!("{name} of image {n} at {i}"));
                }
                let want: f64 = read(&expected["norm"]);
                assert_close(norm(ours) / want, 1.0, LOSS, &format!("norm of the {name} of image {n}"));
            }
        });
    }
}

#[test]
fn losses_mining_and_every_gradient_equal_pytorch() {
    let (golden, imported) = (golden("loss.json"), network());
    let targets = targets(&golden["objects"], &encoder(&imported, SIZE));
    let mut model = SsdModel::new(&imported.network, |_| LayerTraining::Trained);
    model.round_kept(false);
    let convs = imported.network.convs();
    let focal = Classification::Focal { alpha: 0.25, gamma: 2.0 };
    for (kind, classification, tolerance) in [("ce", Classification::default(), GRADIENT), ("focal", focal, CANCELLING)]
    {
        let expected = &golden[kind];
        let loss = SsdLoss { classification, ..SsdLoss::new(COLUMNS) };
        let mut window = Window::default();
        let batch = TrainBatch { images: images(), size: SIZE.into(), targets: targets.clone() };
        let losses = micro_step(&model, &loss, batch, &mut window, Observe::Nothing);
        let divisor = window.normaliser();
        assert_eq!(divisor, read::<f64>(&golden["normaliser"]));
        if kind == "ce" {
            let mined: Vec<Vec<usize>> = read(&expected["negatives"]);
            assert_eq!(losses.iter().map(|l| l.negatives.clone()).collect::<Vec<_>>(), mined, "mined negatives");
        }
        for (part, name) in [(window.class, "class_loss"), (window.boxes, "box_loss")] {
            let want: f64 = read(&expected[name]);
            assert_close(part / divisor / want, 1.0, LOSS, &format!("{kind} {name}"));
        }
        let mut expected = expected["gradients"].as_array().expect("a list of tensors").iter();
        for (i, (layer, (_, weights))) in imported.matched.iter().zip(&convs).enumerate() {
            let gradients = window.gradients.get(i).expect("every layer is trained");
            for tensor in &layer.tensors {
                let ours = match tensor.dims.len() {
                    1 => gradients.db.clone(),
                    _ => to_file_layout(weights, &gradients.dw),
                };
                let theirs =
                    expected.clone().find(|g| g["name"] == tensor.name.as_str()).expect("every tensor is there");
                compare(&format!("{kind} {}", tensor.name), &ours, divisor, theirs, tolerance);
            }
        }
        let tensors: usize = imported.matched.iter().map(|layer| layer.tensors.len()).sum();
        assert_eq!((tensors, expected.by_ref().count()), (176, 176));
    }
}

/// The gradient of one tensor, summed over positives where PyTorch has the mean.
fn compare(name: &str, ours: &[f32], divisor: f64, theirs: &Value, tolerance: f64) {
    let want: f64 = read(&theirs["norm"]);
    let error = (norm(ours) / divisor - want).abs() / want.max(1e-3);
    assert!(error <= tolerance, "{name}: norm {}, PyTorch has {want}", norm(ours) / divisor);
    let typical = want / (ours.len() as f64).sqrt();
    for (i, value) in read::<Vec<(usize, f64)>>(&theirs["samples"]) {
        let allowed = 10.0 * tolerance * (typical + value.abs()) + 1e-6;
        assert_close(f64::from(ours[i]) / divisor, value, allowed, &format!("{name} at {i}"));
    }
}

#[test]
fn ten_steps_equal_pytorch() {
    let (golden, imported) = (golden("steps.json"), network());
    let targets = targets(&self::golden("loss.json")["objects"], &encoder(&imported, SIZE));
    let sgd = OptimizerKind::Sgd { momentum: 0.9 };
    for (name, kind, rate, decay) in [("sgd", sgd, 5e-5, 0.0), ("adamw", OptimizerKind::adamw(), 3e-5, 0.01)] {
        let mut model = SsdModel::new(&imported.network, |_| LayerTraining::Trained);
        model.round_kept(false);
        let sizes = imported.network.convs().into_iter().map(|(_, w)| [w.weight.len(), w.bias.len()]);
        let mut optimizer = Optimizer::new(kind, false, sizes.collect::<Vec<_>>());
        let expected: Vec<[f64; 2]> = read(&golden[name]);
        assert_eq!(expected.len(), 11);
        for (step, want) in expected.iter().enumerate() {
            let mut window = Window::default();
            let batch = TrainBatch { images: images(), size: SIZE.into(), targets: targets.clone() };
            micro_step(&model, &SsdLoss::new(COLUMNS), batch, &mut window, Observe::Nothing);
            for (part, want) in [window.class, window.boxes].iter().zip(want) {
                assert_close(part / window.normaliser() / want, 1.0, STEP, &format!("{name} before step {step}"));
            }
            let rates = Rates { weight: rate, bias: rate, decay, decay_bias: true };
            let scale = 1.0 / window.normaliser();
            for (i, layer) in model.layers.iter_mut().enumerate() {
                let gradients = window.gradients.get(i).expect("every layer is trained");
                let depthwise = layer.spec().kind == ConvKind::Depthwise;
                layer.update(|weight, bias, s| {
                    let (dw, db) = (&gradients.dw[..], &gradients.db[..]);
                    let layer = LayerUpdate { weight, bias, scale: s, dw, db, depthwise, mean: None, averages: None };
                    optimizer.layers[i].update(kind, layer, rates, scale);
                });
            }
        }
    }
}

#[test]
fn suppression_and_detections_equal_torchvision() {
    let (golden, imported) = (golden("boxes.json"), network());
    let cases = golden["suppression"].as_array().expect("a list of cases");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let boxes: Vec<CornerBox> = read::<Vec<[f64; 4]>>(&case["boxes"]).iter().map(|b| corner(b)).collect();
        let kept = nms(&boxes, &read::<Vec<f64>>(&case["scores"]), read(&case["iou_threshold"]));
        assert_eq!(kept, read::<Vec<usize>>(&case["keep"]));
    }
    let input = ops::tensor(images(), [IMAGES, SIZE, SIZE, 3]);
    let predictions = SsdModel::for_inference(&imported.network).forward(input);
    let anchors = encoder(&imported, SIZE).anchors;
    let count = anchors.len();
    let detector =
        PostProcessor { score_threshold: 0.05, top: 20, ..PostProcessor::new(anchors, ScoreFunction::Softmax) };
    let all = ops::read(&predictions.logits, |logits| {
        ops::read(&predictions.deltas, |deltas| {
            let each = logits.chunks_exact(count * COLUMNS).zip(deltas.chunks_exact(count * 4));
            each.map(|(logits, deltas)| detector.detect(logits, deltas)).collect::<Vec<_>>()
        })
    });
    for (n, found) in all.iter().enumerate() {
        let rows: Vec<Vec<f64>> = read(&golden["detections"][n]);
        assert_eq!(found.len(), rows.len(), "image {n}");
        for (got, row) in found.iter().zip(rows) {
            assert_eq!((got.anchor, got.class), (row[0] as usize, row[1] as usize), "image {n}");
            assert_close(got.score, row[2], 1e-4, "score");
            let want = corner(&row[3..]);
            for (got, want) in
                [(got.bbox.x0, want.x0), (got.bbox.y0, want.y0), (got.bbox.x1, want.x1), (got.bbox.y1, want.y1)]
            {
                assert_close(got, want, 1e-4, "corner of a detection");
            }
        }
    }
}
