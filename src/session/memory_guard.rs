//! Watches free memory between steps: before the kernel has to kill a process, the micro-batch shrinks. The step
//! stays the same but for the order of additions.

use crate::board::MemoryState;
use crate::train::Job;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time between looks.
const EVERY: Duration = Duration::from_secs(2);

/// Looks in a row that have to find memory short.
const CONFIRMED: u32 = 2;

/// Time in which a smaller micro-batch has to show.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct MemoryGuard {
    root: PathBuf,
    looked: Instant,
    short: u32,
    acted: Option<Instant>,
    /// Smallest micro-batch so far.
    micro_batch: usize,
    /// Nothing more can be done, and that was said.
    said: bool,
    note: Option<String>,
}

impl MemoryGuard {
    /// `root` is `/` on a board and a fixture tree in tests.
    pub fn new(job: &Job, root: PathBuf) -> Self {
        let micro_batch = job.requests.micro_batch(job.recipe.batch, job.recipe.micro_batch);
        Self { root, looked: Instant::now(), short: 0, acted: None, micro_batch, said: false, note: None }
    }

    /// A step is done.
    pub fn look(&mut self, job: &Job) {
        if self.looked.elapsed() >= EVERY {
            self.looked = Instant::now();
            self.judge(job);
        }
    }

    fn judge(&mut self, job: &Job) {
        let Some(shortage) = MemoryState::read(&self.root).shortage() else {
            self.short = 0;
            self.note = None;
            return;
        };
        self.short += 1;
        if self.short < CONFIRMED || self.acted.is_some_and(|at| at.elapsed() < PATIENCE) {
            return;
        }
        if self.micro_batch <= 1 {
            self.note = Some(format!("memory is short: {shortage}"));
            if !std::mem::replace(&mut self.said, true) {
                log::warn!(
                    "memory: {shortage}, and the micro-batch is 1 already; end other programs or use a smaller imgsz"
                );
            }
            return;
        }
        job.requests.ask_micro_batch(self.micro_batch - 1);
        let smaller = job.requests.micro_batch(job.recipe.batch, job.recipe.micro_batch);
        log::warn!(
            "memory: {shortage}; micro-batch {smaller} instead of {}, the step stays the same but for rounding",
            self.micro_batch
        );
        self.micro_batch = smaller;
        self.acted = Some(Instant::now());
        self.short = 0;
    }

    /// For a status line, if there is something to say.
    pub fn note(&self) -> Option<String> {
        self.note.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Recipe;
    use crate::watchdog::Mode;
    use std::fs;
    use std::sync::Arc;

    #[test]
    fn under_pressure_the_micro_batch_shrinks_step_by_step() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
        let pressure = |percent: u32| {
            let text = format!("some avg10=99.00 total=1\nfull avg10={percent}.00 avg60=0.00 total=1\n");
            fs::write(root.path().join("proc/pressure/memory"), text).unwrap();
        };
        let job = Job {
            recipe: Recipe { batch: 12, micro_batch: 4, ..Recipe::default() },
            size: 96.into(),
            class_names: Vec::new(),
            folder: root.path().into(),
            checkpoint_every: Duration::ZERO,
            loader_threads: 0,
            watchdog: Mode::Off,
            schedule: None,
            trained_on: None,
            mishap: None,
            requests: Arc::default(),
        };
        let mut guard = MemoryGuard::new(&job, root.path().into());
        let mut sizes = Vec::new();
        for percent in [0, 30, 0, 30, 30, 30, 30, 30, 30, 30, 30] {
            pressure(percent);
            guard.judge(&job);
            // As if enough time had passed since.
            guard.acted = None;
            sizes.push(job.requests.micro_batch(12, 4));
        }
        assert_eq!(sizes, [4, 4, 4, 4, 3, 3, 2, 2, 1, 1, 1]);
        assert!(guard.note().unwrap().contains("in 30 %"));
        pressure(0);
        guard.judge(&job);
        assert_eq!((guard.note(), job.requests.micro_batch(12, 4)), (None, 1), "it does not grow again in this run");
    }
}
