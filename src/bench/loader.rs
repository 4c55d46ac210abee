//! `fieldtune bench loader`: reading, augmenting and batching a data set.

use crate::boxes::InputSize;
use crate::data::{AugmentOptions, EpochPlan, Loader, LoaderOptions};
use crate::session::{check_size, open_source, terminal};
use crate::train::Records;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct LoaderArguments {
    /// Folder of labelled photos, a label file, or a pack
    pub data: PathBuf,
    /// Loader threads to measure; 0 loads on the trainer's own
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    pub threads: Vec<usize>,
    /// Input size in pixels, a side or HEIGHTxWIDTH
    #[arg(long, default_value = "300")]
    pub imgsz: InputSize,
    /// Images per micro-batch
    #[arg(long, default_value_t = 2)]
    pub micro_batch: usize,
    /// Folder that the data set is packed in
    #[arg(long, default_value = "runs/bench")]
    pub out: PathBuf,
    /// One JSON object a row
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: LoaderArguments) -> Result<u8> {
    check_size(arguments.imgsz)?;
    std::fs::create_dir_all(&arguments.out)?;
    let source = open_source(&arguments.data, &arguments.out, 0.2, 0)?;
    let split = source.pack.split("all")?;
    let records = Records::of_split(&split);
    if !arguments.json {
        terminal::stream_line(format_args!(
            "threads  images/s over {} images of {} px",
            records.len(),
            arguments.imgsz
        ))?;
    }
    for &threads in &arguments.threads {
        let options = LoaderOptions {
            size: arguments.imgsz,
            micro_batch: arguments.micro_batch.max(1),
            threads,
            queue: 2,
            augment: Some(AugmentOptions::default()),
        };
        let mut fastest = 0f64;
        // The first pass reads from disk.
        for epoch in 0..3 {
            let source = records.clone();
            let loader = Loader::new(move |i| source.get(i), options.clone());
            let began = Instant::now();
            let mut images = 0;
            for batch in loader.epoch(EpochPlan::shuffled(records.len(), 0, epoch), 0) {
                images += batch?.objects.len();
            }
            fastest = fastest.max(images as f64 / began.elapsed().as_secs_f64());
        }
        if arguments.json {
            terminal::stream_line(format_args!(
                "{}",
                json!({"threads": threads, "images_per_s": fastest, "imgsz": arguments.imgsz.to_string()})
            ))?;
        } else {
            terminal::stream_line(format_args!("{threads:>7}  {fastest:.0}"))?;
        }
    }
    Ok(0)
}
