//! The job file of the service, checked before it begins.

use crate::config::JobFile;
use crate::fleet::check_settings;
use crate::session::board_of;
use anyhow::{Context, Result, anyhow};
use std::path::Path;

/// # Errors
/// If the job file cannot be read or asks for what cannot be: trying again would mend nothing.
pub fn read_job(config: &Path) -> Result<JobFile> {
    let job = JobFile::read(config)?;
    job.recipe.check().map_err(|e| anyhow!("{}: recipe: {e}", config.display()))?;
    board_of(&job.board, Path::new("/")).map_err(|e| anyhow!("{}: {e}", config.display()))?;
    if let Some(fleet) = &job.fleet {
        let wrong = |e: anyhow::Error| anyhow!("{}: [fleet]: {e}", config.display());
        fleet.superlink.as_ref().context("no superlink, expected HOST:PORT").map_err(wrong)?;
        check_settings(fleet).map_err(wrong)?;
    }
    Ok(job)
}
