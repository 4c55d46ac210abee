//! `fieldtune demo`: the whole way on generated scenes, with nothing to download.
//!
//! A narrow network starts from calibrated random numbers ([`calibrate`]) and learns eight shapes, each of its own
//! colour. What makes that possible in a minute or two without any pretrained file is that every anchor at an
//! object's middle answers for it: with SSD's own assignment AP50 is a fifth of that after as many scenes.

use super::process::set_threads;
use super::run_folder::{check_size, new_run};
use super::train::execute;
use crate::data::{AugmentOptions, Record, SceneOptions, normalise, plain, scene, write_voc};
use crate::model::{ConvWeights, Ssd, initialise_network, ssdlite_mobilenet_v2};
use crate::ops;
use crate::train::{Job, Recipe, Records, TrainState, calibrate};
use crate::watchdog::Mode;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Width of the demo's network.
const WIDTH: f64 = 0.35;

/// Scenes that the random network is calibrated on.
const CALIBRATED_ON: usize = 32;

/// Scenes below which nothing would be left to judge on.
const FEWEST: usize = 10;

#[derive(Debug, Args)]
pub struct DemoArguments {
    #[arg(long, default_value_t = 14)]
    pub epochs: u64,
    /// Scenes, a fifth of them held back
    #[arg(long, default_value_t = 1200)]
    pub images: usize,
    /// Input size in pixels, and that of the scenes
    #[arg(long, default_value_t = 160)]
    pub imgsz: usize,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the run
    #[arg(long, default_value = "runs/demo")]
    pub out: PathBuf,
    /// Only write the scenes as a Pascal VOC data set into this folder
    #[arg(long)]
    pub write: Option<PathBuf>,
}

pub fn run(arguments: DemoArguments) -> Result<u8> {
    let options = SceneOptions {
        images: arguments.images,
        size: arguments.imgsz,
        classes: SceneOptions::ALL_CLASSES.len(),
        class_hues: true,
        max_objects: 3,
        min_object_px: arguments.imgsz * 3 / 10,
        seed: arguments.seed,
        ..SceneOptions::default()
    };
    if let Some(folder) = &arguments.write {
        write_voc(folder, &options)?;
        println!("{} scenes in {}", options.images, folder.display());
        return Ok(0);
    }
    if arguments.images < FEWEST {
        bail!("images = {}, expected at least {FEWEST}", arguments.images);
    }
    let threads = set_threads(arguments.threads)?;
    check_size(arguments.imgsz)?;
    log::info!(
        "drawing {} scenes of {} px: {} classes of shapes, nothing to download, nothing pretrained",
        options.images,
        options.size,
        options.classes
    );
    let split = options.training_images();
    let (training, validation) = (scenes(&options, 0..split), scenes(&options, split..options.images));
    let class_names: Vec<String> = options.class_names().iter().map(|n| n.to_string()).collect();
    let recipe = Recipe {
        epochs: arguments.epochs,
        seed: arguments.seed,
        batch: 4,
        micro_batch: 4,
        // Nothing is pretrained: everything learns, from the first step on, at one rate, and every anchor at
        // an object's middle hears of it.
        freeze: 0,
        hold: 0.0,
        backbone_rate: 1.0,
        inside: 1.0,
        // Colour tells the classes apart.
        augment: AugmentOptions {
            zoom_out_probability: 0.0,
            crops: Vec::new(),
            color_probability: 0.0,
            ..AugmentOptions::default()
        },
        ..Recipe::default()
    };
    recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    let network = from_nothing(class_names.len() + 1, &training, &recipe, arguments.imgsz)?;
    let folder = new_run(&arguments.out, None, Path::new("scenes"))?;
    super::log_file::follow(&folder)?;
    let job = Job {
        recipe: recipe.clone(),
        size: arguments.imgsz,
        class_names,
        folder,
        checkpoint_every: Duration::from_secs(300),
        loader_threads: if threads > 1 { 1 } else { 0 },
        // It starts from nothing on purpose.
        watchdog: Mode::Off,
        schedule: None,
    };
    let code = execute(&job, TrainState::new(&network, &recipe), &training, &validation)?;
    if code == 0 {
        log::info!("predictions on held-back scenes: {}", job.folder.join("val_pred.png").display());
    }
    Ok(code)
}

/// Scenes of a set, drawn now and kept in memory.
fn scenes(options: &SceneOptions, range: Range<usize>) -> Records {
    let records: Vec<Record> = range.map(|i| scene(options.seed_of(i), options)).collect();
    Records::in_memory(records)
}

/// Random numbers, calibrated on some of the scenes.
fn from_nothing(columns: usize, scenes: &Records, recipe: &Recipe, size: usize) -> Result<Ssd<ConvWeights>> {
    let mut rng = Pcg64Mcg::seed_from_u64(recipe.seed);
    let mut network = initialise_network(&ssdlite_mobilenet_v2(WIDTH, columns, true), &mut rng);
    // Hard negative mining shows three negatives for each positive.
    network.set_background_prior(0.75);
    let count = CALIBRATED_ON.min(scenes.len());
    let mut images = vec![0.0; count * size * size * 3];
    for (i, image) in images.chunks_exact_mut(size * size * 3).enumerate() {
        normalise(&plain(&scenes.get(i)?, size).image, image);
    }
    calibrate(&mut network, ops::tensor(images, [count, size, size, 3]));
    for (stage, conv) in network.convs_mut() {
        if stage.is_backbone() {
            conv.unfold();
        }
    }
    Ok(network)
}
