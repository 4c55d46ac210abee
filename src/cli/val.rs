//! `fieldtune val`.

use super::loaded::LoadedDetector;
use super::process::set_threads;
use super::run_folder::{Source, open_source};
use crate::eval::{CocoMetrics, coco_eval, read_results, read_truth};
use crate::train::{Records, evaluate};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct ValArguments {
    /// A detector (ONNX)
    #[arg(required_unless_present = "ground_truth")]
    pub model: Option<PathBuf>,
    /// Folder of labelled photos, a label file, or a pack
    #[arg(required_unless_present = "ground_truth")]
    pub data: Option<PathBuf>,
    /// The split to judge on; the validation split if absent
    #[arg(long)]
    pub split: Option<String>,
    #[arg(long)]
    pub threads: Option<usize>,
    /// COCO ground truth (JSON), instead of a model and data
    #[arg(long, requires = "detections", conflicts_with_all = ["model", "data"])]
    pub ground_truth: Option<PathBuf>,
    /// COCO results (JSON)
    #[arg(long, requires = "ground_truth")]
    pub detections: Option<PathBuf>,
    /// Figures as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: ValArguments) -> Result<u8> {
    let metrics = match (&arguments.ground_truth, &arguments.detections, &arguments.model, &arguments.data) {
        (Some(truth), Some(detections), ..) => compare(truth, detections)?,
        (_, _, Some(model), Some(data)) => judge(model, data, &arguments)?,
        _ => bail!("give a model and data, or --ground-truth and --detections"),
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&metrics.to_json())?);
    } else {
        print!("{}", metrics.render_table());
    }
    Ok(0)
}

fn compare(truth: &Path, detections: &Path) -> Result<CocoMetrics> {
    let truth = read_truth(truth)?;
    let results = read_results(detections, &truth)?;
    for (category, count) in &results.unknown_categories {
        log::warn!("{count} detections of category {category}, which the ground truth does not have, are left out");
    }
    Ok(coco_eval(&truth.images, &results.images, &truth.class_names()))
}

fn judge(model: &Path, data: &Path, arguments: &ValArguments) -> Result<CocoMetrics> {
    set_threads(arguments.threads)?;
    let loaded = LoadedDetector::open(model)?;
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let Source { pack, .. } = open_source(data, cache.path(), 0.2, 0)?;
    let split = match &arguments.split {
        Some(name) => pack.split(name)?,
        None => {
            let roles = pack.roles();
            pack.split(&roles.val.unwrap_or(roles.train))?
        }
    };
    log::info!("{} images of split {}", split.len(), split.name());
    let columns = class_columns(pack.classes(), &loaded.class_names, model)?;
    let records = Records::new(split.len(), move |i| {
        let mut record = split.record(i)?;
        record.objects.iter_mut().for_each(|o| o.class = columns[o.class]);
        Ok(record)
    });
    Ok(evaluate(&loaded.model, &records, loaded.size, &loaded.detector, &loaded.class_names)?.metrics)
}

/// For each class of the data set, its index among the model's.
fn class_columns(data: &[String], model: &[String], path: &Path) -> Result<Vec<usize>> {
    let find = |name: &String| {
        model.iter().position(|m| m == name).with_context(|| {
            format!(
                "{}: no class {name:?} among {}\nhelp: judge the model on data with the classes it was trained on",
                path.display(),
                model.join(", ")
            )
        })
    };
    data.iter().map(find).collect()
}
