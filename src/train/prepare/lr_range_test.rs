//! LR range test and overfit check, both before a run and on a state of their own that is dropped afterwards: the run
//! itself does not change by a bit.
//!
//! *Range test* (Smith 2017, "Cyclical learning rates"): the rate rises geometrically from far too low to far too high
//! within a bounded number of steps. The rate to take lies a factor below the one at which the smoothed loss stops
//! falling, and below the one at which steps grow hot (the watchdog's levels).
//!
//! *Overfit probe*: a network that cannot learn a handful of plain photos by heart will not learn more of them.

use crate::boxes::InputSize;
use crate::data::{DataError, EpochPlan, normalise, plain};
use crate::loss::TargetEncoder;
use crate::model::{ConvWeights, Ssd};
use crate::optim::{Decay, Schedule};
use crate::train::error::TrainError;
use crate::train::recipe::Recipe;
use crate::train::records::Records;
use crate::train::state::TrainState;
use crate::train::step::forward_backward::{Observe, TrainBatch, micro_step};
use crate::train::step::targets::columns_and_boxes;
use crate::train::step::update::{StepExtras, StepStats, apply_seen};
use crate::train::step::window::Window;
use crate::train::watch::layer_norms::{LayerNorms, LayerStages};
use crate::train::watch::run_facts::centred_tolerance;
use crate::watchdog::HOT;

/// Steps of the range test.
pub const RANGE_STEPS: u64 = 80;

/// Rates at the first and the last of these steps.
const RANGE: [f64; 2] = [1e-5, 1.0];

/// Share of the running mean of the loss that is kept per step.
const SMOOTH: f64 = 0.8;

/// The test ends once the smoothed loss exceeds this multiple of its minimum.
const BROKEN: f64 = 2.0;

/// The suggested rate is that of the lowest loss over this.
const BELOW: f64 = 10.0;

/// Steps of the overfit probe.
pub const PROBE_STEPS: u64 = 60;

/// Photos of the overfit probe.
const PROBE_PHOTOS: usize = 4;

/// The photos count as learned if at most this share of the first loss is left.
const LEARNED: f64 = 0.5;

/// The result of the range test.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTest {
    /// The rate to take.
    pub lr: f64,
    /// Rate and smoothed loss, step by step.
    pub points: Vec<[f64; 2]>,
}

/// The result of the overfit probe: mean loss of the first and of the last steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverfitProbe {
    pub start: f64,
    pub end: f64,
}

impl OverfitProbe {
    pub fn is_learned(&self) -> bool {
        self.end < LEARNED * self.start
    }
}

/// A state that trains on plain photos, without average, hold or schedule.
pub(super) struct Rehearsal<'a> {
    pub(super) state: TrainState,
    recipe: Recipe,
    encoder: TargetEncoder,
    records: &'a Records,
    size: InputSize,
    stages: LayerStages,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(
        network: &Ssd<ConvWeights>,
        recipe: &Recipe,
        records: &'a Records,
        size: InputSize,
    ) -> Result<Self, TrainError> {
        let recipe = Recipe { ema: 0.0, hold: 0.0, warmup: 0, decay: Decay::Constant, ..recipe.clone() };
        let state = TrainState::new(network, &recipe);
        let encoder = recipe.encoder(&state.model, size)?;
        let stages = LayerStages::of(&state.model);
        Ok(Self { state, recipe, encoder, records, size, stages })
    }

    pub(super) fn batch(&self, indices: &[usize]) -> Result<TrainBatch, DataError> {
        let (mut images, mut targets) = (vec![0.0; indices.len() * self.size.numbers()], Vec::new());
        for (&index, image) in indices.iter().zip(images.chunks_exact_mut(self.size.numbers())) {
            let shown = plain(&self.records.get(index)?, self.size);
            normalise(&shown.image, image);
            let (columns, boxes) = columns_and_boxes(shown.objects.iter().filter(|o| !o.crowd));
            targets.push(self.encoder.encode(&columns, &boxes));
        }
        Ok(TrainBatch { images, size: self.size, targets })
    }

    /// One optimizer step on these images at rate `lr`; also how hot it was, 1 at the watchdog's level.
    pub(super) fn step(
        &mut self,
        indices: &[usize],
        lr: f64,
        total: u64,
        classes: usize,
    ) -> Result<(StepStats, f64), TrainError> {
        let names: Vec<String> = (1..classes).map(|c| c.to_string()).collect();
        let recipe = Recipe { lr, class_weights: Default::default(), ..self.recipe.clone() };
        let loss = recipe.ssd_loss(&names, self.state.model.convention().scores);
        let schedule = Schedule { decay: Decay::Constant, warmup: 0, total, again: None };
        let mut window = Window::default();
        for part in indices.chunks(recipe.micro_batch.max(1)) {
            micro_step(&self.state.model, &loss, self.batch(part)?, &mut window, Observe::Inputs);
        }
        let mut look = LayerNorms::new(self.state.model.layers.len());
        let extras = StepExtras { look: Some(&mut look), pull: None };
        let stats = apply_seen(&mut self.state, &mut window, &recipe, &schedule, extras);
        let signals = self.stages.signals(&look, &window.inputs, window.normaliser());
        let tolerance = centred_tolerance(&recipe);
        let heat = self.stages.facts.iter().zip(&signals).map(|(facts, seen)| {
            let level = HOT.iter().find(|(kind, _)| *kind == facts.kind).map_or(f64::INFINITY, |(_, level)| *level);
            f64::from(seen.update_ratio) / (level * tolerance)
        });
        Ok((stats, heat.fold(0.0, f64::max)))
    }
}

