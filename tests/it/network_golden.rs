//! The network of full width against PyTorch in float64: the second tier of [`crate::golden`], with weights that are not ours
//! to copy in here.

use crate::shared::{json, shared};
use crate::support::layouts::{encoder, targets, to_file_layout};
use fieldtune::interchange::import;
use fieldtune::loss::{Classification, SsdLoss};
use fieldtune::model::{ConvKind, LayerTraining, SsdModel};
use fieldtune::ops;
use fieldtune::optim::{LayerUpdate, Optimizer, OptimizerKind, Rates};
use fieldtune::train::{Observe, TrainBatch, Window, micro_step};
use serde_json::Value;
use std::path::PathBuf;

const WEIGHTS: &str = "weights/ssdlite_mobilenet_v2_300_91c_imagenet_backbone_RANDOM_heads.onnx";
const SIZE: usize = 300;

/// The folder of the reference, where it is there with its weights.
fn reference() -> Option<PathBuf> {
    shared("reference/golden")?;
    shared(WEIGHTS)?;
    shared("")
}

/// The two images of `input.json`, NHWC.
fn images() -> Vec<f32> {
    let mut all = vec![0f32; 2 * SIZE * SIZE * 3];
    for (n, seed) in [1u64, 2].into_iter().enumerate() {
        let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x123_4567);
        for c in 0..3 {
            for y in 0..SIZE {
                for x in 0..SIZE {
                    s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let ramp = (x * (c + 1) + y * (3 - c) + seed as usize * 37) % 192;
                    let value = ((s >> 33) % 64) as usize + ramp;
                    all[((n * SIZE + y) * SIZE + x) * 3 + c] = (value as f64 / 127.5 - 1.0) as f32;
                }
            }
        }
    }
    all
}

#[test]
fn predictions_equal_pytorch() {
    let Some(root) = reference() else { return };
    let golden = json(&root.join("reference/golden/forward.json"));
    let imported = import(&root.join(WEIGHTS)).unwrap();
    let predictions = SsdModel::for_inference(&imported.network).forward(ops::tensor(images(), [2, SIZE, SIZE, 3]));
    for (name, tensor) in [("class_logits", predictions.logits), ("box_encodings", predictions.deltas)] {
        let [_, anchors, columns] = tensor.dims();
        let mut worst = 0f64;
        ops::read(&tensor, |values| {
            for (image, expected) in golden[name].as_array().unwrap().iter().enumerate() {
                let samples: Vec<(usize, usize, f64)> = serde_json::from_value(expected["samples"].clone()).unwrap();
                for (a, k, value) in samples {
                    worst = worst.max((f64::from(values[(image * anchors + a) * columns + k]) - value).abs());
                }
                let part = &values[image * anchors * columns..][..anchors * columns];
                let l2 = part.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
                let expected = expected["l2"].as_f64().unwrap();
                assert!((l2 / expected - 1.0).abs() < 1e-5, "{name} of image {image}: norm {l2}, expected {expected}");
            }
        });
        println!("{name}: largest difference {worst:.2e}");
        assert!(worst <= 5e-5, "{name}: {worst:e}");
    }
}

#[test]
fn loss_and_every_gradient_equal_pytorch() {
    let Some(root) = reference() else { return };
    let golden = json(&root.join("reference/golden/loss_grad.json"));
    let imported = import(&root.join(WEIGHTS)).unwrap();
    let mut model = SsdModel::new(&imported.network, |_| LayerTraining::Trained);
    model.round_kept(false);
    let targets = targets(&golden["gt"], &encoder(&imported, SIZE));
    let convs = imported.network.convs();
    for (kind, classification) in
        [("ce", Classification::default()), ("focal", Classification::Focal { alpha: 0.25, gamma: 2.0 })]
    {
        let expected = &golden[kind];
        let loss = SsdLoss { classification, ..SsdLoss::new(91) };
        let mut window = Window::default();
        let batch = TrainBatch { images: images(), size: SIZE.into(), targets: targets.clone() };
        let losses = micro_step(&model, &loss, batch, &mut window, Observe::Nothing);
        assert_eq!(window.normaliser(), golden["normaliser"].as_f64().unwrap());
        if kind == "ce" {
            let negatives: Vec<Vec<usize>> = serde_json::from_value(expected["negatives"].clone()).unwrap();
            let ours: Vec<_> = losses.iter().map(|l| l.negatives.clone()).collect();
            assert_eq!(ours, negatives, "mined negatives");
        }
        for (part, name) in [(window.class, "class_loss"), (window.boxes, "box_loss")] {
            let (ours, theirs) = (part / window.normaliser(), expected[name].as_f64().unwrap());
            assert!((ours / theirs - 1.0).abs() <= 1e-5, "{kind} {name}: {ours}, expected {theirs}");
        }
        let by_name: std::collections::HashMap<&str, &Value> =
            expected["grads"].as_array().unwrap().iter().map(|g| (g["name"].as_str().unwrap(), g)).collect();
        let (mut worst, mut compared) = (0f64, 0);
        for (i, (m, (_, weights))) in imported.matched.iter().zip(&convs).enumerate() {
            let gradients = window.gradients.get(i).expect("every layer is trained");
            let (dw, db) = (to_file_layout(weights, &gradients.dw), &gradients.db);
            for tensor in &m.tensors {
                let ours = if tensor.dims.len() == 1 { db } else { &dw };
                let theirs = by_name[tensor.name.as_str()];
                let n = window.normaliser();
                let l2 = ours.iter().map(|&v| (f64::from(v) / n).powi(2)).sum::<f64>().sqrt();
                let norm = theirs["l2"].as_f64().unwrap();
                let error = (l2 - norm).abs() / norm.max(1e-3);
                worst = worst.max(error);
                compared += 1;
                assert!(error <= 1e-4, "{kind} {}: norm {l2}, expected {norm}", tensor.name);
                let samples: Vec<(usize, f64)> = serde_json::from_value(theirs["samples"].clone()).unwrap();
                for (i, value) in samples {
                    let ours = f64::from(ours[i]) / n;
                    let allowed = 1e-3 * norm / (ours_len(theirs) as f64).sqrt() + 1e-3 * value.abs() + 1e-6;
                    assert!((ours - value).abs() <= allowed, "{kind} {} at {i}: {ours}, expected {value}", tensor.name);
                }
            }
        }
        assert_eq!(compared, 176);
        println!("{kind}: largest relative difference of a gradient's norm {worst:.2e}");
    }
}

