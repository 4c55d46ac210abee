//! One run of the stagnation bench and its outcome.

use super::fault::Fault;
use super::setting::Setting;
use super::variety::Variety;
use crate::train::{Records, TrainError, TrainState, read_journal, train};
use crate::watchdog::{Action, JournalEntry, Mode, auc};
use anyhow::{Context, Result};
use std::sync::atomic::AtomicBool;

/// The run to make.
#[derive(Clone, Copy, Debug)]
pub enum Case {
    Healthy(Variety),
    Faulty(Fault),
}

impl Case {
    fn fault(self) -> Option<Fault> {
        match self {
            Case::Healthy(_) => None,
            Case::Faulty(fault) => Some(fault),
        }
    }
}

/// The outcome of one run by its journal and results.
pub struct Outcome {
    /// First diagnosis in words and its step.
    pub first: Option<(String, u64)>,
    /// Its sentence.
    pub why: Option<String>,
    /// Diagnoses that followed, in words.
    pub later: Vec<String>,
    /// True if the first diagnosis is the fault.
    pub named: bool,
    pub cures: Vec<Action>,
    /// Of the best epoch, whose weights a run keeps.
    pub ap50: f64,
    /// As if the run had ended where early stopping with the defaults of Keras (patience 0 on the validation loss) ends
    /// it. Its plateau rule waits for ten epochs without progress and so never comes to act before that.
    pub ap50_plateau: f64,
    pub steps_per_epoch: u64,
    /// Share of pairs of a spoilt and a sound image that the suspicion at the end puts in the right order.
    pub auc: Option<f64>,
    /// The result of the cures, in words.
    pub verdicts: Vec<String>,
}

impl Outcome {
    /// Runs a case.
    ///
    /// # Errors
    /// If data or disk fail; a run whose loss becomes NaN or infinite is an outcome.
    pub fn of(setting: &Setting, case: Case, seed: u64, mode: Mode) -> Result<Self> {
        let fault = case.fault();
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let mut job = setting.job(seed, folder.path(), mode)?;
        let (mut network, mut training) = (setting.network(seed), setting.training(seed));
        if let Some(fault) = fault {
            fault.spoil_recipe(&mut job);
            fault.spoil_network(&mut network, setting.map, seed);
            let usual = training.len();
            if fault == Fault::RareClass {
                training = setting.many(seed);
            }
            fault.spoil_records(&mut training, setting.class_names.len(), seed);
            training.truncate(usual);
            fault.spoil_schedule(&mut job, training.len());
        }
        if let Case::Healthy(variety) = case {
            variety.apply(&mut job.recipe);
            training.truncate((variety.share * training.len() as f64) as usize);
        }
        let validation = Records::in_memory(setting.validation(seed));
        let spoilt: Vec<bool> = {
            let sound = setting.training(seed);
            training.iter().zip(&sound).map(|(now, was)| now.objects != was.objects).collect()
        };
        let training = match fault {
            Some(fault) => fault.feed(training),
            None => Records::in_memory(training),
        };
        let mut state = TrainState::new(&network, &job.recipe);
        drop(network);
        let stop = AtomicBool::new(false);
        match train(&job, &mut state, &training, &validation, &stop, &mut |_| {}) {
            Ok(_) | Err(TrainError::Diverged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let journal = read_journal(folder.path())?.unwrap_or_default();
        if let Some(keep) = &setting.keep {
            let name = format!("{}-{seed}-{mode:?}.jsonl", fault.map_or("none", Fault::name)).to_lowercase();
            std::fs::copy(folder.path().join("journal.jsonl"), keep.join(&name))
                .with_context(|| format!("{}: cannot write", keep.join(name).display()))?;
        }
        let doubt = fault.and_then(Fault::doubt).zip(state.watchdog.as_ref());
        let scores = doubt.map_or(Vec::new(), |(doubt, watchdog)| {
            let scores = watchdog.ledger().scores();
            scores.iter().map(|s| (doubt(s), spoilt.get(s.index as usize) == Some(&true))).collect()
        });
        let verdicts = journal.iter().filter_map(|e| match e {
            JournalEntry::Verdict(v) => Some(format!("{}: {:?}", v.cause.words(), v.outcome).to_lowercase()),
            _ => None,
        });
        let verdicts = verdicts.collect();
        let found = journal.iter().filter_map(|e| if let JournalEntry::Diagnosis(d) = e { Some(d) } else { None });
        let found: Vec<_> = found.collect();
        let mut found: Vec<_> = found.into_iter().filter(|d| !d.cause.is_harmless()).collect();
        // As they are told: those that cost little after the others.
        found.sort_by_key(|d| d.cause.is_slight());
        let causes: Vec<_> = found.iter().map(|d| (d.cause, d.step)).collect();
        let cures = journal.iter().filter_map(|e| match e {
            JournalEntry::Cure(c) if c.applied => Some(c.action.clone()),
            _ => None,
        });
        let history = &state.progress.history;
        let best = |epochs: usize| history[..epochs].iter().filter_map(|r| r.ap50).fold(0.0, f64::max);
        Ok(Self {
            first: causes.first().map(|(cause, step)| (cause.words().to_string(), *step)),
            why: found.first().map(|d| d.sentence.clone()),
            later: causes.iter().skip(1).map(|(cause, _)| cause.words().to_string()).collect(),
            named: causes.first().zip(fault).is_some_and(|((cause, _), f)| f.is_named_by(*cause, setting.map)),
            cures: cures.collect(),
            ap50: best(history.len()),
            ap50_plateau: best(stopped_early(&journal).min(history.len())),
            auc: auc(&scores),
            verdicts,
            steps_per_epoch: job.recipe.steps_per_epoch(training.len()),
        })
    }
}

/// Epochs until the validation loss first fails to fall.
fn stopped_early(journal: &[JournalEntry]) -> usize {
    let mut lowest = f32::INFINITY;
    let mut epochs = 0;
    for epoch in journal.iter().filter_map(|e| if let JournalEntry::Epoch(epoch) = e { Some(epoch) } else { None }) {
        epochs += 1;
        let Some(loss) = epoch.validation.map(|v| v[0] + v[1]) else { continue };
        if loss >= lowest {
            break;
        }
        lowest = loss;
    }
    epochs
}
