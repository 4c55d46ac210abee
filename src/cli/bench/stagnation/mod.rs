//! `fieldtune bench stagnation`: healthy runs, and runs with one fault each, with a watchdog that only watches and with
//! one that cures.
//!
//! On generated scenes nothing is downloaded: every run fine-tunes the demo's small network. With photos and a weights file the runs are the real thing, at a small
//! input size.

mod fault;
mod outcome;
mod setting;

use crate::cli::process::set_threads;
use crate::watchdog::Mode;
use anyhow::{Result, bail};
use clap::Args;
use fault::Fault;
use outcome::Outcome;
use serde_json::json;
use setting::Setting;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Side of the input for scenes.
const SIZE: usize = 128;

/// Images judged after an epoch.
const VALIDATION: usize = 24;

#[derive(Debug, Args)]
pub struct StagnationArguments {
    /// Folder of labelled photos, a label file, or a pack; generated scenes if absent
    pub data: Option<PathBuf>,
    /// Pretrained network for photos
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Input size for photos
    #[arg(long, default_value_t = 160)]
    pub imgsz: usize,
    /// Runs of each fault, seeds from 0
    #[arg(long, default_value_t = 2)]
    pub seeds: u64,
    /// Healthy runs
    #[arg(long, default_value_t = 4)]
    pub healthy: u64,
    /// Faults to inject, by name; all if absent, `none` for healthy runs only
    #[arg(long, value_delimiter = ',')]
    pub faults: Vec<String>,
    /// Training images, at most
    #[arg(long, default_value_t = 160)]
    pub images: usize,
    #[arg(long, default_value_t = 10)]
    pub epochs: u64,
    /// Leave out the runs that cure
    #[arg(long)]
    pub diagnose_only: bool,
    #[arg(long)]
    pub threads: Option<usize>,
    /// One JSON object a run
    #[arg(long)]
    pub json: bool,
}

/// Sums over the runs with a fault.
#[derive(Default)]
struct Totals {
    runs: u32,
    detected: u32,
    right: u32,
    off: f64,
    plateau: f64,
    cured: f64,
}

fn wanted(a: &StagnationArguments) -> Result<Vec<Fault>> {
    let known: Vec<&str> = Fault::ALL.iter().map(|f| f.name()).collect();
    if let Some(strange) = a.faults.iter().find(|f| *f != "none" && !known.contains(&f.as_str())) {
        bail!("fault {strange}, expected none or one of {}", known.join(", "));
    }
    let all = a.faults.is_empty();
    Ok(Fault::ALL.into_iter().filter(|f| all || a.faults.iter().any(|n| n == f.name())).collect())
}

pub fn run(a: &StagnationArguments) -> Result<u8> {
    crate::cli::run_folder::check_size(a.imgsz)?;
    let faults = wanted(a)?;
    set_threads(a.threads)?;
    let setting = Setting::new(a)?;
    let mut alarms = 0;
    let mut healthy: BTreeMap<u64, f64> = BTreeMap::new();
    if !a.json {
        println!(
            "fault               seed  step  epochs  right  AP50 off  plateau   cure  healthy  first diagnosis; later; cures"
        );
    }
    let seeds = if faults.is_empty() { 0 } else { a.seeds };
    for seed in 0..a.healthy.max(seeds) {
        let found = Outcome::of(&setting, None, seed, Mode::Cure)?;
        healthy.insert(seed, found.ap50);
        if seed < a.healthy {
            alarms += u32::from(found.first.is_some());
            tell(a, "none", seed, [&found, &found], found.ap50);
        }
    }
    let mut totals = Totals::default();
    for fault in faults.into_iter().filter(|f| setting.suits(*f)) {
        for seed in 0..seeds {
            // One that only watches leaves the run as it would be without.
            let off = Outcome::of(&setting, Some(fault), seed, Mode::Advise)?;
            let on = if a.diagnose_only { None } else { Some(Outcome::of(&setting, Some(fault), seed, Mode::Cure)?) };
            let on = on.as_ref().unwrap_or(&off);
            let whole = healthy[&seed].max(1e-6);
            totals.runs += 1;
            totals.detected += u32::from(off.first.is_some());
            totals.right += u32::from(off.named);
            totals.off += off.ap50 / whole;
            totals.plateau += off.ap50_plateau / whole;
            totals.cured += on.ap50 / whole;
            tell(a, fault.name(), seed, [&off, on], healthy[&seed]);
        }
    }
    if !a.json && totals.runs > 0 {
        let share = |n: f64| 100.0 * n / f64::from(totals.runs);
        println!(
            "{} faults: {:.0} % detected, {:.0} % named right, {alarms} alarms in {} healthy runs; AP50 against healthy: \
             {:.0} % off, {:.0} % plateau and early stopping, {:.0} % cured",
            totals.runs,
            share(f64::from(totals.detected)),
            share(f64::from(totals.right)),
            a.healthy,
            share(totals.off),
            share(totals.plateau),
            share(totals.cured)
        );
    }
    Ok(0)
}

fn tell(a: &StagnationArguments, name: &str, seed: u64, [off, on]: [&Outcome; 2], healthy: f64) {
    let (first, step) = off.first.clone().map_or((None, None), |(cause, step)| (Some(cause), Some(step)));
    let epochs = step.map(|s| s as f64 / off.steps_per_epoch as f64);
    if a.json {
        println!(
            "{}",
            json!({"fault": name, "seed": seed, "diagnosis": first, "why": off.why, "later": off.later, "step": step, "epochs": epochs,
                   "right": off.named, "cures": on.cures, "ap50_off": off.ap50, "ap50_plateau": off.ap50_plateau,
                   "ap50_cure": on.ap50, "ap50_healthy": healthy})
        );
        return;
    }
    let cures: Vec<String> = on.cures.iter().map(|c| format!("{c:?}").chars().take(50).collect()).collect();
    println!(
        "{name:<19} {seed:>4} {:>5} {:>7} {:>6} {:>9.2} {:>8.2} {:>6.2} {healthy:>8.2}  {}; {}; {}",
        step.map_or("-".into(), |s| s.to_string()),
        epochs.map_or("-".to_string(), |v| format!("{v:.2}")),
        if off.named { "yes" } else { "-" },
        off.ap50,
        off.ap50_plateau,
        on.ap50,
        first.unwrap_or_else(|| "nothing".into()),
        off.later.join(", "),
        cures.join(", ")
    );
}
