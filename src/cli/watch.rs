//! `fieldtune watch`: the live page of a run, from outside.

use crate::config::ServeAddress;
use crate::serve::watch_run;
use crate::session::Supervisor;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Run folder, such as runs/train/photos-1
    pub run: PathBuf,
    /// Address of the page: this machine alone, or with a token 0.0.0.0:8070 for others
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8070")]
    pub serve: ServeAddress,
}

pub fn run(arguments: WatchArguments) -> Result<u8> {
    let stop = Supervisor::of_command().listen()?;
    watch_run(&arguments.run, arguments.serve, &stop)?;
    Ok(0)
}
