//! Trials: short runs beside each other that tell which change of a job would lift its result, within a given time.
//!
//! All train on the same packed photos with the same seed and as many epochs, and are judged on the same photos. So the
//! difference of two is judged by a paired bootstrap, and the luck of a split cancels out.

mod lever;
mod trial;

use super::begin::pack_choice;
use super::loaded::DEFAULT_SIZE;
use super::run_folder::open_sources;
use super::starting_weights::starting_weights;
use crate::boxes::InputSize;
use crate::config::JobFile;
use crate::data::Pack;
use crate::watchdog::Mode;
use crate::weights::Store;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

pub use lever::{Lever, changed};
pub use trial::Above;
use trial::Trial;

/// Shortest time for the trial without a change, in minutes: below, levers are left out.
const SHORTEST: f64 = 0.1;

/// Share of the time for packing, comparisons and the ends of runs.
const BESIDES: f64 = 0.15;

/// The result of a lever's trial.
#[derive(Clone, Debug)]
pub struct LeverResult {
    pub lever: Lever,
    /// Beside the trial without a change; for [`Lever::is_reversed`] turned round, so that more is better.
    pub above: Above,
}

impl LeverResult {
    /// True if the gain can be told from nothing.
    pub fn is_gain(&self) -> bool {
        self.above.interval.is_some_and(|[low, _]| low > 0.0)
    }
}

/// The results of all trials.
#[derive(Clone, Debug)]
pub struct TrialResults {
    pub epochs: u64,
    /// AP without a change.
    pub ap: f64,
    /// Largest gain first.
    pub found: Vec<LeverResult>,
    /// Levers for which there was no time.
    pub left_out: Vec<Lever>,
}

/// Runs trials of `job` for about so many minutes. `tell` gets a sentence before each.
///
/// # Errors
/// If data or weights cannot be read, there are no validation photos, or the time is too short for any trial.
pub fn run_trials(job: &JobFile, minutes: f64, tell: &mut dyn FnMut(&str)) -> Result<TrialResults> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut base = JobFile {
        out: work.path().into(),
        watchdog: Mode::Off,
        service: None,
        weights: Some(starting_weights(job.weights.as_deref())?),
        ..job.unobserved()
    };
    let pack = open_sources(&base.all_data(), work.path(), &pack_choice(&base, base.recipe.seed))?.pack;
    let split = judged_split(&base, &pack)?;
    (base.data, base.also) = (Some(pack.path().into()), Vec::new());
    let (levers, left_out, share) = within(levers(&base)?, base.imgsz.unwrap_or(DEFAULT_SIZE), minutes);
    let Some(share) = share else {
        bail!("{minutes} minutes are too short for a trial beside another\nhelp: give --minutes 2 or more");
    };

    tell(&format!("a trial without a change, {share:.1} minutes"));
    base.minutes = Some(share);
    let first = Trial::run(&named(&base, "unchanged"))?;
    base = JobFile { minutes: None, imgsz: first.job()?.imgsz, ..base };
    base.recipe.epochs = first.epochs;
    let mut found = Vec::new();
    let mut ap = first.above(&first, pack.path(), &split, base.threads)?.ap;
    for lever in levers {
        // Without a size in the job, the larger input was of the usual one.
        let lever = match (lever, base.imgsz) {
            (Lever::LargerInput(_), Some(size)) => match Lever::larger_input(size) {
                Some(lever) => lever,
                None => continue,
            },
            (lever, _) => lever,
        };
        tell(&format!("a trial with {}, {} epochs", trial_words(&lever), first.epochs));
        let trial = Trial::run(&named(&lever.applied(&base), lever.name()))?;
        let mut above = trial.above(&first, pack.path(), &split, base.threads)?;
        if lever.is_reversed() {
            above.difference = -above.difference;
            above.interval = above.interval.map(|[low, high]| [-high, -low]);
        }
        found.push(LeverResult { lever, above });
    }
    ap = if ap.is_finite() { ap } else { 0.0 };
    found.sort_by(|a, b| {
        (b.is_gain(), b.above.difference).partial_cmp(&(a.is_gain(), a.above.difference)).expect("finite")
    });
    Ok(TrialResults { epochs: first.epochs, ap, found, left_out })
}

/// The words for a lever's trial, which are not always what is to be done.
fn trial_words(lever: &Lever) -> String {
    if lever.is_reversed() { "half of the photos".into() } else { lever.words() }
}

fn named(job: &JobFile, name: &str) -> JobFile {
    JobFile { name: Some(name.into()), ..job.clone() }
}

/// All levers of a job, those that tell most first.
///
/// # Errors
/// If the kept weights cannot be listed.
fn levers(job: &JobFile) -> Result<Vec<Lever>> {
    let mut all: Vec<Lever> = Lever::larger_input(job.imgsz.unwrap_or(DEFAULT_SIZE)).into_iter().collect();
    all.push(Lever::MorePhotos);
    all.extend(other_start(job.weights.as_deref())?);
    all.push(Lever::NoAugmentation);
    Ok(all)
}

/// The first of the kept weights that are not those in use.
fn other_start(used: Option<&Path>) -> Result<Option<Lever>> {
    let Some(store) = Store::of_user() else { return Ok(None) };
    let full = |path: &Path| -> PathBuf { path.canonicalize().unwrap_or_else(|_| path.into()) };
    let used = used.map(full);
    let others = store.list()?.into_iter().map(|record| (store.path(&record), record.name));
    let other = others.into_iter().find(|(path, _)| Some(full(path)) != used);
    Ok(other.map(|(file, name)| Lever::OtherStart { name, file }))
}

/// The levers that fit into the time, those that do not, and the minutes of the trial without a change; `None` where not
/// even one lever fits.
fn within(mut levers: Vec<Lever>, size: InputSize, minutes: f64) -> (Vec<Lever>, Vec<Lever>, Option<f64>) {
    let mut left_out = Vec::new();
    while !levers.is_empty() {
        let all: f64 = 1.0 + levers.iter().map(|lever| lever.cost(size)).sum::<f64>();
        let share = minutes * (1.0 - BESIDES) / all;
        if share >= SHORTEST {
            return (levers, left_out, Some(share));
        }
        left_out.extend(levers.pop());
    }
    (levers, left_out, None)
}

/// The split that the job's runs are judged on.
///
/// # Errors
/// If there is none, or it has no photos.
fn judged_split(job: &JobFile, pack: &Pack) -> Result<String> {
    let name = job.val_split.clone().or_else(|| pack.roles().val);
    let name =
        name.context("no photos are held back, so that trials cannot be judged\nhelp: --val-share 0.2 in the job")?;
    if pack.split(&name)?.is_empty() {
        bail!("split {name} has no photos to judge trials on\nhelp: hold some back (val_share)");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_is_for_the_levers_that_tell_most() {
        let job = JobFile { imgsz: Some(300.into()), ..JobFile::default() };
        let all = || {
            let larger = Lever::larger_input(job.imgsz.expect("set")).expect("there is one");
            vec![larger, Lever::MorePhotos, Lever::NoAugmentation]
        };
        let (levers, left_out, share) = within(all(), 300.into(), 10.0);
        assert_eq!((levers.len(), left_out.len()), (3, 0));
        let share = share.expect("there is time");
        assert!((share - 8.5 / 5.06).abs() < 1e-9, "{share}");
        let (levers, left_out, _) = within(all(), 300.into(), 0.5);
        assert_eq!((levers.len(), left_out), (2, vec![Lever::NoAugmentation]));
        assert_eq!(within(all(), 300.into(), 0.2).2, None);
    }
}
