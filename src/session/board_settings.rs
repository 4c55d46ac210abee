//! Applies a board's settings to a job: only where neither a flag nor the job file chose a value.

use crate::board::{BoardConfig, model};
use crate::config::JobFile;
use anyhow::{Result, bail};
use std::path::Path;

/// The board that a job names: `auto` is the one this is, see [`BoardConfig::detect`].
///
/// # Errors
/// If there are no settings of that name.
pub fn board_of(name: &str, root: &Path) -> Result<Option<BoardConfig>> {
    match name {
        "none" => Ok(None),
        "auto" => Ok(BoardConfig::detect(root)),
        name => match BoardConfig::named(name) {
            Some(config) => Ok(Some(config)),
            None => bail!("board = {name:?}, expected auto, none or one of {}", BoardConfig::names()),
        },
    }
}

/// Fills in the board's settings, and its name for whoever resumes the run.
///
/// # Errors
/// If there are no settings of that name.
pub fn settle_on_board(job: &mut JobFile, root: &Path) -> Result<Option<BoardConfig>> {
    let board = board_of(&job.board, root)?;
    if board.is_none() && job.board == "auto" {
        let model = model(root).map_or(String::new(), |m| format!(" ({m})"));
        log::debug!("no settings for this machine{model}");
    }
    job.board = board.as_ref().map_or("none".into(), |b| b.name.clone());
    let Some(config) = &board else { return Ok(None) };
    log::info!("{}: its settings are used, --board none to do without", config.title);
    job.threads = job.threads.or(config.threads);
    job.memory_mb = job.memory_mb.or(config.memory_mb);
    if !job.given.checkpoint_every {
        job.checkpoint_every_s = config.writes.checkpoint_every_s;
    }
    let recipe = &mut job.recipe;
    if !job.given.micro_batch && recipe.micro_batch > config.micro_batch {
        let fits = |n: &usize| recipe.batch.is_multiple_of(*n);
        recipe.micro_batch = (1..=config.micro_batch).rev().find(fits).unwrap_or(1);
    }
    Ok(board)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Given;

    #[test]
    fn a_board_fills_in_what_nobody_said() {
        let nowhere = Path::new("/nowhere");
        let mut job = JobFile { board: "rpi-zero-2w".into(), ..JobFile::default() };
        assert!(settle_on_board(&mut job, nowhere).unwrap().is_some());
        assert_eq!((job.threads, job.recipe.micro_batch, job.checkpoint_every_s), (Some(3), 1, 600));
        let given = Given { micro_batch: true, checkpoint_every: true };
        let mut job = JobFile { board: "rpi-zero-2w".into(), threads: Some(1), given, ..JobFile::default() };
        settle_on_board(&mut job, nowhere).unwrap();
        assert_eq!((job.threads, job.recipe.micro_batch, job.checkpoint_every_s), (Some(1), 2, 300));
        for name in ["auto", "none"] {
            let mut job = JobFile { board: name.into(), ..JobFile::default() };
            assert_eq!(settle_on_board(&mut job, nowhere).unwrap(), None);
            assert_eq!(job, JobFile { board: "none".into(), ..JobFile::default() });
        }
        let error = board_of("pdp-11", nowhere).unwrap_err().to_string();
        assert!(error.contains("pdp-11") && error.contains("rpi5"), "{error}");
    }
}