/// Relative error that a layer's weight gradient may take from expansions rounded to 16 bits: one of images differs from the
/// other by more than that by far.
const HALF_ERROR: f64 = 0.02;

#[test]
fn expansions_of_16_bits_hardly_change_a_gradient() {
    let Some(root) = reference() else { return };
    let golden = json(&root.join("reference/golden/loss_grad.json"));
    let imported = import(&root.join(WEIGHTS)).unwrap();
    let targets = targets(&golden["gt"], &encoder(&imported, SIZE));
    let [exact, half] = [false, true].map(|keep| {
        let mut model = SsdModel::new(&imported.network, |_| LayerTraining::Trained);
        model.round_kept(keep);
        let (mut window, targets) = (Window::default(), targets.clone());
        let batch = TrainBatch { images: images(), size: SIZE.into(), targets };
        micro_step(&model, &SsdLoss::new(91), batch, &mut window, Observe::Nothing);
        window
    });
    let (mut worst, mut changed) = (0f64, 0);
    for i in 0..exact.gradients.len() {
        let [exact, half] = [&exact, &half].map(|w| w.gradients.get(i).expect("every layer is trained").dw.clone());
        let norm = exact.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let off = exact.iter().zip(&half).map(|(&e, &h)| f64::from(e - h).powi(2)).sum::<f64>().sqrt();
        worst = worst.max(off / norm.max(1e-3));
        changed += usize::from(exact != half);
    }
    println!("{changed} layers differ, by at most {worst:.1e} of their gradient's norm");
    assert!(changed > 0, "something is kept in 16 bits");
    assert!(worst <= HALF_ERROR, "a gradient is off by {worst:.1e} of its norm");
}

fn ours_len(gradient: &Value) -> usize {
    gradient["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).product()
}

#[test]
fn ten_steps_equal_pytorch() {
    let Some(root) = reference() else { return };
    let steps = json(&root.join("reference/golden/steps.json"));
    let golden = json(&root.join("reference/golden/loss_grad.json"));
    let imported = import(&root.join(WEIGHTS)).unwrap();
    let targets = targets(&golden["gt"], &encoder(&imported, SIZE));
    let adamw = OptimizerKind::adamw();
    for (name, kind, decay) in
        [("sgd_lr1e5_f64", OptimizerKind::Sgd { momentum: 0.9 }, 0.0), ("adamw_lr1e5_f64", adamw, 0.01)]
    {
        let mut model = SsdModel::new(&imported.network, |_| LayerTraining::Trained);
        let sizes = imported.network.convs().into_iter().map(|(_, w)| [w.weight.len(), w.bias.len()]);
        let mut optimizer = Optimizer::new(kind, false, sizes.collect::<Vec<_>>());
        let expected: Vec<[f64; 2]> = serde_json::from_value(steps[name].clone()).unwrap();
        for (step, row) in expected.iter().enumerate() {
            let mut window = Window::default();
            let batch = TrainBatch { images: images(), size: SIZE.into(), targets: targets.clone() };
            micro_step(&model, &SsdLoss::new(91), batch, &mut window, Observe::Nothing);
            let ours = [window.class / window.normaliser(), window.boxes / window.normaliser()];
            for (o, e) in ours.iter().zip(row) {
                assert!((o / e - 1.0).abs() <= 1e-3, "{name} step {step}: {ours:?}, expected {row:?}");
            }
            let rates = Rates { weight: 1e-5, bias: 1e-5, decay, decay_bias: true };
            let (scale, kind) = (1.0 / window.normaliser(), optimizer.kind);
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
