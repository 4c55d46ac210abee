//! `fieldtune clean`: lists what runs left and nothing needs any more, and removes it when told to.

use crate::config::JobFile;
use crate::session::{Leftovers, terminal};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CleanArguments {
    /// Folder of runs, or one run folder [default: runs/train]
    pub folder: Option<PathBuf>,
    /// Remove what is listed; without it nothing is touched
    #[arg(long)]
    pub remove: bool,
    /// The last checkpoint of finished runs as well: they cannot be given more epochs then
    #[arg(long)]
    pub last: bool,
}

pub fn run(arguments: CleanArguments) -> Result<u8> {
    let folder = arguments.folder.unwrap_or_else(|| JobFile::default().out);
    let found = Leftovers::find(&folder, arguments.last)?;
    for file in &found.files {
        let megabytes = file.bytes as f64 / 1e6;
        terminal::print_line(format_args!("{megabytes:10.1} MB  {}: {}", file.path.display(), file.what))?;
    }
    for (path, why) in &found.kept {
        terminal::print_line(format_args!("         kept  {}: {why}", path.display()))?;
    }
    let (count, megabytes) = (found.files.len(), found.bytes() as f64 / 1e6);
    let files = if count == 1 { "file" } else { "files" };
    if arguments.remove {
        found.remove()?;
        terminal::print_line(format_args!("{count} {files} removed, {megabytes:.1} MB"))?;
    } else if count == 0 {
        terminal::print_line(format_args!("nothing to remove"))?;
    } else {
        terminal::print_line(format_args!(
            "{count} {files}, {megabytes:.1} MB; nothing was removed, --remove does it"
        ))?;
    }
    Ok(0)
}
