//! `fieldtune demo --pretrain FILE`: makes the network that the demo starts from.
//!
//! From random numbers, calibrated on some scenes ([`calibrate`]), a narrow network learns shapes that the demo does not
//! show. Every anchor at an object's middle answers for it at first: with SSD's own assignment a network that knows
//! nothing learns several times slower.

use super::scenes::{CLASSES, DemoArguments, scene_job, uncropped};
use crate::data::{SceneOptions, normalise, scene};
use crate::interchange::{ExportOptions, export};
use crate::model::{ConvWeights, Ssd, initialise_network, ssdlite_mobilenet_v2};
use crate::ops;
use crate::session::{Overrides, Preflight, Supervisor, new_training, resume};
use crate::train::{Recipe, calibrate};
use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::fs;
use std::path::Path;

/// Width of the network.
const WIDTH: f64 = 0.35;

/// Scenes that the random network is calibrated on.
const CALIBRATED_ON: usize = 32;

/// Added to the seed, so that not even the places of objects are the demo's.
const SEEDS_APART: u64 = 1000;

/// Share of the first phase's epochs that the second takes: it knows the shapes by then.
const SECOND_SHARE: f64 = 0.5;

/// The scenes that the network sees, one set after the other: few large figures, which a network that knows nothing can learn, then all
/// sizes at the demo's input size.
fn phases(arguments: &DemoArguments) -> [(SceneOptions, Recipe); 2] {
    let scenes = SceneOptions {
        images: arguments.images.unwrap_or(10_000),
        first_class: CLASSES,
        classes: SceneOptions::ALL_CLASSES.len() - CLASSES,
        val_share: 0.05,
        seed: arguments.seed.wrapping_add(SEEDS_APART),
        ..SceneOptions::default()
    };
    // Nothing is pretrained: everything learns, from the first step on, at one rate. Without a strong decay the weights
    // outgrow the steps, and it learns at half the speed.
    let first = Recipe {
        epochs: arguments.epochs.unwrap_or(10),
        seed: arguments.seed,
        batch: 16,
        micro_batch: 4,
        lr: 3e-3,
        weight_decay: 0.3,
        freeze: 0,
        hold: 0.0,
        backbone_rate: 1.0,
        inside: 1.0,
        ema: 0.998,
        augment: uncropped(),
        ..Recipe::default()
    };
    let epochs = ((first.epochs as f64 * SECOND_SHARE).ceil() as u64).max(1);
    let second = Recipe { epochs, batch: 8, lr: 2e-3, weight_decay: 0.2, inside: 0.0, ..first.clone() };
    let large = SceneOptions { size: 112, max_objects: 3, min_object_px: 28, max_object: 0.9, ..scenes.clone() };
    let size = arguments.imgsz.longer();
    let all = SceneOptions { size, max_objects: 6, min_object_px: size * 6 / 100, max_object: 0.8, ..scenes };
    [(large, first), (all, second)]
}

/// Trains the network and writes it to `file`. Stopped, it goes on when it is called again.
///
/// # Errors
/// If the numbers cannot work, or the disk refuses.
pub fn pretrain(file: &Path, arguments: &DemoArguments) -> Result<u8> {
    let (phases, supervisor) = (phases(arguments), &mut Supervisor::of_command());
    let mut start = arguments.out.join("random.onnx");
    for (number, (options, recipe)) in phases.iter().enumerate() {
        let name = format!("pretraining-{}", number + 1);
        let run = arguments.out.join(&name);
        let outcome = if run.join("weights/last.ckpt").exists() {
            let overrides = Overrides { threads: arguments.threads, ..Overrides::default() };
            resume(&run, &overrides, supervisor)?
        } else {
            let job = scene_job("pretraining", name, options, options.size.into(), recipe.clone(), &start, arguments)?;
            if number == 0 {
                write_random(&start, options)?;
            }
            new_training(job, Preflight::default(), supervisor)?
        };
        if outcome.code() != 0 {
            return Ok(outcome.code());
        }
        start = run.join("weights/best.onnx");
    }
    fs::copy(&start, file).with_context(|| format!("{}: cannot copy {} to it", file.display(), start.display()))?;
    log::info!("the network of {} is now {}", start.display(), file.display());
    Ok(0)
}

/// Writes a network that has seen nothing.
fn write_random(path: &Path, scenes: &SceneOptions) -> Result<()> {
    let class_names: Vec<String> = scenes.class_names().iter().map(|n| n.to_string()).collect();
    let form = ExportOptions::raw(scenes.size, &class_names);
    // One thread adds up in one order: the same numbers everywhere. And the run is to choose its own threads later.
    let thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("cannot start a thread")?;
    export(&thread.install(|| from_nothing(scenes)), path, &form)?;
    Ok(())
}

/// Random numbers, calibrated on some of the scenes.
fn from_nothing(options: &SceneOptions) -> Ssd<ConvWeights> {
    let columns = options.class_names().len() + 1;
    let mut rng = Pcg64Mcg::seed_from_u64(options.seed);
    let mut network = initialise_network(&ssdlite_mobilenet_v2(WIDTH, columns, true), &mut rng);
    // Hard negative mining shows three negatives for each positive.
    network.set_background_prior(0.75);
    let pixels = options.size * options.size * 3;
    let mut images = vec![0.0; CALIBRATED_ON * pixels];
    for (i, image) in images.chunks_exact_mut(pixels).enumerate() {
        normalise(&scene(options.seed_of(i), options).image, image);
    }
    calibrate(&mut network, ops::tensor(images, [CALIBRATED_ON, options.size, options.size, 3]));
    network
}
