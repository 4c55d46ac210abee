//! A job: recipe, folder and limits of one run, fixed from its beginning to its end.

use super::error::TrainError;
use super::recipe::Recipe;
use super::requests::Requests;
use super::watch::mishap::Mishap;
use crate::boxes::InputSize;
use crate::eval::PostProcessor;
use crate::interchange::TrainedOn;
use crate::model::SsdModel;
use crate::optim::Schedule;
use crate::watchdog::Mode;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The settings that stay the same over a run.
#[derive(Clone, Debug)]
pub struct Job {
    pub recipe: Recipe,
    pub size: InputSize,
    /// Without the background.
    pub class_names: Vec<String>,
    /// The run folder; it exists and has a `weights` folder.
    pub folder: PathBuf,
    /// Longest time between checkpoints.
    pub checkpoint_every: Duration,
    pub loader_threads: usize,
    /// The watchdog's permissions.
    pub watchdog: Mode,
    /// In the place of the recipe's, which always fits the run.
    pub schedule: Option<Schedule>,
    /// The injected fault.
    pub mishap: Option<Mishap>,
    /// The data set, for the metadata of the exported file.
    pub trained_on: Option<TrainedOn>,
    /// The requests to the run while it goes on.
    pub requests: Arc<Requests>,
}

impl Job {
    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("weights/last.ckpt")
    }

    pub fn best_path(&self) -> PathBuf {
        self.folder.join("weights/best.onnx")
    }

    /// The detector that turns predictions of the trained network into detections.
    ///
    /// # Errors
    /// If the network's heads have other anchors than its rule.
    pub fn detector(&self, model: &SsdModel) -> Result<PostProcessor, TrainError> {
        let anchors = model.specs().anchors(self.size.dims())?;
        Ok(PostProcessor::new(anchors, model.convention().scores))
    }
}

/// Batches that wait for the trainer: two, or one where a single one holds several images.
pub fn loader_queue(micro_batch: usize) -> usize {
    if micro_batch > 2 { 1 } else { 2 }
}
