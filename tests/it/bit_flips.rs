//! Single bits that flip, as memory without error correction and worn cards have it: in weights, moments and averages of a
//! run, and in the files that it reads again.
//!
//! `FIELDTUNE_BIT_FLIPS=10000` makes as many in memory, and as many in each file, and prints the table of the documentation.

use crate::gradients::{CLASSES, batch, network};
use crate::resume::finished;
use crate::windows::{job, photos};
use fieldtune::data::Pack;
use fieldtune::loss::SsdLoss;
use fieldtune::optim::{Decay, Schedule, StateVec};
use fieldtune::train::{
    Checkpoint, Event, Job, Mishap, Observe, Recipe, Records, TrainError, TrainState, Window, apply, micro_step, train,
};
use fieldtune::watchdog::{Cause, JournalEntry, Mode};
use half::bf16;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const IMAGES: usize = 2;

/// Steps before a flip, so that moments have their sizes, and steps after it in which a run may heal.
const BEFORE: u64 = 3;
const AFTER: usize = 10;

/// Relative change of the loss that is no change: what other orders of sums make of it.
const UNCHANGED: f64 = 1e-3;

/// Relative distance of the loss after ten steps from that of the run without a flip, within which it has healed.
const HEALED: f64 = 0.05;

/// A weight of the published network that no training comes to.
const UNDETECTED: &str = "undetected";

