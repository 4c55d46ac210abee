//! The memory plan: how much memory a run takes, computed from shapes before its first step.

use crate::boxes::InputSize;
use crate::optim::OptimizerKind;
use crate::train::job::loader_queue;
use crate::train::recipe::Recipe;
use crate::train::state::TrainState;
use crate::train::watch::run_facts::{PROBES, probe_size};
use crate::watchdog::Mode;
use std::fmt;

/// The program itself with its libraries, the index of the data set, threads' stacks; measured.
const PROGRAM_BYTES: usize = 18 << 20;

/// Pixels of the largest photo that a loader thread holds, and of the part of it that is shown.
const PHOTO_PIXELS: usize = 2 * 512 * 512;

/// Images judged together after an epoch.
const JUDGED_TOGETHER: usize = 4;

/// The memory that tract takes to run the exported file: copies of the numbers, packed and not, and three tensors of
/// its widest layer, each as large as eight images; measured. Not counted are pages of its code, which the system can
/// take back.
const PROVING_COPIES: usize = 4;
const PROVING_IMAGES: usize = 3 * 8;

/// One part in so many of the heap lies between its blocks; measured.
const GAPS: usize = 24;

/// The watchdog's memory of images and looks, and its journal on the way to the disk.
const REMEMBERED_BYTES: usize = 2 << 20;

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
    /// The memory that validation and export after an epoch take in place of gradients, activations and loader.
    pub judging: usize,
    /// The memory that the proof of the exported file takes at the end, when the run's state is gone.
    pub proving: usize,
    /// The memory of the watchdog: its photos and what it remembers.
    pub watching: usize,
}

impl MemoryPlan {
    /// The plan of a run from `state`; `threads` counts those of the network and those of the loader.
    pub fn new(state: &TrainState, recipe: &Recipe, size: InputSize, threads: [usize; 2], watchdog: Mode) -> Self {
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
        let [image, probe] = [size, probe_size(size)].map(|size| size.numbers() * bytes);
        // Beside those that wait, one in the making on every thread and one on its way into the network.
        let batches = loader_queue(recipe.micro_batch) + loader_threads + 1;
        let judged = state.model.footprint(JUDGED_TOGETHER, size, threads);
        let state = if recipe.half_state { trained / 2 } else { trained };
        let average = if recipe.ema > 0.0 { state } else { 0 };
        Self {
            micro_batch: recipe.micro_batch,
            program: PROGRAM_BYTES,
            weights: all,
            gradients: trained,
            optimizer: moments * state,
            average,
            activations: footprint.training,
            workspace: footprint.workspace,
            loader: batches * recipe.micro_batch * size.numbers() + loader_threads * PHOTO_PIXELS * 3,
            // The averaged network and some images; then its copy for the file.
            judging: all + judged.looking.max(all),
            proving: PROVING_COPIES * all + PROVING_IMAGES * image,
            watching: if watchdog == Mode::Off { 0 } else { PROBES * probe + REMEMBERED_BYTES },
        }
    }

    /// The peak.
    pub fn total(&self) -> usize {
        let state = self.weights + self.optimizer + self.average + self.watching;
        let run = state + (self.gradients + self.activations + self.loader).max(self.judging);
        let heap = run.max(self.proving) + self.workspace;
        self.program + heap + heap / GAPS
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
