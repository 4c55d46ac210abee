//! `fieldtune bench stagnation`: healthy runs, and runs with one fault each, with the watchdog off and with it on.
//!
//! A small network is trained once on generated scenes; that is the "pretrained file". Every run fine-tunes it on scenes
//! of another seed, some of them spoilt on purpose. Nothing is downloaded.

mod fault;

use crate::cli::process::set_threads;
use crate::data::{AugmentOptions, Record, SceneOptions, scene};
use crate::model::{ConvWeights, Ssd, initialise_network, ssdlite_mobilenet_v2};
use crate::optim::Decay;
use crate::train::{Event, Job, Recipe, Records, TrainError, TrainState, train};
use crate::watchdog::{Action, Entry, Mode};
use anyhow::{Context, Result};
use clap::Args;
use fault::Fault;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Width multiplier of the network and side of its input.
const WIDTH: f64 = 0.35;
const SIZE: usize = 96;

const VALIDATION: usize = 24;

#[derive(Debug, Args)]
pub struct StagnationArguments {
    /// Runs of each fault
    #[arg(long, default_value_t = 2)]
    pub seeds: u64,
    /// Healthy runs
    #[arg(long, default_value_t = 4)]
    pub healthy: u64,
    /// Faults to inject, by name; all if absent
    #[arg(long, value_delimiter = ',')]
    pub faults: Vec<String>,
    #[arg(long, default_value_t = 160)]
    pub images: usize,
    #[arg(long, default_value_t = 10)]
    pub epochs: u64,
    /// Epochs that the network is pretrained for
    #[arg(long, default_value_t = 30)]
    pub pretrain: u64,
    #[arg(long)]
    pub threads: Option<usize>,
    /// One JSON object a run
    #[arg(long)]
    pub json: bool,
}

/// What came of one run.
struct Outcome {
    /// First diagnosis: kind and step.
    first: Option<(String, u64)>,
    named: bool,
    cures: Vec<Action>,
    ap50: f64,
    steps_per_epoch: u64,
}

fn options(seed: u64) -> SceneOptions {
    SceneOptions {
        size: SIZE,
        classes: 3,
        max_objects: 3,
        min_object_px: 20,
        class_hues: true,
        seed,
        ..SceneOptions::default()
    }
}

fn records(count: usize, seed: u64) -> Vec<Record> {
    let options = options(seed);
    (0..count).map(|i| scene(options.seed_of(i), &options)).collect()
}

fn recipe(epochs: u64, seed: u64) -> Recipe {
    let augment = AugmentOptions {
        zoom_out_probability: 0.0,
        crops: Vec::new(),
        color_probability: 0.0,
        ..AugmentOptions::default()
    };
    Recipe { epochs, seed, augment, batch: 4, micro_batch: 4, ..Recipe::default() }
}

fn class_names() -> Vec<String> {
    options(0).class_names().iter().map(|n| n.to_string()).collect()
}

/// The network that stands for a pretrained file.
fn pretrained(epochs: u64) -> Result<Ssd<ConvWeights>> {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut network = initialise_network(&ssdlite_mobilenet_v2(WIDTH, class_names().len() + 1, true), &mut rng);
    network.set_background_prior(0.75);
    let recipe = Recipe { freeze: 0, hold: 0.0, backbone_rate: 1.0, decay: Decay::Cosine, ..recipe(epochs, 1) };
    let training = records(384, 1000);
    calibrate_on(&mut network, &training)?;
    for (_, conv) in network.convs_mut().into_iter().filter(|(stage, _)| stage.is_backbone()) {
        // Channels of pretrained files are of many sizes; those of a short training from nothing would all be alike.
        let sizes: Vec<f32> = (0..conv.spec.out_channels).map(|_| 2f32.powf(rng.random_range(-0.8..0.8))).collect();
        conv.weight.iter_mut().zip(sizes.iter().cycle()).for_each(|(w, size)| *w *= size);
        conv.unfold();
    }
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let job = job(recipe, folder.path(), Mode::Off)?;
    let mut state = TrainState::new(&network, &job.recipe);
    let training = Records::in_memory(training);
    let validation = Records::in_memory(records(8, 1001));
    train(&job, &mut state, &training, &validation, &AtomicBool::new(false), &mut |_| {})?;
    Ok(state.averaged())
}

fn calibrate_on(network: &mut Ssd<ConvWeights>, scenes: &[Record]) -> Result<()> {
    let count = 16.min(scenes.len());
    let mut images = vec![0.0; count * SIZE * SIZE * 3];
    for (record, image) in scenes.iter().zip(images.chunks_exact_mut(SIZE * SIZE * 3)) {
        crate::data::normalise(&crate::data::plain(record, SIZE).image, image);
    }
    crate::train::calibrate(network, crate::ops::tensor(images, [count, SIZE, SIZE, 3]));
    Ok(())
}

fn job(recipe: Recipe, folder: &Path, watchdog: Mode) -> Result<Job> {
    std::fs::create_dir_all(folder.join("weights")).context("a run folder")?;
    Ok(Job {
        recipe,
        size: SIZE,
        class_names: class_names(),
        folder: folder.into(),
        checkpoint_every: Duration::from_secs(3600),
        loader_threads: 0,
        watchdog,
        schedule: None,
    })
}

