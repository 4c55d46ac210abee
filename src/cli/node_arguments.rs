//! The flags of a node of a fleet, real or simulated: its photos and its start.

use crate::boxes::InputSize;
use crate::fleet::node::NodeOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct NodeArguments {
    /// Folder of labelled photos, a label file, or a pack; several are joined by class names
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
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
}

impl NodeArguments {
    /// A node with its files in `folder`.
    pub fn options(self, folder: PathBuf) -> NodeOptions {
        NodeOptions {
            data: self.data,
            weights: self.weights,
            names: self.names,
            folder,
            imgsz: self.imgsz,
            threads: self.threads,
            train_split: self.train_split,
            val_split: self.val_split,
            val_share: self.val_share,
            accept: self.accept,
            ..NodeOptions::default()
        }
    }
}
