//! `fieldtune demo`: the whole way on generated scenes, with nothing to download.

use super::process::set_threads;
use super::run_folder::new_run;
use super::train::execute;
use crate::data::{Record, SceneOptions, scene, write_voc};
use crate::model::{initialise_network, ssdlite_mobilenet_v2};
use crate::train::{Job, Recipe, Records, TrainState};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Width of the demo's network.
const WIDTH: f64 = 0.35;

/// Scenes below which nothing would be left to judge on.
const FEWEST: usize = 10;

#[derive(Debug, Args)]
pub struct DemoArguments {
    #[arg(long, default_value_t = 20)]
    pub epochs: u64,
    /// Scenes, a fifth of them held back
    #[arg(long, default_value_t = 400)]
    pub images: usize,
    /// Input size in pixels
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
    let options = SceneOptions { images: arguments.images, seed: arguments.seed, ..SceneOptions::default() };
    if let Some(folder) = &arguments.write {
        write_voc(folder, &options)?;
        println!("{} scenes in {}", options.images, folder.display());
        return Ok(0);
    }
    super::run_folder::check_size(arguments.imgsz)?;
    if arguments.images < FEWEST {
        bail!("images = {}, expected at least {FEWEST}", arguments.images);
    }
    let threads = set_threads(arguments.threads)?;
    log::info!("generating {} scenes", options.images);
    let scenes = |range: std::ops::Range<usize>| {
        let records: Vec<Record> = range.map(|i| scene(options.seed_of(i), &options)).collect();
        Records::in_memory(records)
    };
    let split = options.training_images();
    let (training, validation) = (scenes(0..split), scenes(split..options.images));
    let class_names: Vec<String> = options.class_names().iter().map(|n| n.to_string()).collect();
    let recipe = Recipe {
        epochs: arguments.epochs,
        seed: arguments.seed,
        // Nothing is pretrained: everything learns, at one rate.
        freeze: 0,
        backbone_rate: 1.0,
        ..Recipe::default()
    };
    recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    let mut rng = Pcg64Mcg::seed_from_u64(arguments.seed);
    let specs = ssdlite_mobilenet_v2(WIDTH, class_names.len() + 1, true);
    let mut network = initialise_network(&specs, &mut rng);
    network.set_background_prior(0.75);
    for (stage, conv) in network.convs_mut() {
        if stage.is_backbone() {
            conv.unfold();
        }
    }
    let folder = new_run(&arguments.out, None, Path::new("scenes"))?;
    super::log_file::follow(&folder)?;
    let job = Job {
        recipe: recipe.clone(),
        size: arguments.imgsz,
        class_names,
        folder,
        checkpoint_every: Duration::from_secs(300),
        loader_threads: if threads > 1 { 1 } else { 0 },
    };
    let code = execute(&job, TrainState::new(&network, &recipe), &training, &validation)?;
    log::info!("look at {}", job.folder.join("val_pred.png").display());
    Ok(code)
}
