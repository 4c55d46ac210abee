//! The setup of one run of the bench, and the run itself.

use super::begin::Begin;
use super::label_noise::LabelNoise;
use super::photo_set::PhotoSet;
use crate::bench::bench_job::bench_job;
use crate::boxes::InputSize;
use crate::interchange::import;
use crate::session::{LoadedDetector, wanted_classes};
use crate::train::{Job, Recipe, Records, TrainState, evaluate, read_journal, start, train};
use crate::watchdog::{JournalEntry, Limit, Mode, limits};
use anyhow::{Context, Result};
use std::sync::atomic::AtomicBool;

#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Side of the square input in pixels.
    pub side: usize,
    pub epochs: u64,
    /// Training photos.
    pub photos: usize,
    pub begin: Begin,
    /// Kind of noise and share of the objects.
    pub noise: Option<(LabelNoise, f64)>,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct SetupResult {
    /// AP of the best weights on the sound validation labels, from 0 to 1.
    pub ap: f64,
    /// The limits that the run's own journal tells.
    pub limits: Vec<Limit>,
    /// That journal.
    pub journal: Vec<JournalEntry>,
}

impl Setup {
    /// Runs it. Labels are spoilt in both splits, as they would be; AP is measured on sound ones.
    ///
    /// # Errors
    /// If data or disk fail, or the loss becomes NaN or infinite.
    pub fn run(&self, set: &PhotoSet, seed: u64) -> Result<SetupResult> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let size = InputSize::square(self.side);
        let (mut training, mut validation) = (set.training(self.photos, seed), set.validation.clone());
        let judged = Records::in_memory(validation.clone());
        if let Some((noise, share)) = self.noise {
            noise.spoil(&mut training, share, set.class_names.len(), seed);
            noise.spoil(&mut validation, share, set.class_names.len(), seed + 1);
        }
        let [training, validation] = [training, validation].map(Records::in_memory);
        let weights = set.weights(self.begin);
        let imported = import(weights)?;
        let wanted = wanted_classes(weights, &imported, None, &set.class_names)?;
        let recipe = Recipe { epochs: self.epochs, seed, ..Recipe::default() };
        let network = start(imported.network, &wanted, &recipe, &training, size)?.network;
        let job = bench_job(recipe, folder.path(), Mode::Cure, size, &set.class_names)?;
        let mut state = TrainState::new(&network, &job.recipe);
        drop(network);
        train(&job, &mut state, &training, &validation, &AtomicBool::new(false), &mut |_| {})?;
        let journal = read_journal(folder.path())?.unwrap_or_default();
        Ok(SetupResult { ap: ap_of_best(&job, &judged)?, limits: limits(&journal), journal })
    }
}

/// AP of the best weights on these photos.
fn ap_of_best(job: &Job, judged: &Records) -> Result<f64> {
    let best = LoadedDetector::open(&job.best_path(), None)?;
    let found = evaluate(&best.model, judged, best.size, &best.detector, &best.class_names)?;
    Ok(found.metrics.ap.unwrap_or(0.0))
}
