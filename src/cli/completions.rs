//! `fieldtune completions SHELL` and `fieldtune man FOLDER`: both made from the command line as it is defined.

use crate::session::terminal;
use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// The shell to write them for
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// Folder that the pages are written into
    pub folder: PathBuf,
}

pub fn run(arguments: CompletionArguments) -> Result<u8> {
    // Into memory first: it panics where a stream refuses.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "fieldtune", &mut script);
    terminal::print(String::from_utf8_lossy(&script))?;
    Ok(0)
}

pub fn man(arguments: ManArguments) -> Result<u8> {
    let folder = arguments.folder;
    std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(super::command(), &folder))
        .with_context(|| format!("{}: cannot write the man pages", folder.display()))?;
    Ok(0)
}
