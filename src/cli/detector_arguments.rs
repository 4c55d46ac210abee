//! The arguments that open a detector for work, shared by `predict` and `serve-model`.

use crate::eval::Suppression;
use crate::predict::{Finder, LowestScore};
use crate::session::set_threads;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DetectorArguments {
    /// A detector: a file, a run folder, or the name of kept weights
    pub model: PathBuf,
    /// Lowest score of a detection, of all classes or as CLASS=SCORE, may be repeated [default: the model's own, of best F1 in validation; 0.4 if it has none]
    #[arg(long, value_name = "[CLASS=]SCORE")]
    pub conf: Vec<LowestScore>,
    /// One object has one class: boxes of other classes suppress each other, too
    #[arg(long)]
    pub agnostic: bool,
    /// Names of the model's classes where its file has none: cat,dog or a file, one a line
    #[arg(long)]
    pub names: Option<String>,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
}

impl DetectorArguments {
    /// Opens the detector, for as many threads as were asked for.
    ///
    /// # Errors
    /// If there is no such detector, a class is named that it does not have, or the threads cannot be started.
    pub fn open(&self) -> Result<Finder> {
        set_threads(self.threads)?;
        let suppression = if self.agnostic { Suppression::AllClasses } else { Suppression::PerClass };
        Finder::open(&self.model, self.names.as_deref(), &self.conf, suppression)
    }
}
