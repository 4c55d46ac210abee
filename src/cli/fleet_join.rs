//! `fieldtune fleet join`: this board as a node of a Flower federation.

use super::node_arguments::NodeArguments;
use crate::config::FleetFile;
use crate::fleet::node::{FleetNode, NodeOptions};
use crate::fleet::{check_settings, dry_run, privacy_of, take_part};
use crate::session::{FolderLock, Supervisor, sweep, terminal};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct JoinArguments {
    #[command(flatten)]
    pub node: NodeArguments,
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
        privacy: privacy_of(&fleet)?,
        mb_per_day: fleet.mb_per_day,
        ..arguments.node.options(folder.clone())
    };
    let Some(path) = arguments.dry_run else {
        take_part(&fleet, &options, &stop)?;
        return Ok(0);
    };
    let mut node = FleetNode::open(&options, stop)?;
    let size = node.size();
    let bytes = dry_run(&mut node, &folder.join("start.onnx"), size, &path)?;
    terminal::print_line(format_args!("{bytes} bytes would leave this board; {} lists them", path.display()))?;
    Ok(0)
}
