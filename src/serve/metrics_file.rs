//! Metrics in a file, for node_exporter's textfile collector.

use super::live_run::LiveRun;
use super::metrics::metrics;
use crate::train::replace_file;
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time between two writes.
const EVERY: Duration = Duration::from_secs(15);

/// Held while a file is written: its temporary file is one for the whole process.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes the metrics in one step: the collector may read at any time.
///
/// # Errors
/// If the file cannot be written.
pub fn write_metrics(live: &LiveRun, path: &Path) -> Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = metrics(&live.status(), Path::new("/"));
    Ok(replace_file(path, |temporary| fs::write(temporary, text), |_| Ok(()))?)
}

/// Writes the metrics until the program ends; a storage that refuses is told of once.
pub fn keep_metrics(live: &LiveRun, path: &Path) {
    let mut warned = false;
    loop {
        if let Err(error) = write_metrics(live, path)
            && !std::mem::replace(&mut warned, true)
        {
            log::warn!("{error:#}");
        }
        live.wait(EVERY);
    }
}
