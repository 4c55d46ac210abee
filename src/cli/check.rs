//! `fieldtune check`: looks for every defect in a data set.

use crate::boxes::InputSize;
use crate::data::{
    AugmentOptions, CheckOptions, DataSet, ExportFormat, Pack, PackOptions, SplitOptions, check_with, export, open_all,
    write_pack,
};
use crate::model::ssdlite_mobilenet_v2;
use crate::session::{Bar, DEFAULT_SIZE, LabelPictures, objects_of, terminal};
use crate::train::Records;
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Folders of labelled photos, a .zip of one, or a label file; several are joined by class names
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
    /// Input size of the network in pixels, a side or HEIGHTxWIDTH
    #[arg(long, default_value_t = DEFAULT_SIZE)]
    pub imgsz: InputSize,
    /// Share of the images held back for validation where the data set has no split
    #[arg(long, default_value_t = 0.2)]
    pub val_share: f64,
    /// The findings one by one
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,
    /// Findings as JSON
    #[arg(long)]
    pub json: bool,
    /// Write labels.png and train_batch0.png, which show the labels, to this folder
    #[arg(long, value_name = "OUT")]
    pub pictures: Option<PathBuf>,
    /// Write the usable photos and mended boxes to this new folder
    #[arg(long, value_name = "OUT")]
    pub fix: Option<PathBuf>,
    /// Format of --fix: voc, coco or yolo
    #[arg(long, value_parser = parse_format, default_value = "voc", requires = "fix")]
    pub format: ExportFormat,
}

fn parse_format(text: &str) -> Result<ExportFormat, String> {
    match text {
        "voc" => Ok(ExportFormat::Voc),
        "coco" => Ok(ExportFormat::Coco),
        "yolo" => Ok(ExportFormat::Yolo),
        _ => Err("expected voc, coco or yolo".into()),
    }
}

pub fn run(arguments: CheckArguments) -> Result<u8> {
    crate::session::check_size(arguments.imgsz)?;
    let dataset = open_all(&arguments.data)?;
    let anchors = ssdlite_mobilenet_v2(1.0, 2, false).anchors(arguments.imgsz.dims())?;
    let split = SplitOptions { val_share: arguments.val_share, seed: 0 };
    let options = CheckOptions { input_size: arguments.imgsz, anchors: anchors.corners(), split };
    let bar = Bar::begin("checking", dataset.annotations.len());
    let report = check_with(&dataset, &options, &|done| bar.add(done));
    drop(bar);
    if arguments.json {
        terminal::print_json(&report.to_json())?;
    } else {
        terminal::print(if arguments.verbose { report.render_table() } else { report.render() })?;
    }
    if let Some(out) = &arguments.pictures {
        draw(&dataset, out, arguments.imgsz, arguments.val_share)?;
    }
    if let Some(out) = &arguments.fix {
        fix(&dataset, out, arguments.format, &split)?;
    }
    Ok(report.exit_code())
}

fn draw(dataset: &DataSet, out: &Path, size: InputSize, val_share: f64) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot make the folder", out.display()))?;
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = cache.path().join("set.pack");
    write_pack(dataset, &path, &PackOptions { val_share, ..PackOptions::default() }, &mut |_, _| {})?;
    let pack = Pack::open(&path)?;
    let split = pack.split(&pack.roles().train)?;
    let pictures = LabelPictures { class_names: pack.classes(), size, seed: 0, augment: &AugmentOptions::default() };
    pictures.write(&Records::of_split(&split), &objects_of(&split)?, out)?;
    log::info!("{}: labels.png and train_batch0.png written", out.display());
    Ok(())
}

fn fix(dataset: &DataSet, out: &Path, format: ExportFormat, split: &SplitOptions) -> Result<()> {
    let [photos, boxes] = export(dataset, out, format, split)?;
    log::info!("{}: {photos} photos with {boxes} boxes", out.display());
    Ok(())
}
