//! The checkpoint that a cure goes back to: the last one saved while nothing was suspected.

use super::atomic_file;
use crate::train::error::TrainError;
use std::path::{Path, PathBuf};

/// Weights worth going back to, beside the last checkpoint.
const GOOD: &str = "good.ckpt";

/// The checkpoint to go back to.
pub fn good(last: &Path) -> PathBuf {
    let good = last.with_file_name(GOOD);
    if good.exists() { good } else { last.to_path_buf() }
}

/// Keeps the checkpoint just saved as the good one; costs no write where the file system has hard links.
///
/// # Errors
/// If the disk refuses.
pub fn keep_good(last: &Path) -> Result<(), TrainError> {
    let good = last.with_file_name(GOOD);
    atomic_file::link_or_copy(last, &good).map_err(TrainError::io(good, "keep the good weights"))
}
