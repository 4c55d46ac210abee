//! A run's memory, computed from shapes before its first step.

use super::facts::PROBES;
use super::recipe::Recipe;
use super::run::loader_queue;
use super::state::TrainState;
use crate::optim::OptimizerKind;
use crate::watchdog::Mode;
use std::fmt;

/// The program itself with its libraries, the index of the data set, threads' stacks; measured.
const PROGRAM_BYTES: usize = 24 << 20;

/// Side of the largest photo that the loader holds besides what it makes of it.
const PHOTO_PIXELS: usize = 640 * 640;

/// Batches in the hands of a loader thread and of the trainer.
const BATCHES_IN_HAND: usize = 2;

/// Images judged together after an epoch.
const JUDGED_TOGETHER: usize = 4;

/// The watchdog's memory of images and looks, and its journal on the way to the disk.
const REMEMBERED_BYTES: usize = 4 << 20;

/// Bytes by what they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub micro_batch: usize,
    pub program: usize,
    pub weights: usize,
    pub gradients: usize,
    pub optimizer: usize,
    /// The moving average of the weights.
    pub average: usize,
    /// Kept from forward to backward, and what flows.
    pub activations: usize,
    pub workspace: usize,
    pub loader: usize,
    /// What judging and exporting after an epoch take in place of the last three.
    pub judging: usize,
    /// What the watchdog keeps: its photos and what it remembers.
    pub watching: usize,
}

impl MemoryPlan {
    /// The plan of a run from `state`; `threads` counts those of the network and those of the loader.
    pub fn new(state: &TrainState, recipe: &Recipe, size: usize, threads: [usize; 2], watchdog: Mode) -> Self {
        let [threads, loader_threads] = threads;
        let layers = &state.model.layers;
        let bytes = size_of::<f32>();
        let all: usize = layers.iter().map(|l| (l.sizes()[0] + 2 * l.sizes()[1]) * bytes).sum();
        let trained = state.model.trained_len() * bytes;
        let moments = match recipe.optimizer {
            OptimizerKind::Adamw { .. } => 2,
            OptimizerKind::Sgd { .. } => 1,
        };
        let footprint = state.model.footprint(recipe.micro_batch, size, threads);
        let image = size * size * 3 * bytes;
        let batches = BATCHES_IN_HAND + loader_queue(recipe.micro_batch) + loader_threads.saturating_sub(1);
        let judged = state.model.footprint(JUDGED_TOGETHER, size, threads);
        let average = if recipe.ema > 0.0 { trained } else { 0 };
        Self {
            micro_batch: recipe.micro_batch,
            program: PROGRAM_BYTES,
            weights: all,
            gradients: trained,
            optimizer: moments * trained,
            average,
            activations: footprint.saved + footprint.transient,
            workspace: footprint.workspace,
            loader: batches * recipe.micro_batch * image + (loader_threads + 1) * 2 * PHOTO_PIXELS * 3,
            // The averaged network and some images; then its copies for the file.
            judging: (all + JUDGED_TOGETHER * image + judged.transient / 2).max(2 * all),
            watching: if watchdog == Mode::Off { 0 } else { PROBES * image + REMEMBERED_BYTES },
        }
    }

    /// The peak.
    pub fn total(&self) -> usize {
        let state = self.program + self.weights + self.gradients + self.optimizer + self.average + self.watching;
        state + (self.activations + self.loader).max(self.judging) + self.workspace
    }
}

fn mb(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "memory plan at micro-batch {}: {:.0} MB (program {:.0}, weights {:.0}, gradients {:.0}, optimizer {:.0}, \
             average {:.0}, activations {:.0}, workspace {:.0}, loader {:.0}, watchdog {:.0})",
            self.micro_batch,
            mb(self.total()),
            mb(self.program),
            mb(self.weights),
            mb(self.gradients),
            mb(self.optimizer),
            mb(self.average),
            mb(self.activations),
            mb(self.workspace),
            mb(self.loader),
            mb(self.watching)
        )
    }
}