/// Finds a learning rate within [`RANGE_STEPS`] steps; `classes` counts the background.
///
/// # Errors
/// If a record cannot be read.
pub fn range_test(
    network: &Ssd<ConvWeights>,
    recipe: &Recipe,
    records: &Records,
    classes: usize,
    size: InputSize,
) -> Result<RangeTest, TrainError> {
    let mut rehearsal = Rehearsal::new(network, recipe, records, size)?;
    let order = EpochPlan::shuffled(records.len(), recipe.seed, 0).order().to_vec();
    let (mut points, mut smoothed, mut lowest, mut hot) = (Vec::new(), None, [f64::INFINITY, RANGE[0]], RANGE[1]);
    for step in 0..RANGE_STEPS {
        let lr = RANGE[0] * (RANGE[1] / RANGE[0]).powf(step as f64 / (RANGE_STEPS - 1) as f64);
        let begin = step as usize * recipe.batch;
        let indices: Vec<usize> = (begin..begin + recipe.batch).map(|i| order[i % order.len()]).collect();
        let (stats, heat) = rehearsal.step(&indices, lr, RANGE_STEPS, classes)?;
        let loss = stats.class + stats.boxes;
        if !loss.is_finite() {
            break;
        }
        let mean = smoothed.map_or(loss, |s: f64| SMOOTH * s + (1.0 - SMOOTH) * loss);
        smoothed = Some(mean);
        points.push([lr, mean]);
        if mean < lowest[0] {
            lowest = [mean, lr];
        }
        if heat > 1.0 {
            hot = hot.min(lr);
        }
        if mean > BROKEN * lowest[0] {
            break;
        }
    }
    // Half as hot as the level: the schedule's peak lasts longer than a step.
    let lr = (lowest[1] / BELOW).min(hot / 2.0).max(RANGE[0]);
    Ok(RangeTest { lr: format!("{lr:.1e}").parse().unwrap_or(lr), points })
}

/// Trains a few photos with objects, shown plain, for [`PROBE_STEPS`] steps; `classes` counts the background.
///
/// # Errors
/// If a record cannot be read.
pub fn overfit_probe(
    network: &Ssd<ConvWeights>,
    recipe: &Recipe,
    records: &Records,
    classes: usize,
    size: InputSize,
) -> Result<OverfitProbe, TrainError> {
    let mut rehearsal = Rehearsal::new(network, recipe, records, size)?;
    let mut chosen = Vec::new();
    for index in 0..records.len() {
        if chosen.len() < PROBE_PHOTOS && records.get(index)?.objects.iter().any(|o| !o.crowd) {
            chosen.push(index);
        }
    }
    let mut losses = Vec::new();
    for _ in 0..PROBE_STEPS {
        let (stats, _) = rehearsal.step(&chosen, recipe.lr, PROBE_STEPS, classes)?;
        losses.push(stats.class + stats.boxes);
    }
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
    let end = mean(&losses[losses.len() - 5..]);
    Ok(OverfitProbe { start: losses[0], end: if end.is_finite() { end } else { f64::INFINITY } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SceneOptions, scene};
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use crate::ops;
    use crate::train::calibrate;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn a_rate_is_found_and_a_batch_is_learned() {
        let options =
            SceneOptions { size: 64, classes: 2, max_objects: 1, min_object_px: 24, ..SceneOptions::default() };
        let scenes: Vec<_> = (0..8).map(|i| scene(options.seed_of(i), &options)).collect();
        let mut pixels = Vec::new();
        for record in &scenes {
            let mut image = vec![0.0; 64 * 64 * 3];
            normalise(&plain(record, 64).image, &mut image);
            pixels.extend(image);
        }
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 3, true), &mut rng);
        calibrate(&mut network, ops::tensor(pixels, [8, 64, 64, 3]));
        let (recipe, records) = (Recipe::default(), Records::in_memory(scenes));
        let found = range_test(&network, &recipe, &records, 3, 64.into()).unwrap();
        assert!((1e-4..0.1).contains(&found.lr), "{}", found.lr);
        let found = overfit_probe(&network, &recipe, &records, 3, 64.into()).unwrap();
        assert!(found.is_learned(), "{found:?}");
        let asleep = Recipe { lr: 1e-7, ..recipe };
        let found = overfit_probe(&network, &asleep, &records, 3, 64.into()).unwrap();
        assert!(!found.is_learned(), "{found:?}");
    }
}
