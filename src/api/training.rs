//! Training as a value: what to train on and how, then [`Training::run`].

use super::error::Result;
use crate::boxes::InputSize;
use crate::config::JobFile;
use crate::session::{MOST_THREADS, Preflight, RunOutcome, Supervisor, new_training};
use crate::train::Event;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A training run that has not begun. The defaults are those of `fieldtune train`.
///
/// ```no_run
/// let trained = fieldtune::Training::new("photos", "detector.onnx").epochs(40).run()?;
/// println!("AP {:?}: {}", trained.ap, trained.best.display());
/// # Ok::<(), fieldtune::Error>(())
/// ```
pub struct Training {
    job: JobFile,
    stop: Arc<AtomicBool>,
    listener: Option<Box<dyn FnMut(Progress) + Send>>,
}

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// An optimizer step was taken.
    Step {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total: u64,
        /// Class and box loss of the step.
        loss: f64,
        /// Since the run began or was resumed.
        images_per_second: f64,
    },
    /// An epoch was validated.
    Epoch {
        /// Counted from 1.
        epoch: u64,
        /// Validation AP (COCO); `None` where nothing was there to be found.
        ap: Option<f64>,
        /// True if these are the best weights so far.
        best: bool,
    },
    /// The state was saved: from here on the run can be resumed.
    Saved {
        /// Steps done by then.
        step: u64,
    },
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The run folder.
    pub folder: PathBuf,
    /// The detector with the best validation AP.
    pub best: PathBuf,
    /// Its AP; `None` before the first epoch was validated.
    pub ap: Option<f64>,
    /// Epochs done.
    pub epochs: u64,
    /// True if the run was stopped before its end and can be resumed.
    pub stopped: bool,
}

impl Training {
    /// Training on a folder of labelled photos (or a label file, or a pack), from a pretrained file.
    pub fn new(data: impl AsRef<Path>, weights: impl AsRef<Path>) -> Self {
        let (data, weights) = (Some(data.as_ref().into()), Some(weights.as_ref().into()));
        let job = JobFile { data, weights, ..JobFile::default() };
        Self { job, stop: Arc::default(), listener: None }
    }

    /// Passes over the training images.
    #[must_use]
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.job.recipe.epochs = epochs;
        self
    }

    /// Images per optimizer step.
    #[must_use]
    pub fn batch(mut self, images: usize) -> Self {
        self.job.recipe.batch = images;
        self.job.recipe.micro_batch = self.job.recipe.micro_batch.min(images);
        self
    }

    /// Base learning rate.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.job.recipe.lr = rate;
        self
    }

    /// Input size in pixels, the side of a square or `[height, width]`; that of the weights as preset.
    #[must_use]
    pub fn input_size(mut self, pixels: impl Into<InputSize>) -> Self {
        self.job.imgsz = Some(pixels.into());
        self
    }

    /// Seed of everything random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.job.recipe.seed = seed;
        self
    }

    /// Threads for the network; all cores as preset. They are the run's own and end with it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.job.threads = Some(threads);
        self
    }

    /// Folder that the run folder is made in; `runs/train` as preset.
    #[must_use]
    pub fn out(mut self, folder: impl AsRef<Path>) -> Self {
        self.job.out = folder.as_ref().into();
        self
    }

    /// Every other key, as TOML of a job file (`[recipe]` and so on). Keys that are not named keep their values.
    ///
    /// # Errors
    /// If a key is unknown or a value is of the wrong kind.
    pub fn set(mut self, toml: &str) -> Result<Self> {
        self.job = self.job.with(toml)?;
        Ok(self)
    }

    /// A flag that ends the run early, from any thread, once it is `true`; the state is saved.
    #[must_use]
    pub fn stop(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = flag;
        self
    }

    /// Calls `listener` while the run goes on, from one of its threads.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(Progress) + Send + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Trains to the end, or until it is stopped.
    ///
    /// # Errors
    /// If the inputs cannot be used, the disk refuses, the loss diverges, or the exported file computes something else
    /// than what was trained.
    pub fn run(self) -> Result<Trained> {
        let outcome = on_own_threads(self.job.threads, move || {
            let mut supervisor = Supervisor::of_library(self.stop);
            if let Some(mut listener) = self.listener {
                supervisor.listener = Some(Box::new(move |event| {
                    if let Some(progress) = progress_of(event) {
                        listener(progress);
                    }
                }));
            }
            new_training(self.job, Preflight::default(), &mut supervisor)
        })?;
        let best = outcome.folder.join("weights/best.onnx");
        let (ap, stopped) = (outcome.best.map(|b| b.ap), outcome.is_resumable());
        Ok(Trained { folder: outcome.folder, best, ap, epochs: outcome.epochs, stopped })
    }
}

/// Runs `work` on threads that end with it. The process's own pool would take the calling thread for one of its
/// workers, and a later run on another thread would wait for it forever.
fn on_own_threads(
    threads: Option<usize>,
    work: impl FnOnce() -> anyhow::Result<RunOutcome> + Send,
) -> anyhow::Result<RunOutcome> {
    let count = threads.filter(|&n| n > 0).or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(1).min(MOST_THREADS)).build();
    pool.context("cannot start the worker threads")?.install(work)
}

fn progress_of(event: &Event) -> Option<Progress> {
    match event {
        Event::Step(report) => Some(Progress::Step {
            step: report.step,
            total: report.total,
            loss: report.stats.class + report.stats.boxes,
            images_per_second: report.images_per_second,
        }),
        Event::Epoch { record, best, .. } => Some(Progress::Epoch { epoch: record.epoch, ap: record.ap, best: *best }),
        Event::Checkpoint { step } => Some(Progress::Saved { step: *step }),
        Event::MicroBatch | Event::Judging { .. } | Event::Refused { .. } | Event::Watchdog(_) => None,
    }
}
