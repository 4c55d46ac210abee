//! Cures that happen once: going back to good weights, reloading or re-initialising layers. The lasting part of a cure is
//! in [`crate::train::live::Live`].

use super::reinit::{FittingPhotos, reinitialise_dead};
use crate::model::{SsdModel, initialise};
use crate::train::error::TrainError;
use crate::train::state::TrainState;
use crate::train::store::checkpoint::Checkpoint;
use crate::train::store::good_weights::good;
use crate::watchdog::Action;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::Path;

/// Does what happens once; what lasts is in the adjustments already.
///
/// # Errors
/// If the good weights cannot be read.
pub fn apply_once(
    action: &Action,
    state: &mut TrainState,
    last: &Path,
    stages: &[usize],
    sample: &dyn Fn() -> Result<FittingPhotos, TrainError>,
) -> Result<(), TrainError> {
    match action {
        Action::RollBack { .. } => roll_back(state, last),
        Action::Reload { stage } => reload(state, last, &layers_of(*stage, stages)),
        Action::Renew { stages: wanted } => {
            let sample = sample()?;
            for &stage in wanted {
                let renewed = reinitialise_dead(state, &layers_of(stage, stages), &sample);
                log::info!("{} dead layers of this stage are re-initialised", renewed.len());
            }
            Ok(())
        }
        Action::Reinitialise { stage } => {
            reinitialise(state, &layers_of(*stage, stages));
            Ok(())
        }
        Action::ScaleRate { .. }
        | Action::Reschedule
        | Action::Clip { .. }
        | Action::Accumulate { .. }
        | Action::WeighClasses { .. }
        | Action::FreezeBackbone
        | Action::Repeat { .. }
        | Action::Augment
        | Action::SetAside { .. }
        | Action::ScaleDecay { .. }
        | Action::Stop
        | Action::Advise => Ok(()),
    }
}

fn layers_of(stage: usize, stages: &[usize]) -> Vec<usize> {
    (0..stages.len()).filter(|&i| stages[i] == stage).collect()
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
    layers.iter().for_each(|&i| state.replace_layer(i, convs[i].1));
    Ok(())
}

fn reinitialise(state: &mut TrainState, layers: &[usize]) {
    let mut rng = Pcg64Mcg::seed_from_u64(state.progress.step);
    for &i in layers {
        let mut fresh = initialise(state.model.layers[i].spec(), &mut rng);
        fresh.scale = state.model.layers[i].weights().scale;
        state.replace_layer(i, &fresh);
    }
}

/// Positions of the layers by watched stage, for [`apply_once`].
pub fn stages_of(model: &SsdModel) -> Vec<usize> {
    super::layer_norms::LayerStages::of(model).into_layers()
}
