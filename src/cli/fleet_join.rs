//! `fieldtune fleet join`: this board as a node of a Flower federation.

use crate::boxes::InputSize;
use crate::config::FleetFile;
use crate::fleet::node::{Node, NodeOptions};
use crate::fleet::{check_settings, dry_run, privacy_of, take_part};
use crate::session::{FolderLock, Supervisor, sweep, terminal};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct JoinArguments {
    /// Folder of labelled photos, a label file, or a pack; several are joined by class names
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
    /// Address of the SuperLink, such as 192.168.1.10:8000
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "dry_run")]
    pub superlink: Option<String>,
    /// Authority that signed the SuperLink's certificate, as a PEM file [default: those that browsers trust]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub root_certificates: Option<PathBuf>,
    /// Send without encryption, for a SuperLink that was started with --insecure
    #[arg(long)]
    pub insecure: bool,
    /// Private key of this node (PKCS #8, PEM, P-256) [default: node.key in the folder, made at the first start]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Seconds between two questions for work during a run
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub poll: f64,
    /// Train one round of one epoch and write to this file what would leave the board; send nothing
    #[arg(long, value_name = "FILE")]
    pub dry_run: Option<PathBuf>,
    /// File of pretrained weights, or the name of kept ones [default: the kept default]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Names of the weights' classes where their file has none: a list with commas, or a file
    #[arg(long, value_name = "NAMES")]
    pub names: Option<String>,
    /// Input size in pixels, a side or HEIGHTxWIDTH [default: that of the weights]
    #[arg(long, value_name = "PIXELS|HxW")]
    pub imgsz: Option<InputSize>,
    /// Threads for the network [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Split to train on [default: train, or trainval]
    #[arg(long, value_name = "SPLIT")]
    pub train_split: Option<String>,
    /// Split to measure on [default: val]
    #[arg(long, value_name = "SPLIT")]
    pub val_split: Option<String>,
    /// Share of the photos held back for validation where the data set has no split
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub val_share: f64,
    /// Go on although the data set has errors of this kind; may be repeated
    #[arg(long, value_name = "KIND")]
    pub accept: Vec<String>,
    /// Megabytes that rounds may send and receive in a day [default: no bound]
    #[arg(long, value_name = "MB")]
    pub mb_per_day: Option<f64>,
    /// Clip each answer to this norm, and add the noise of --noise
    #[arg(long, value_name = "NORM")]
    pub clip_update: Option<f64>,
    /// Deviation of the noise on each number, in clips
    #[arg(long, default_value_t = 0.0, requires = "clip_update", value_name = "CLIPS")]
    pub noise: f64,
    /// Folder of this node: its key, what it is working on, what waits to be sent
    #[arg(short, long, default_value = "runs/fleet/node", value_name = "FOLDER")]
    pub out: PathBuf,
}

pub fn run(arguments: JoinArguments) -> Result<u8> {
    let fleet = FleetFile {
        superlink: arguments.superlink,
        root_certificates: arguments.root_certificates,
        insecure: arguments.insecure,
        key: arguments.key,
        poll_s: arguments.poll,
        mb_per_day: arguments.mb_per_day,
        clip_update: arguments.clip_update,
        noise: arguments.noise,
    };
    check_settings(&fleet)?;
    let folder = arguments.out;
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot make the node's folder", folder.display()))?;
    let _lock = FolderLock::take(&folder, "is a node")?;
    sweep(&folder);
    let stop = Supervisor::of_command().listen()?;
    let options = NodeOptions {
        data: arguments.data,
        weights: arguments.weights,
        names: arguments.names,
        folder: folder.clone(),
        imgsz: arguments.imgsz,
        threads: arguments.threads,
        train_split: arguments.train_split,
        val_split: arguments.val_split,
        val_share: arguments.val_share,
        accept: arguments.accept,
        privacy: privacy_of(&fleet)?,
        mb_per_day: fleet.mb_per_day,
        ..NodeOptions::default()
    };
    let Some(path) = arguments.dry_run else {
        take_part(&fleet, &options, &stop)?;
        return Ok(0);
    };
    let mut node = Node::open(&options, stop)?;
    let size = node.size();
    let bytes = dry_run(&mut node, &folder.join("start.onnx"), size, &path)?;
    terminal::print_line(format_args!("{bytes} bytes would leave this board; {} lists them", path.display()))?;
    Ok(0)
}
