//! `fieldtune pack`.

use super::progress::bar;
use crate::data::{DataSet, PackOptions, write_pack};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PackArguments {
    /// Folder of labelled photos, or a label file
    pub data: PathBuf,
    /// The pack to write
    #[arg(short, long)]
    pub output: PathBuf,
    /// Longest side of a packed photo in pixels
    #[arg(long, default_value_t = PackOptions::default().max_side)]
    pub max_side: usize,
    /// Share of the images held back for validation where the data set has no split
    #[arg(long, default_value_t = 0.2)]
    pub val_share: f64,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

pub fn run(arguments: PackArguments) -> Result<u8> {
    let options = PackOptions { max_side: arguments.max_side, val_share: arguments.val_share, seed: arguments.seed };
    let dataset = DataSet::open(&arguments.data)?;
    let bar = bar("packing");
    let report = write_pack(&dataset, &arguments.output, &options, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    println!(
        "{}: {} images, {} objects, {:.1} MB; {} images left out, {} findings (see `fieldtune check`)",
        arguments.output.display(),
        report.records,
        report.objects,
        report.bytes as f64 / 1e6,
        report.skipped,
        report.findings.len()
    );
    Ok(0)
}
