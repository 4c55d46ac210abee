//! `fieldtune demo`: the complete workflow on generated scenes, with nothing to download.
//!
//! The scenes are written as a Pascal VOC data set and trained on as photos would be, by the same recipe, from a narrow
//! detector that is part of the program. That one has seen generated scenes too, but none of these shapes
//! ([`super::pretraining`] made it).

use super::pretraining::pretrain;
use super::scenes::{CLASSES, DemoArguments, scene_job, uncropped};
use crate::data::{SceneOptions, write_voc};
use crate::session::{PRETRAINED, Preflight, Supervisor, free_name, new_training, terminal};
use crate::train::Recipe;
use anyhow::{Context, Result};
use std::fs;

pub fn run(arguments: DemoArguments) -> Result<u8> {
    if let Some(file) = &arguments.pretrain {
        return pretrain(file, &arguments);
    }
    let options = SceneOptions {
        images: arguments.images.unwrap_or(1000),
        size: arguments.imgsz.longer(),
        classes: CLASSES,
        max_objects: 4,
        min_object_px: arguments.imgsz.longer() * 8 / 100,
        seed: arguments.seed,
        ..SceneOptions::default()
    };
    if let Some(folder) = &arguments.write {
        write_voc(folder, &options)?;
        terminal::print_line(format_args!("{} scenes in {}", options.images, folder.display()))?;
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
    let job = scene_job("scenes", name, &options, arguments.imgsz, recipe, &start, &arguments)?;
    fs::write(&start, PRETRAINED).with_context(|| format!("{}: cannot write", start.display()))?;
    let code = new_training(job, Preflight::default(), &mut Supervisor::of_command())?.code();
    if code == 0 {
        log::info!("predictions on held-back scenes: {}", pictures.display());
    }
    Ok(code)
}
