//! `fieldtune pack`: writes a data set as one file.

use crate::config::PackWish;
use crate::data::{PackFor, PackOptions, open_all, shown, write_pack};
use crate::session::{Bar, PackChoice, terminal};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PackArguments {
    /// Folders of labelled photos, a .zip of one, or a label file; several are joined by class names
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
    /// The pack to write
    #[arg(short, long)]
    pub output: PathBuf,
    /// Longest side of a packed photo in pixels
    #[arg(long, default_value_t = PackOptions::default().max_side)]
    pub max_side: usize,
    /// Share of the images held back for validation where the data set has no split
    #[arg(long, default_value_t = 0.2)]
    pub val_share: f64,
    /// How photos are packed: jpeg takes a tenth of the room and is decoded at every use; auto is pixels where there is room
    #[arg(long, value_enum, default_value = "auto")]
    pub pack_as: PackWish,
    /// Seed of the draw of images that are held back
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

pub fn run(arguments: PackArguments) -> Result<u8> {
    let PackArguments { max_side, val_share, seed, pack_as: wish, .. } = arguments;
    let dataset = open_all(&arguments.data)?;
    let choice = PackChoice { wish, val_share, seed };
    let photos = choice.kind(&arguments.output, dataset.annotations.len(), max_side);
    let options = PackOptions { max_side, val_share, seed, photos, made_for: PackFor::Owner };
    let bar = Bar::begin("packing", 0);
    let report = write_pack(&dataset, &arguments.output, &options, &mut |done, total| bar.at(done, total))?;
    drop(bar);
    for line in report.report.account.lines() {
        terminal::print_line(format_args!("{}", shown(&line)))?;
    }
    for (_, sentence, _) in report.report.errors() {
        terminal::print_line(format_args!("{sentence}"))?;
    }
    terminal::print_line(format_args!(
        "{}: {} images, {} objects, {:.1} MB; {} images left out, {} findings (see `fieldtune check`)",
        arguments.output.display(),
        report.records,
        report.objects,
        report.bytes as f64 / 1e6,
        report.skipped,
        report.report.findings.counts().values().sum::<usize>()
    ))?;
    Ok(0)
}
