//! The networks of the family from a file through training back to a file: plain and lite extras, every convention, wide
//! and narrow, on square inputs and others. Trained by the program for two epochs, judged again, exported in both forms.

use std::fs;
use std::path::Path;

use fieldtune::boxes::{AnchorRule, InputSize, ScoreFunction};
use fieldtune::data::{normalise, plain, scene};
use fieldtune::interchange::{ExportOptions, export, import};
use fieldtune::model::{
    Activation, ConvSpec, Convention, Ssd, initialise_network, ssd_mobilenet_v2, ssdlite_mobilenet_v2,
};
use fieldtune::ops;
use fieldtune::train::calibrate;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use crate::runs::{basis, scenes, succeed, text, training};

/// Columns for the scenes' two classes and the background.
const COLUMNS: usize = 3;

/// Writes a network that was never trained, but whose layers all pass the signal on: nothing of it needs to be renewed.
fn write_lively(specs: &Ssd<ConvSpec>, size: InputSize, path: &Path) {
    let mut network = initialise_network(specs, &mut Pcg64Mcg::seed_from_u64(5));
    network.set_background_prior(0.75);
    let mut images = vec![0.0; 16 * size.numbers()];
    for (i, image) in images.chunks_exact_mut(size.numbers()).enumerate() {
        normalise(&plain(&scene(i as u64, &scenes()), size).image, image);
    }
    calibrate(&mut network, ops::tensor(images, [16, size.height, size.width, 3]));
    let class_names: Vec<String> = scenes().class_names().iter().map(|n| n.to_string()).collect();
    let options = ExportOptions::raw(size, &class_names);
    export(&network, path, &options).expect("the network is exported");
}

/// Trains it, and checks that it stays what it is.
fn lives_through_a_run(specs: &Ssd<ConvSpec>, size: impl Into<InputSize>) {
    let (dir, size) = (tempfile::tempdir().expect("a temporary folder"), size.into());
    let start = dir.path().join("start.onnx");
    write_lively(specs, size, &start);
    let [photos, _] = basis();
    let from = [photos.clone(), text(&start).to_string()];
    let more = ["--epochs", "2", "--hold", "0", "--threads", "1", "--watchdog", "off"];
    // At its end the run compares the exported file, run by tract, with its own network.
    succeed(&training(&from, dir.path(), &more));
    let run = dir.path().join("run");
    let log = fs::read_to_string(run.join("train.log")).expect("a log");
    assert!(log.contains("verified; the engine tract computes the same"), "{log}");
    let kept = !log.contains("start fresh") && !log.contains("were converted");
    assert!(kept, "extras, heads and score function are the file's:\n{log}");
    let config = fs::read_to_string(run.join("config.toml")).expect("the job");
    let written = if size.height == size.width { format!("imgsz = {size}") } else { format!("imgsz = \"{size}\"") };
    assert!(config.contains(&written), "{config}");

    let best = run.join("weights/best.onnx");
    let back = import(&best).expect("our own file");
    assert_eq!(back.network.specs(), *specs);
    assert_eq!((back.input_size, back.classes()), (Some(size.dims()), Some(COLUMNS)));

    let results = fs::read_to_string(run.join("results.csv")).expect("figures");
    let figures: Vec<&str> = results.lines().skip(1).filter_map(|l| l.split(',').nth(6)).collect();
    let json = succeed(&["val", text(&best), &photos, "--json"]);
    let ap = serde_json::from_str::<Value>(&json).expect("JSON")["AP"].as_f64().expect("an AP");
    assert!(figures.contains(&format!("{ap:.5}").as_str()), "{ap} is of no epoch:\n{results}");

    let jetson = dir.path().join("jetson.onnx");
    succeed(&["export", text(&best), "-o", text(&jetson), "--form", "jetson"]);
    let anchors = specs.anchors(size.dims()).expect("a rule that fits").len();
    let row = scores_of_grey(&jetson, size, anchors).expect("tract runs it");
    let sum: f32 = row.iter().sum();
    match specs.convention.scores {
        ScoreFunction::Softmax => assert!((sum - 1.0).abs() < 1e-5, "{row:?}"),
        ScoreFunction::Sigmoid => assert!((sum - 1.0).abs() > 1e-3, "{row:?}"),
    }
}

/// Scores of the first anchor of a grey image.
fn scores_of_grey(path: &Path, size: InputSize, anchors: usize) -> tract_onnx::prelude::TractResult<Vec<f32>> {
    use tract_onnx::prelude::*;
    let model = tract_onnx::onnx().model_for_path(path)?.into_optimized()?.into_runnable()?;
    let outputs = model.run(tvec!(Tensor::zero::<f32>(&[1, 3, size.height, size.width])?.into()))?;
    let (scores, boxes) = (outputs[0].to_plain_array_view::<f32>()?, outputs[1].to_plain_array_view::<f32>()?);
    assert_eq!((scores.shape(), boxes.shape()), (&[1, anchors, COLUMNS][..], &[1, anchors, 4][..]));
    Ok(scores.iter().take(COLUMNS).copied().collect())
}

#[test]
fn the_narrowest_lives_through_a_run_on_an_input_that_is_not_square() {
    lives_through_a_run(&ssdlite_mobilenet_v2(0.35, COLUMNS, true), [96, 128]);
}

#[test]
fn the_widest_lives_through_a_run() {
    lives_through_a_run(&ssdlite_mobilenet_v2(1.4, COLUMNS, false), 64);
}

/// As TensorFlow's detectors are: plain extras, predictors without depthwise, sigmoid scores.
#[test]
fn the_plain_ssd_with_sigmoids_lives_through_a_run() {
    let mut specs = ssd_mobilenet_v2(0.35, COLUMNS);
    specs.convention.scores = ScoreFunction::Sigmoid;
    lives_through_a_run(&specs, 96);
}

#[test]
fn the_plain_ssd_lives_through_a_run_at_240x320() {
    lives_through_a_run(&ssd_mobilenet_v2(0.5, COLUMNS), [240, 320]);
}

/// As pytorch-ssd's detectors are: linear extras, six anchors on every cell, the last map of 64 channels.
#[test]
fn linear_extras_with_pytorch_ssds_anchors_live_through_a_run() {
    let mut specs = ssdlite_mobilenet_v2(0.35, COLUMNS, true);
    for extra in &mut specs.extras {
        let expand = extra.expand.as_mut().expect("a lite extra");
        expand.activation = Activation::Linear;
    }
    let anchors = AnchorRule::PytorchSsd;
    let head = &mut specs.heads[0];
    head.anchors_per_cell = anchors.anchors_per_cell(0);
    head.box_predictor.out_channels = 6 * 4;
    head.class_predictor.out_channels = 6 * COLUMNS;
    specs.convention = Convention { anchors, ..Convention::default() };
    lives_through_a_run(&specs, 96);
}
