//! `fieldtune check`.

use super::loaded::DEFAULT_SIZE;
use crate::boxes::Anchors;
use crate::data::{CheckOptions, DataSet, SplitOptions, check};
use crate::model::ssdlite_mobilenet_v2;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Folder of labelled photos, or a label file
    pub data: PathBuf,
    /// Input size of the network in pixels
    #[arg(long, default_value_t = DEFAULT_SIZE)]
    pub imgsz: usize,
    /// Share of the images held back for validation where the data set has no split
    #[arg(long, default_value_t = 0.2)]
    pub val_share: f64,
    /// Findings as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: CheckArguments) -> Result<u8> {
    super::run_folder::check_size(arguments.imgsz)?;
    let dataset = DataSet::open(&arguments.data)?;
    let anchors = Anchors::tf_ssd(&ssdlite_mobilenet_v2(1.0, 2, false).map_sizes(arguments.imgsz));
    let options = CheckOptions {
        input_size: arguments.imgsz,
        anchors: anchors.corners(),
        split: SplitOptions { val_share: arguments.val_share, seed: 0 },
    };
    let report = check(&dataset, &options);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report.to_json())?);
    } else {
        print!("{}", report.render_table());
    }
    Ok(report.exit_code())
}
