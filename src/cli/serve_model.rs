//! `fieldtune serve-model`: a detector for other programs, over HTTP.

use super::detector_arguments::DetectorArguments;
use crate::config::ServeAddress;
use crate::serve::{EndpointOptions, serve_model};
use crate::session::Supervisor;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ServeModelArguments {
    #[command(flatten)]
    pub detector: DetectorArguments,
    /// Address: this machine alone, or with a token 0.0.0.0:8070 for others
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8070")]
    pub serve: ServeAddress,
    /// Label Studio's address, whose photos are fetched; LABEL_STUDIO_API_KEY in the environment is its access token
    #[arg(long, value_name = "URL")]
    pub label_studio: Option<String>,
    /// Folder of the photos that Label Studio names as local files
    #[arg(long, value_name = "FOLDER")]
    pub photos: Option<PathBuf>,
}

pub fn run(arguments: ServeModelArguments) -> Result<u8> {
    let finder = arguments.detector.open()?;
    let model = &arguments.detector.model;
    let options = EndpointOptions {
        address: arguments.serve,
        label_studio: arguments.label_studio,
        photos: arguments.photos,
        model: model.file_name().unwrap_or("model".as_ref()).to_string_lossy().into_owned(),
    };
    let stop = Supervisor::of_command().listen()?;
    serve_model(&finder, options, &stop)?;
    Ok(0)
}
