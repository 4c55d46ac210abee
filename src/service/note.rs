//! `service.toml` in the state folder: the stage that the service was in, for its next start. Replaced in one step.

use crate::train::replace_file;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceStage {
    /// Begun and not ended: to be gone on with.
    Training,
    /// Published.
    Done,
    /// Ended in an error, to be tried again when something is different.
    Failed,
}

/// The run that was worked on last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub stage: ServiceStage,
    /// Name of the run folder.
    pub run: String,
    /// The input that it was made from, see [`super::inputs`].
    pub inputs: String,
    /// The message about it.
    pub message: String,
    /// Largest micro-batch, where a larger one was too much for this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
}

fn path(state: &Path) -> PathBuf {
    state.join("service.toml")
}

impl Note {
    /// `None` where there is none, or none that can be read: then all begins anew.
    pub fn read(state: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path(state)).ok()?;
        toml::from_str(&text).map_err(|e| log::warn!("{}: {}", path(state).display(), e.message())).ok()
    }

    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, state: &Path) -> Result<()> {
        let text = toml::to_string(self).context("service.toml")?;
        Ok(replace_file(&path(state), |temporary| std::fs::write(temporary, text), |_| Ok(()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_a_damaged_one_is_none() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Note::read(state.path()), None);
        let note = Note {
            stage: ServiceStage::Done,
            run: "a-1".into(),
            inputs: "0f".into(),
            message: "\"AP\"\n0.5".into(),
            micro_batch: Some(1),
        };
        note.write(state.path()).unwrap();
        assert_eq!(Note::read(state.path()), Some(note));
        std::fs::write(path(state.path()), "stage = \"asleep\"").unwrap();
        assert_eq!(Note::read(state.path()), None);
    }
}
