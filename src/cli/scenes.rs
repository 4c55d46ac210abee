//! Generated scenes to train on: the arguments that the demo and its pretraining share, and their job.

use crate::boxes::InputSize;
use crate::config::JobFile;
use crate::data::{AugmentOptions, SceneOptions, write_voc};
use crate::session::check_size;
use crate::train::Recipe;
use crate::watchdog::Mode;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// Scenes below which nothing would be left to judge on.
const FEWEST: usize = 10;

/// Shapes to learn: the first of all. The others are what the demo's network was pretrained on.
pub const CLASSES: usize = 8;

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Passes over the scenes [default: 10; to pretrain 10, then half as many]
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Scenes, a part of them held back [default: 1000; to pretrain 10000]
    #[arg(long)]
    pub images: Option<usize>,
    /// Input size in pixels, a side or HEIGHTxWIDTH; scenes have its longer side
    #[arg(long, default_value = "224")]
    pub imgsz: InputSize,
    /// Seed of the scenes and of the run
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads for the network [default: all cores]
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

/// Draws the scenes and makes the job of the run `name` on them. They lie beside the runs, in a folder whose name tells all
/// there is to tell about them: whoever resumes a run finds its scenes as they were.
///
/// # Errors
/// If the numbers cannot work, or the scenes cannot be written.
pub fn scene_job(
    kind: &str,
    name: String,
    options: &SceneOptions,
    imgsz: InputSize,
    recipe: Recipe,
    start: &Path,
    arguments: &DemoArguments,
) -> Result<JobFile> {
    let SceneOptions { images, size, seed, .. } = *options;
    if images < FEWEST {
        bail!("images = {images}, expected at least {FEWEST}");
    }
    recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    check_size(imgsz)?;
    let out = arguments.out.clone();
    let folder = out.join(format!("{kind}-{images}-of-{size}px-seed-{seed}"));
    log::info!("drawing {images} scenes of {size} px into {}", folder.display());
    write_voc(&folder, options)?;
    Ok(JobFile {
        data: Some(folder),
        weights: Some(start.into()),
        name: Some(name),
        out,
        imgsz: Some(imgsz),
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
