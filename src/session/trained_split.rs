//! The splits of a data set that a network learned from and was judged on, as its file says, or by the usual names.

use crate::data::{Pack, Split};
use crate::interchange::TrainedOn;
use anyhow::Result;

/// The split to judge a network on; `None` if the data set holds nothing back.
///
/// # Errors
/// If the split cannot be read.
pub fn validation_split(pack: &Pack, trained: Option<&TrainedOn>) -> Result<Option<Split>> {
    match trained.map(|t| pack.split(&t.val_split)) {
        Some(Ok(split)) => Ok(Some(split)),
        _ => Ok(pack.roles().val.map(|name| pack.split(&name)).transpose()?),
    }
}

/// The split that a network learned from.
///
/// # Errors
/// If the split cannot be read.
pub fn training_split(pack: &Pack, trained: Option<&TrainedOn>) -> Result<Split> {
    match trained.map(|t| pack.split(&t.train_split)) {
        Some(Ok(split)) => Ok(split),
        _ => Ok(pack.split(&pack.roles().train)?),
    }
}
