//! `fieldtune fleet join`: this board as a node of a Flower federation.

use crate::boxes::InputSize;
use crate::fleet::node::{Node, NodeOptions};
use crate::fleet::privacy::Privacy;
use crate::fleet::wire::{Client, Connection, NodeKey, SuperLink};
use crate::fleet::{Mailbox, Member, dry_run};
use crate::session::{FolderLock, Supervisor, sweep, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

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

/// Longest time between two questions, in seconds.
const LONGEST_POLL: f64 = 3600.0;

pub fn run(arguments: JoinArguments) -> Result<u8> {
    if !(0.1..=LONGEST_POLL).contains(&arguments.poll) {
        bail!("--poll {}: expected 0.1 to {LONGEST_POLL} seconds", arguments.poll);
    }
    let privacy = arguments.clip_update.map(|clip| Privacy::new(clip, arguments.noise)).transpose()?;
    let folder = arguments.out;
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot make the node's folder", folder.display()))?;
    let _lock = FolderLock::take(&folder, "is a node")?;
    sweep(&folder);
    // Errors of the connection are told before the photos are read.
    let superlink = match (&arguments.superlink, &arguments.dry_run) {
        (Some(server), None) => {
            let connection = Connection {
                server: server.clone(),
                root_certificates: arguments.root_certificates,
                insecure: arguments.insecure,
            };
            let key = NodeKey::load_or_make(&arguments.key.unwrap_or_else(|| folder.join("node.key")))?;
            Some(SuperLink::new(Client::new(&connection, key)?))
        }
        _ => None,
    };
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
        privacy,
        mb_per_day: arguments.mb_per_day,
        ..NodeOptions::default()
    };
    let mut node = Node::open(&options, stop.clone())?;
    if let Some(path) = arguments.dry_run {
        let size = node.size();
        let bytes = dry_run(&mut node, &folder.join("start.onnx"), size, &path)?;
        terminal::print_line(format_args!("{bytes} bytes would leave this board; {} lists them", path.display()))?;
        return Ok(0);
    }
    if let Some(superlink) = superlink {
        let poll = Duration::from_secs_f64(arguments.poll);
        Member::new(superlink, Mailbox::open(&folder)?, &mut node, stop, poll)?.run()?;
    }
    Ok(0)
}
