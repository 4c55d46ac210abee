//! The one place where what the watchdog decides becomes effect.

use super::atomic_file;
use super::checkpoint::Checkpoint;
use super::error::TrainError;
use super::recipe::Recipe;
use super::renewal::{Sample, renew_silent};
use super::state::TrainState;
use crate::data::{AugmentOptions, Crop};
use crate::model::{ConvWeights, SsdModel, initialise};
use crate::optim::{Optimizer, Restart, Schedule, StateVec};
use crate::watchdog::{Action, Adjustments};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};

/// Weights worth going back to, beside the last checkpoint.
const GOOD: &str = "good.ckpt";

/// The recipe with the adjustments worked in. Without any it is the recipe, bit for bit.
pub fn adjusted(recipe: &Recipe, now: &Adjustments) -> Recipe {
    Recipe {
        lr: recipe.lr * now.rate,
        backbone_rate: recipe.backbone_rate * now.backbone,
        weight_decay: recipe.weight_decay * now.decay,
        clip: now.clip.unwrap_or(recipe.clip),
        batch: recipe.batch * now.batch as usize,
        augment: if now.augment { widened(&recipe.augment) } else { recipe.augment.clone() },
        ..recipe.clone()
    }
}

/// Photos changed more, but gently: crops and a zoom-out of every photo would take more steps to learn from than a run on
/// few photos has.
fn widened(options: &AugmentOptions) -> AugmentOptions {
    let usual = AugmentOptions::default();
    let gentle = || [Crop::Whole, Crop::Whole].into_iter().chain([0.5, 0.7, 0.9].map(Crop::MinIou)).collect();
    AugmentOptions {
        zoom_out_probability: options.zoom_out_probability.max(0.5 * usual.zoom_out_probability),
        crops: if options.crops.is_empty() { gentle() } else { options.crops.clone() },
        brightness_probability: options.brightness_probability.max(usual.brightness_probability),
        contrast_probability: options.contrast_probability.max(usual.contrast_probability),
        color_probability: options.color_probability.max(usual.color_probability),
        flip_horizontal: options.flip_horizontal.max(usual.flip_horizontal),
        ..options.clone()
    }
}

/// Whether there is anything that [`Adjustments::augment`] would change.
pub fn can_be_widened(options: &AugmentOptions) -> bool {
    widened(options) != *options
}

/// The schedule with what has taken its place.
pub fn rescheduled(schedule: &Schedule, now: &Adjustments) -> Schedule {
    let restart = |s: &crate::watchdog::Reschedule| Restart { from: s.from, rise: s.rise, to: s.to, peak: s.peak };
    Schedule { again: now.schedule.as_ref().map(restart).or(schedule.again), ..*schedule }
}

/// Does what happens once; what lasts is in the adjustments already.
///
/// # Errors
/// If the good weights cannot be read.
pub fn apply_once(
    action: &Action,
    state: &mut TrainState,
    last: &Path,
    stages: &[usize],
    sample: &dyn Fn() -> Result<Sample, TrainError>,
) -> Result<(), TrainError> {
    match action {
        Action::RollBack { .. } => roll_back(state, last),
        Action::Reload { stage } => reload(state, last, &layers_of(*stage, stages)),
        Action::Renew { stages: wanted } => {
            let sample = sample()?;
            for &stage in wanted {
                let renewed = renew_silent(state, &layers_of(stage, stages), &sample);
                log::info!("{} layers of this stage said nothing and have new weights", renewed.len());
            }
            Ok(())
        }
        Action::Reinitialise { stage } => {
            reinitialise(state, &layers_of(*stage, stages));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn layers_of(stage: usize, stages: &[usize]) -> Vec<usize> {
    (0..stages.len()).filter(|&i| stages[i] == stage).collect()
}

/// The checkpoint to go back to.
fn good(last: &Path) -> PathBuf {
    let good = last.with_file_name(GOOD);
    if good.exists() { good } else { last.to_path_buf() }
}

/// Keeps the checkpoint just saved as the good one; costs no write where the file system has hard links.
///
/// # Errors
/// If the disk refuses.
pub fn keep_good(last: &Path) -> Result<(), TrainError> {
    let good = last.with_file_name(GOOD);
    atomic_file::link_or_copy(last, &good).map_err(TrainError::io(good, "keep the good weights"))
}

/// Weights, optimizer, average and means of the good state; clock, history and the watchdog's memory go on.
fn roll_back(state: &mut TrainState, last: &Path) -> Result<(), TrainError> {
    let path = good(last);
    Checkpoint::load(&path)?.revert(state, &path)
}

fn reload(state: &mut TrainState, last: &Path, layers: &[usize]) -> Result<(), TrainError> {
    let path = good(last);
    let weights = Checkpoint::load(&path)?.network(&path)?;
    let convs = weights.convs();
    layers.iter().for_each(|&i| renew(state, i, convs[i].1));
    Ok(())
}

fn reinitialise(state: &mut TrainState, layers: &[usize]) {
    let mut rng = Pcg64Mcg::seed_from_u64(state.progress.step);
    for &i in layers {
        let mut fresh = initialise(state.model.layers[i].spec(), &mut rng);
        fresh.scale = state.model.layers[i].weights().scale;
        renew(state, i, &fresh);
    }
}

/// Gives a layer other numbers, and its optimizer a fresh start.
pub(super) fn renew(state: &mut TrainState, i: usize, new: &ConvWeights) {
    let layer = &mut state.model.layers[i];
    layer.update(|weight, bias, _| {
        weight.copy_from_slice(&new.weight);
        bias.copy_from_slice(&new.bias);
    });
    let mut fresh = Optimizer::new(state.optimizer.kind, state.optimizer.half, [layer.trained_sizes()]);
    state.optimizer.layers[i] = fresh.layers.remove(0);
    if let Some(ema) = &mut state.ema {
        ema.lags[2 * i..2 * i + 2].iter_mut().for_each(StateVec::set_to_zero);
    }
}

/// Positions of the layers by watched stage, for [`apply_once`].
pub fn stages_of(model: &SsdModel) -> Vec<usize> {
    super::look::Stages::of(model).into_layers()
}
