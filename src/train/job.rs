//! What a run is asked to do.

use super::mishap::Mishap;
use super::recipe::{LossKind, Recipe};
use super::requests::Requests;
use crate::boxes::Anchors;
use crate::eval::{Detector, ScoreMode};
use crate::model::SsdModel;
use crate::optim::Schedule;
use crate::watchdog::Mode;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What stays the same over a run.
#[derive(Clone, Debug)]
pub struct Job {
    pub recipe: Recipe,
    /// Input size in pixels.
    pub size: usize,
    /// Without the background.
    pub class_names: Vec<String>,
    /// The run folder; it exists and has a `weights` folder.
    pub folder: PathBuf,
    /// Longest time between checkpoints.
    pub checkpoint_every: Duration,
    pub loader_threads: usize,
    /// What the watchdog may do.
    pub watchdog: Mode,
    /// In the place of the recipe's, which always fits the run.
    pub schedule: Option<Schedule>,
    /// What goes wrong on purpose.
    pub mishap: Option<Mishap>,
    /// What is asked of the run while it goes on.
    pub requests: Arc<Requests>,
}

impl Job {
    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("weights/last.ckpt")
    }

    pub fn best_path(&self) -> PathBuf {
        self.folder.join("weights/best.onnx")
    }

    pub(super) fn anchors(&self, model: &SsdModel) -> Anchors {
        Anchors::tf_ssd(&model.specs().map_sizes(self.size))
    }

    /// What turns predictions of the trained network into detections.
    pub fn detector(&self, model: &SsdModel) -> Detector {
        let mode = match self.recipe.loss {
            LossKind::Mining => ScoreMode::Softmax,
            LossKind::Focal => ScoreMode::Sigmoid,
        };
        Detector::new(self.anchors(model), mode)
    }
}