fn flips() -> usize {
    std::env::var("FIELDTUNE_BIT_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// The place of a flip.
#[derive(Clone, Copy, Debug)]
enum Place {
    Weight,
    FirstMoment,
    SecondMoment,
    Average,
}

const PLACES: [Place; 4] = [Place::Weight, Place::FirstMoment, Place::SecondMoment, Place::Average];

fn flip(values: &mut StateVec, rng: &mut Pcg64Mcg) -> u32 {
    match values {
        StateVec::F32(all) => {
            let (at, bit) = (rng.random_range(0..all.len()), rng.random_range(0..32u32));
            all[at] = f32::from_bits(all[at].to_bits() ^ 1 << bit);
            bit
        }
        StateVec::Bf16(all) => {
            let (at, bit) = (rng.random_range(0..all.len()), rng.random_range(0..16u32));
            all[at] = bf16::from_bits(all[at].to_bits() ^ 1 << bit);
            16 + bit
        }
    }
}

impl Place {
    /// Flips a bit of a layer that is trained; returns its number in 32 bits.
    fn strike(self, state: &mut TrainState, rng: &mut Pcg64Mcg) -> u32 {
        let layers = &state.model.layers;
        let trained: Vec<usize> = (0..layers.len()).filter(|i| layers[*i].trained_sizes()[0] > 0).collect();
        // Numbers are struck by chance, so layers by their size.
        let sizes: Vec<usize> = trained.iter().map(|i| layers[*i].trained_sizes()[0]).collect();
        let mut number = rng.random_range(0..sizes.iter().sum::<usize>());
        let layer = trained
            [sizes.iter().position(|size| number.checked_sub(*size).map(|n| number = n).is_none()).expect("one")];
        match self {
            Place::Weight => {
                let mut bit = 0;
                state.model.layers[layer].update(|weight, _, _| {
                    let at = rng.random_range(0..weight.len());
                    bit = rng.random_range(0..32u32);
                    weight[at] = f32::from_bits(weight[at].to_bits() ^ 1 << bit);
                });
                bit
            }
            Place::FirstMoment => flip(&mut state.optimizer.layers[layer].slots[0].first, rng),
            Place::SecondMoment => flip(&mut state.optimizer.layers[layer].slots[0].second, rng),
            Place::Average => flip(&mut state.ema.as_mut().expect("an average").lags[2 * layer], rng),
        }
    }
}

/// A run of a few steps on one batch.
struct Run {
    recipe: Recipe,
    schedule: Schedule,
    state: TrainState,
}

impl Run {
    fn step(&mut self) -> f64 {
        let (loss, mut window) = (SsdLoss::new(CLASSES), Window::default());
        micro_step(&self.state.model, &loss, batch(IMAGES), &mut window, Observe::Nothing);
        let stats = apply(&mut self.state, &mut window, &self.recipe, &self.schedule);
        // A step whose norm is no number is detected, whatever its loss.
        if stats.grad_norm.is_finite() { stats.class + stats.boxes } else { f64::NAN }
    }

    /// As it was in memory.
    fn copy(&self) -> Self {
        let mut state = TrainState::new(&self.state.model.weights(), &self.recipe);
        state.optimizer = self.state.optimizer.clone();
        state.ema = self.state.ema.clone();
        state.means = self.state.means.clone();
        state.progress = self.state.progress.clone();
        Self { recipe: self.recipe.clone(), schedule: self.schedule, state }
    }

    /// Losses of the next step and of the last of `AFTER` steps; and whether every averaged weight is a number of a size
    /// that a layer can have.
    fn go_on(mut self) -> ([f64; 2], bool) {
        let first = self.step();
        let mut last = first;
        for _ in 1..AFTER {
            if !last.is_finite() {
                break;
            }
            last = self.step();
        }
        let averaged = self.state.averaged();
        let sound = averaged.convs().iter().all(|(_, conv)| conv.weight.iter().all(|w| w.abs() < 1e6));
        ([first, last], sound)
    }
}

#[test]
fn bits_of_the_state_are_detected_or_heal() {
    let recipe = Recipe { freeze: 0, lr: 1e-3, warmup: 0, decay: Decay::Constant, ..Recipe::default() };
    let schedule = Schedule { decay: Decay::Constant, warmup: 0, total: 1000, again: None };
    let mut run = Run { state: TrainState::new(&network(), &recipe), recipe, schedule };
    for _ in 0..BEFORE {
        run.step();
    }
    let ([first, last], _) = run.copy().go_on();
    let mut rng = Pcg64Mcg::seed_from_u64(9);
    let mut table: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for i in 0..flips() {
        let place = PLACES[i % PLACES.len()];
        let mut struck = run.copy();
        let bit = place.strike(&mut struck.state, &mut rng);
        let ([now, then], sound) = struck.go_on();
        let outcome = match () {
            () if !now.is_finite() => "detected in the next step",
            () if !then.is_finite() => "detected within ten steps",
            () if (now / first - 1.0).abs() < UNCHANGED && (then / last - 1.0).abs() < HEALED && sound => {
                "without effect"
            }
            () if (then / last - 1.0).abs() < HEALED && sound => "healed",
            () if !sound => UNDETECTED,
            () => "loss still differs after ten steps",
        };
        let kind = match bit {
            31 => "sign",
            23..31 => "exponent",
            _ => "fraction",
        };
        *table.entry(format!("{place:?}, {kind}")).or_default().entry(outcome).or_default() += 1;
    }
    println!();
    for (row, outcomes) in &table {
        println!("| {row} | {outcomes:?} |");
    }
    let all: usize = table.values().flat_map(BTreeMap::values).sum();
    assert_eq!(all, flips());
    let undetected: usize = table.values().filter_map(|outcomes| outcomes.get(UNDETECTED)).sum();
    assert!(undetected * 500 <= all, "{undetected} of {all}");
}

#[test]
fn bits_of_checkpoints_and_packs_are_detected() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut rng = Pcg64Mcg::seed_from_u64(10);
    for (name, is_same) in
        [("run/weights/last.ckpt", checkpoint_is_sound as fn(&Path) -> bool), ("photos.pack", pack_is_sound)]
    {
        let sound = fs::read(finished().join(name)).expect("a file of the run");
        let path = dir.path().join("struck");
        fs::write(&path, &sound).expect("writes");
        assert!(is_same(&path), "{name}");
        let mut detected = 0;
        for _ in 0..flips() {
            let mut bytes = sound.clone();
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
            // A new file: a pack that is mapped must not change.
            fs::remove_file(&path).expect("removes");
            fs::write(&path, &bytes).expect("writes");
            detected += usize::from(!is_same(&path));
        }
        println!("\n| {name} | {} of {} detected |", detected, flips());
        assert_eq!(detected, flips(), "{name}");
    }
}

fn checkpoint_is_sound(path: &Path) -> bool {
    Checkpoint::load(path).is_ok_and(|loaded| loaded.restore(path).is_ok())
}

fn pack_is_sound(path: &Path) -> bool {
    let Ok(pack) = Pack::open(path) else { return false };
    let Ok(all) = pack.split("all") else { return false };
    (0..all.len()).all(|i| all.record(i).is_ok())
}

/// A run whose weight is struck at its third step: the causes that were named, how it ended, and its largest weight.
fn struck_run(watchdog: Mode) -> (Vec<Cause>, Option<TrainError>, f32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("weights")).expect("a writable folder");
    let recipe = Recipe { epochs: 2, batch: 2, micro_batch: 2, freeze: 3, warmup: 0, ..Recipe::default() };
    let mut state = TrainState::new(&network(), &recipe);
    let job = Job { mishap: Some(Mishap::FlippedBit { step: 3 }), ..job(folder.path(), recipe, watchdog) };
    let mut named = Vec::new();
    let none = Records::in_memory(Vec::new());
    let ended = train(&job, &mut state, &photos(16), &none, &AtomicBool::new(false), &mut |event| {
        if let Event::Watchdog(JournalEntry::Diagnosis(found)) = event {
            named.push(found.cause);
        }
    });
    let weights = state.model.weights();
    let largest = weights.convs().iter().flat_map(|(_, conv)| &conv.weight).fold(0f32, |most, w| most.max(w.abs()));
    (named, ended.err(), largest)
}

#[test]
fn a_struck_weight_sends_the_run_back_or_ends_it() {
    let (named, error, largest) = struck_run(Mode::Cure);
    assert!(named.contains(&Cause::NonFinite) && error.is_none(), "{named:?}, {error:?}");
    assert!(largest < 1e3, "the weight is the one before the flip: {largest}");
    let (_, error, _) = struck_run(Mode::Off);
    assert!(matches!(error, Some(TrainError::Diverged { .. })), "{error:?}");
}
