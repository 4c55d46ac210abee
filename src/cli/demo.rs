//! `fieldtune demo`: the whole way on generated scenes, with nothing to download.
//!
//! The scenes are written as a Pascal VOC data set and trained on as photos would be, by the same recipe, from a narrow
//! detector that is part of the program. That one has seen generated scenes too, but none of these shapes
//! ([`super::pretraining`] made it).

use super::attendant::Attendant;
use super::pretraining::pretrain;
use super::run_folder::{check_size, free_name};
use super::train::{Wishes, new_training};
use crate::config::JobFile;
use crate::data::{AugmentOptions, SceneOptions, write_voc};
use crate::train::Recipe;
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// The pretrained detector, as ONNX.
pub static PRETRAINED: &[u8] = include_bytes!("demo.onnx");

/// Scenes below which nothing would be left to judge on.
const FEWEST: usize = 10;

/// Shapes to learn: the first of all. The others are what the demo's network was pretrained on.
pub const CLASSES: usize = 8;

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// [default: 10; to pretrain 10, then half as many]
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Scenes, a part of them held back [default: 1000; to pretrain 10000]
    #[arg(long)]
    pub images: Option<usize>,
    /// Input size in pixels, and that of the scenes
    #[arg(long, default_value_t = 224)]
    pub imgsz: usize,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[arg(long)]
    pub threads: Option<usize>,
    /// Folder for the run and its scenes
    #[arg(long, default_value = "runs/demo")]
    pub out: PathBuf,
    /// Only write the scenes as a Pascal VOC data set into this folder
    #[arg(long)]
    pub write: Option<PathBuf>,
    /// Instead make the network that the demo starts from, from random numbers and scenes of other shapes, and write it
    /// to this file
    #[arg(long, conflicts_with = "write")]
    pub pretrain: Option<PathBuf>,
}

pub fn run(arguments: DemoArguments) -> Result<u8> {
    if let Some(file) = &arguments.pretrain {
        return pretrain(file, &arguments);
    }
    let options = SceneOptions {
        images: arguments.images.unwrap_or(1000),
        size: arguments.imgsz,
        classes: CLASSES,
        max_objects: 4,
        min_object_px: arguments.imgsz * 8 / 100,
        seed: arguments.seed,
        ..SceneOptions::default()
    };
    if let Some(folder) = &arguments.write {
        write_voc(folder, &options)?;
        println!("{} scenes in {}", options.images, folder.display());
        return Ok(0);
    }
    let recipe = Recipe {
        epochs: arguments.epochs.unwrap_or(10),
        seed: arguments.seed,
        // The network was pretrained with as much.
        weight_decay: 0.1,
        augment: uncropped(),
        ..Recipe::default()
    };
    let start = arguments.out.join("pretrained.onnx");
    let name = free_name(&arguments.out, "scenes");
    let pictures = arguments.out.join(&name).join("val_pred.png");
    let job = scene_job("scenes", name, &options, recipe, &start, &arguments)?;
    fs::write(&start, PRETRAINED).with_context(|| format!("{}: cannot write", start.display()))?;
    let code = new_training(job, Wishes::default(), &mut Attendant::of_command())?.code();
    if code == 0 {
        log::info!("predictions on held-back scenes: {}", pictures.display());
    }
    Ok(code)
}

/// Draws the scenes and makes the job of the run `name` on them. They lie beside the runs, in a folder whose name tells all
/// there is to tell about them: whoever resumes a run finds its scenes as they were.
///
/// # Errors
/// If the numbers cannot work, or the scenes cannot be written.
pub fn scene_job(
    kind: &str,
    name: String,
    options: &SceneOptions,
    recipe: Recipe,
    start: &Path,
    arguments: &DemoArguments,
) -> Result<JobFile> {
    let SceneOptions { images, size, seed, .. } = *options;
    if images < FEWEST {
        bail!("images = {images}, expected at least {FEWEST}");
    }
    recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    check_size(size)?;
    let out = arguments.out.clone();
    let folder = out.join(format!("{kind}-{images}-of-{size}px-seed-{seed}"));
    log::info!("drawing {images} scenes of {size} px into {}", folder.display());
    write_voc(&folder, options)?;
    Ok(JobFile {
        data: Some(folder),
        weights: Some(start.into()),
        name: Some(name),
        out,
        imgsz: Some(size),
        threads: arguments.threads,
        recipe,
        // Nothing is to be found out here, and as much weight decay is a mistake anywhere else.
        watchdog: Mode::Off,
        ..JobFile::default()
    })
}

/// Augmentation without crops and zoom: scenes are drawn at all sizes and places anyway.
pub fn uncropped() -> AugmentOptions {
    AugmentOptions { zoom_out_probability: 0.0, crops: Vec::new(), ..AugmentOptions::default() }
}