/// One run with a fault; `None` for a healthy one.
fn run_one(
    a: &StagnationArguments,
    base: &Ssd<ConvWeights>,
    fault: Option<Fault>,
    seed: u64,
    mode: Mode,
) -> Result<Outcome> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let mut job = job(recipe(a.epochs, seed), folder.path(), mode)?;
    let mut network = base.clone();
    network.renew_extras_and_heads(class_names().len() + 1, &mut Pcg64Mcg::seed_from_u64(seed));
    network.set_background_prior(0.75);
    let mut training = records(a.images, 7 + 100 * seed);
    if let Some(fault) = fault {
        fault.spoil_recipe(&mut job);
        fault.spoil_network(&mut network, seed);
        fault.spoil_records(&mut training, seed);
        fault.spoil_schedule(&mut job, training.len());
    }
    let validation = Records::in_memory(records(VALIDATION, 8 + 100 * seed));
    let training = fault.map_or_else(|| Records::in_memory(training.clone()), |f| f.feed(training.clone()));
    let mut state = TrainState::new(&network, &job.recipe);
    let mut said: Vec<Entry> = Vec::new();
    let ended = train(&job, &mut state, &training, &validation, &AtomicBool::new(false), &mut |event| {
        if let Event::Watchdog(entry) = event {
            said.push(entry.clone());
        }
    });
    match ended {
        Ok(_) | Err(TrainError::Diverged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // What was said before the first step stands in the journal only.
    let journal = crate::train::read_journal(folder.path())?.unwrap_or_default();
    let causes: Vec<_> = journal
        .iter()
        .filter_map(|e| if let Entry::Diagnosis(d) = e { Some((d.cause, d.step)) } else { None })
        .collect();
    let cures = journal.iter().filter_map(|e| match e {
        Entry::Cure(c) if c.applied => Some(c.action.clone()),
        _ => None,
    });
    let best = state.progress.history.iter().filter_map(|r| r.ap50).fold(0.0, f64::max);
    Ok(Outcome {
        first: causes.first().map(|(cause, step)| (cause.words().to_string(), *step)),
        named: causes.first().zip(fault).is_some_and(|((cause, _), fault)| fault.is_named_by(*cause)),
        cures: cures.collect(),
        ap50: best,
        steps_per_epoch: job.recipe.steps_per_epoch(training.len()),
    })
}

pub fn run(a: &StagnationArguments) -> Result<u8> {
    set_threads(a.threads)?;
    let base = pretrained(a.pretrain)?;
    let mut alarms = 0;
    let mut healthy: BTreeMap<u64, f64> = BTreeMap::new();
    if !a.json {
        println!("fault               seed  step  epochs  right  AP50 off   cure  healthy  first diagnosis; cures");
    }
    for seed in 0..a.healthy.max(a.seeds) {
        let found = run_one(a, &base, None, seed, Mode::Cure)?;
        healthy.insert(seed, found.ap50);
        if seed < a.healthy {
            alarms += u64::from(found.first.is_some());
            tell(a, "none", seed, &found, None, found.ap50);
        }
    }
    let (mut total, mut detected, mut right) = (0, 0, 0);
    let (mut off_share, mut on_share) = (0.0, 0.0);
    for fault in Fault::ALL.into_iter().filter(|f| a.faults.is_empty() || a.faults.iter().any(|n| n == f.name())) {
        for seed in 0..a.seeds {
            let off = run_one(a, &base, Some(fault), seed, Mode::Off)?;
            let on = run_one(a, &base, Some(fault), seed, Mode::Cure)?;
            total += 1;
            detected += u64::from(on.first.is_some());
            right += u64::from(on.named);
            off_share += off.ap50 / healthy[&seed].max(1e-6);
            on_share += on.ap50 / healthy[&seed].max(1e-6);
            tell(a, fault.name(), seed, &on, Some(off.ap50), healthy[&seed]);
        }
    }
    if !a.json && total > 0 {
        let share = |n: f64| 100.0 * n / total as f64;
        println!(
            "{total} faults: {:.0} % detected, {:.0} % named right, {alarms} alarms in {} healthy runs; AP50 against healthy: \
             {:.0} % off, {:.0} % cured",
            share(detected as f64),
            share(right as f64),
            a.healthy,
            share(off_share),
            share(on_share)
        );
    }
    Ok(0)
}

fn tell(a: &StagnationArguments, name: &str, seed: u64, on: &Outcome, off: Option<f64>, healthy: f64) {
    let (first, step) = on.first.clone().map_or((None, None), |(cause, step)| (Some(cause), Some(step)));
    let epochs = step.map(|s| s as f64 / on.steps_per_epoch as f64);
    if a.json {
        println!(
            "{}",
            json!({"fault": name, "seed": seed, "diagnosis": first, "step": step, "epochs": epochs, "right": on.named,
                   "cures": on.cures, "ap50_off": off, "ap50_cure": on.ap50, "ap50_healthy": healthy})
        );
        return;
    }
    let number = |v: Option<f64>| v.map_or("-".to_string(), |v| format!("{v:.2}"));
    let cures: Vec<String> = on.cures.iter().map(|c| format!("{c:?}").chars().take(50).collect()).collect();
    println!(
        "{name:<19} {seed:>4} {:>5} {:>7} {:>6} {:>9} {:>6.2} {healthy:>8.2}  {}; {}",
        step.map_or("-".into(), |s| s.to_string()),
        number(epochs),
        if on.named { "yes" } else { "-" },
        number(off),
        on.ap50,
        first.unwrap_or_else(|| "nothing".into()),
        cures.join(", ")
    );
}
