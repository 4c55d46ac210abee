//! `fieldtune serve-model`: a detector for other programs, over HTTP.

use crate::config::ServeAddress;
use crate::eval::Suppression;
use crate::predict::{Finder, LowestScore};
use crate::serve::{EndpointOptions, serve_model};
use crate::session::{Supervisor, set_threads};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ServeModelArguments {
    /// A detector: a file, a run folder, or the name of kept weights
    pub model: PathBuf,
    /// Address: this machine alone, or with a token 0.0.0.0:8070 for others
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8070")]
    pub serve: ServeAddress,
    /// Lowest score, of all classes or as CLASS=SCORE, may be repeated [default: as `fieldtune predict`]
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
    /// Label Studio's address, whose photos are fetched; LABEL_STUDIO_API_KEY in the environment is its access token
    #[arg(long, value_name = "URL")]
    pub label_studio: Option<String>,
    /// Folder of the photos that Label Studio names as local files
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
}

pub fn run(arguments: ServeModelArguments) -> Result<u8> {
    set_threads(arguments.threads)?;
    let suppression = if arguments.agnostic { Suppression::AllClasses } else { Suppression::PerClass };
    let finder = Finder::open(&arguments.model, arguments.names.as_deref(), &arguments.conf, suppression)?;
    let options = EndpointOptions {
        address: arguments.serve,
        label_studio: arguments.label_studio,
        photos: arguments.photos,
        model: arguments.model.file_name().unwrap_or("model".as_ref()).to_string_lossy().into_owned(),
    };
    let stop = Supervisor::of_command().listen()?;
    serve_model(&finder, options, &stop)?;
    Ok(0)
}
