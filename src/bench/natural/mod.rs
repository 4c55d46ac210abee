//! `fieldtune bench stagnation --natural`: does a run say what limits it? Sound runs that are short of one thing, each
//! beside runs with one thing changed, which tell what lifts AP most.
//!
//! Conditions are in two halves: rules are made on one and judged on the other.

mod alternative;
mod begin;
mod condition;
mod judgement;
mod label_noise;
mod photo_set;
mod setup;

use crate::session::{set_threads, terminal};
use crate::watchdog::{JournalEntry, Limit, Remedy};
use alternative::Alternative;
use anyhow::{Context, Result, bail};
use begin::Begin;
use condition::Condition;
pub use condition::Half;
use judgement::Judgement;
use photo_set::PhotoSet;
use serde_json::json;
use setup::{Setup, SetupResult};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Side of the usual run's input in pixels: the size that the demo's network was made at.
const SIDE: usize = 224;

#[derive(Clone, Debug)]
pub struct NaturalOptions {
    /// Scenes where there are none.
    pub data: Option<PathBuf>,
    pub weights: Option<PathBuf>,
    pub half: Half,
    pub seeds: std::ops::Range<u64>,
    /// Most training photos.
    pub photos: usize,
    /// Epochs of the usual run.
    pub epochs: u64,
    /// Folder for the journals.
    pub keep: Option<PathBuf>,
    pub threads: Option<usize>,
    pub json: bool,
}

/// Runs that were made already: conditions share alternatives.
#[derive(Default)]
struct KnownResults(Vec<(Setup, u64, Rc<SetupResult>)>);

impl KnownResults {
    fn result(&mut self, setup: &Setup, set: &PhotoSet, seed: u64) -> Result<Rc<SetupResult>> {
        if let Some((_, _, known)) = self.0.iter().find(|(s, of, _)| s == setup && *of == seed) {
            return Ok(Rc::clone(known));
        }
        let result = Rc::new(setup.run(set, seed)?);
        self.0.push((setup.clone(), seed, Rc::clone(&result)));
        Ok(result)
    }
}

/// # Errors
/// If data or disk fail.
pub fn run(options: &NaturalOptions) -> Result<u8> {
    set_threads(options.threads)?;
    let (mut counts, mut all, mut known) = (JudgedCounts::default(), 0, KnownResults::default());
    let photos = match (&options.data, &options.weights) {
        (Some(data), Some(weights)) => Some(PhotoSet::photos(data, weights, options.photos)?),
        (None, None) => None,
        _ => bail!("photos need a pretrained network\nhelp: give DATA and --weights FILE, or neither"),
    };
    for seed in options.seeds.clone() {
        let scenes;
        let set = match &photos {
            Some(set) => set,
            None => {
                scenes = PhotoSet::scenes(seed)?;
                &scenes
            }
        };
        let usual = Setup { side: SIDE, epochs: options.epochs, photos: set.len(), begin: Begin::Good, noise: None };
        for condition in Condition::ALL.iter().filter(|c| c.is_in(options.half)) {
            let Some(base) = condition.applied(&usual, set.class_names.len()) else { continue };
            let result = known.result(&base, set, seed)?;
            if let Some(folder) = &options.keep {
                keep(folder, &format!("{}-{}-{seed}.jsonl", set.name, condition.name), &result.journal)?;
            }
            let mut measured = Vec::new();
            for alternative in Alternative::of(&base, set.len()) {
                let ap = known.result(&alternative.setup, set, seed)?.ap;
                measured.push((alternative.remedy, alternative.gain(ap, result.ap)));
            }
            let judgement = Judgement::of(&result.limits, &measured);
            counts.add(&judgement);
            all += 1;
            let row = ConditionRow { set: &set.name, condition, seed, result: &result, measured: &measured, judgement };
            row.tell(options.json)?;
        }
    }
    if !options.json {
        terminal::stream_line(format_args!(
            "\nof {all} conditions: named first {}, among the first three {}; gains predicted {} of {}",
            counts.first, counts.among, counts.predicted, counts.predictions
        ))?;
    }
    Ok(0)
}

/// Writes a journal, an entry a line, as `fieldtune advise` and `diagnose` read it.
fn keep(folder: &Path, name: &str, journal: &[JournalEntry]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    let text: String = journal.iter().map(|entry| entry.to_line() + "\n").collect();
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("{}: cannot write", path.display()))
}

#[derive(Debug, Default)]
struct JudgedCounts {
    first: usize,
    among: usize,
    predicted: usize,
    predictions: usize,
}

impl JudgedCounts {
    fn add(&mut self, judgement: &Judgement) {
        self.first += usize::from(judgement.first);
        self.among += usize::from(judgement.among);
        self.predicted += usize::from(judgement.predicted == Some(true));
        self.predictions += usize::from(judgement.predicted.is_some());
    }
}

/// A condition on a set and what came of it.
struct ConditionRow<'a> {
    set: &'a str,
    condition: &'a Condition,
    seed: u64,
    result: &'a SetupResult,
    measured: &'a [(Remedy, f64)],
    judgement: Judgement,
}

impl ConditionRow<'_> {
    fn tell(&self, as_json: bool) -> Result<()> {
        let Self { set, condition, seed, result, measured, judgement } = self;
        if as_json {
            let gains: serde_json::Map<String, serde_json::Value> =
                measured.iter().map(|(remedy, gain)| (word(*remedy), json!(gain))).collect();
            return terminal::stream_line(format_args!(
                "{}",
                json!({"set": set, "condition": condition.name, "judged": condition.is_judged, "seed": seed,
                       "AP": result.ap, "gains": gains, "limits": result.limits, "first": judgement.first,
                       "among": judgement.among, "predicted": judgement.predicted})
            ));
        }
        let gains: Vec<String> =
            measured.iter().map(|(remedy, gain)| format!("{} {gain:+.3}", word(*remedy))).collect();
        let told: Vec<String> = result.limits.iter().take(3).map(limit_words).collect();
        let verdict = if judgement.first {
            "first"
        } else if judgement.among {
            "among"
        } else {
            "no"
        };
        terminal::stream_line(format_args!(
            "{set:<18} {:<14} {seed:>4} AP {:.3} | {} | told: {} | {verdict}",
            condition.name,
            result.ap,
            gains.join(", "),
            told.join(", ")
        ))
    }
}

fn limit_words(limit: &Limit) -> String {
    let kind = serde_json::to_value(limit.kind).ok();
    let kind = kind.as_ref().and_then(|k| k["kind"].as_str()).unwrap_or_default().to_string();
    match limit.gain {
        Some([low, high]) => format!("{kind} {low:+.2}..{high:+.2}"),
        None => kind,
    }
}

/// A remedy's name as JSON has it.
fn word(remedy: Remedy) -> String {
    serde_json::to_value(remedy).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
}
