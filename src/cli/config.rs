//! `fieldtune config`: a job file to start from.

use crate::config::commented_job;
use crate::session::terminal;
use anyhow::{Context, Result};
use clap::Args;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The file to write; the terminal if absent. A file that exists is left as it is
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub fn run(arguments: ConfigArguments) -> Result<u8> {
    let Some(path) = arguments.output else {
        terminal::print(commented_job())?;
        return Ok(0);
    };
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.with_context(|| format!("{}: cannot write a new job file", path.display()))?;
    file.write_all(commented_job().as_bytes()).with_context(|| format!("{}: cannot write", path.display()))?;
    let path = path.display();
    terminal::print_line(format_args!(
        "{path}: every key with its default; use it with `fieldtune train --config {path}`"
    ))?;
    Ok(0)
}
