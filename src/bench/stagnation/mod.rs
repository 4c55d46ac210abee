//! `fieldtune bench stagnation`: healthy runs, and runs with one fault each, with a watchdog that only watches and with
//! one that cures.
//!
//! On generated scenes nothing is downloaded: every run fine-tunes the demo's small network. With photos and a weights
//! file the runs are the real thing, at a small input size.

mod fault;
mod outcome;
mod setting;
mod tally;
mod variety;

use super::natural::{Half, NaturalOptions};
use crate::session::{set_threads, terminal};
use crate::watchdog::Mode;
use anyhow::{Result, bail};
use clap::Args;
use fault::Fault;
use outcome::{Case, Outcome};
use serde_json::json;
use setting::Setting;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tally::FaultTally;
use variety::Variety;

/// Side of the input for scenes.
const SIZE: usize = 128;

/// Images judged after an epoch.
const VALIDATION: usize = 48;

#[derive(Debug, Args)]
pub struct StagnationArguments {
    /// In place of faults: runs that are short of one thing, beside runs with one thing changed
    #[arg(long)]
    pub natural: bool,
    /// With --natural: the conditions to go through, those that rules are made on or judged on
    #[arg(long, value_enum, default_value_t = Half::Both, requires = "natural")]
    pub half: Half,
    /// Folder of labelled photos, a label file, or a pack; generated scenes if absent
    pub data: Option<PathBuf>,
    /// Pretrained network for photos
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Input size for photos
    #[arg(long, default_value_t = 160)]
    pub imgsz: usize,
    /// Runs of each fault
    #[arg(long, default_value_t = 2)]
    pub seeds: u64,
    /// First seed of the runs
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Healthy runs
    #[arg(long, default_value_t = 4)]
    pub healthy: u64,
    /// Let healthy runs go through other batches, optimizers, losses, schedules and sizes than the default's
    #[arg(long)]
    pub vary: bool,
    /// Faults to inject, by name; all if absent, `none` for healthy runs only
    #[arg(long, value_delimiter = ',')]
    pub faults: Vec<String>,
    /// Training images, at most
    #[arg(long, default_value_t = 240)]
    pub images: usize,
    /// Epochs of each run
    #[arg(long, default_value_t = 10)]
    pub epochs: u64,
    /// Leave out the runs that cure
    #[arg(long)]
    pub diagnose_only: bool,
    /// Folder to keep the journals in
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Threads for the network [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// One JSON object a run
    #[arg(long)]
    pub json: bool,
}

impl StagnationArguments {
    /// The natural conditions, if they are asked for.
    pub fn natural(&self) -> Option<NaturalOptions> {
        self.natural.then(|| NaturalOptions {
            data: self.data.clone(),
            weights: self.weights.clone(),
            half: self.half,
            seeds: self.seed..self.seed + self.seeds,
            photos: self.images,
            epochs: self.epochs,
            keep: self.keep.clone(),
            threads: self.threads,
            json: self.json,
        })
    }
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
    crate::session::check_size(a.imgsz.into())?;
    let faults = wanted(a)?;
    set_threads(a.threads)?;
    if let Some(keep) = &a.keep {
        std::fs::create_dir_all(keep)?;
    }
    let setting = Setting::new(a)?;
    let mut tally = FaultTally::default();
    let mut healthy: BTreeMap<u64, f64> = BTreeMap::new();
    if !a.json {
        terminal::stream_line(format_args!("{}", tally::HEADER))?;
    }
    let seeds = if faults.is_empty() { 0 } else { a.seeds };
    for seed in a.seed..a.seed + a.healthy.max(seeds) {
        let varied = Variety::ALL[(seed % Variety::ALL.len() as u64) as usize];
        let variety = if a.vary { varied } else { Variety::USUAL };
        let found = Outcome::of(&setting, Case::Healthy(variety), seed, Mode::Cure)?;
        healthy.insert(seed, found.ap50);
        if seed < a.seed + a.healthy {
            tally.healthy(&found);
            let name = if a.vary { format!("none ({})", variety.name) } else { "none".into() };
            tell(a, &name, seed, [&found, &found], found.ap50)?;
        }
    }
    for fault in faults.into_iter().filter(|f| setting.suits(*f)) {
        for seed in a.seed..a.seed + seeds {
            // One that only watches leaves the run as it would be without.
            let off = Outcome::of(&setting, Case::Faulty(fault), seed, Mode::Advise)?;
            let cured = || Outcome::of(&setting, Case::Faulty(fault), seed, Mode::Cure);
            let on = if a.diagnose_only { None } else { Some(cured()?) };
            let on = on.as_ref().unwrap_or(&off);
            tally.faulty(fault, [&off, on], healthy[&seed]);
            tell(a, fault.name(), seed, [&off, on], healthy[&seed])?;
        }
    }
    if !a.json {
        terminal::stream_line(format_args!("\n{}", tally.table()))?;
    }
    Ok(0)
}

fn tell(a: &StagnationArguments, name: &str, seed: u64, [off, on]: [&Outcome; 2], healthy: f64) -> Result<()> {
    let (first, step) = off.first.clone().map_or((None, None), |(cause, step)| (Some(cause), Some(step)));
    let epochs = step.map(|s| s as f64 / off.steps_per_epoch as f64);
    if a.json {
        terminal::stream_line(format_args!(
            "{}",
            json!({"fault": name, "seed": seed, "detected": first.is_some(), "diagnosis": first, "why": off.why,
                   "later": off.later, "step": step, "epochs": epochs, "right": off.named, "auc": off.auc, "cures": on.cures, "verdicts": on.verdicts,
                   "ap50_off": off.ap50, "ap50_plateau": off.ap50_plateau, "ap50_cure": on.ap50,
                   "ap50_healthy": healthy})
        ))?;
        return Ok(());
    }
    terminal::stream_line(format_args!(
        "{name:<19} {seed:>4} {:>5} {:>7} {:>6} {:>9.2} {:>8.2} {:>6.2} {healthy:>8.2}  {}; {}; {}",
        step.map_or("-".into(), |s| s.to_string()),
        epochs.map_or("-".to_string(), |v| format!("{v:.2}")),
        if off.named { "yes" } else { "-" },
        off.ap50,
        off.ap50_plateau,
        on.ap50,
        first.unwrap_or_else(|| "nothing".into()),
        off.later.join(", "),
        on.verdicts.join(", ")
    ))
}
