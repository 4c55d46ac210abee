//! The time that training takes here: a few steps before the run, on a state of its own that is dropped afterwards.

use super::lr_range_test::Rehearsal;
use crate::boxes::InputSize;
use crate::data::EpochPlan;
use crate::model::{ConvWeights, Ssd};
use crate::ops;
use crate::train::error::TrainError;
use crate::train::recipe::Recipe;
use crate::train::records::Records;
use std::time::Instant;

/// Optimizer steps that are timed, of each kind; one more comes first and is not counted.
const STEPS: usize = 4;

/// Photos that are looked at as validation looks at them.
const LOOKS: usize = 4;

/// Seconds an image on this machine, with this network, input size and recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingPace {
    /// Forward, backward and its share of the optimizer step.
    pub learning: f64,
    /// The same while the backbone is held.
    pub held: f64,
    /// Forward pass alone, as validation does it.
    pub looking: f64,
    /// Reading and scaling a photo on one thread.
    pub loading: f64,
}

/// Measures the pace of a run that starts from `network`; `classes` counts the background.
///
/// # Errors
/// If a record cannot be read.
pub fn pace(
    network: &Ssd<ConvWeights>,
    recipe: &Recipe,
    records: &Records,
    classes: usize,
    size: InputSize,
) -> Result<TrainingPace, TrainError> {
    let mut rehearsal = Rehearsal::new(network, recipe, records, size)?;
    let order = EpochPlan::shuffled(records.len(), recipe.seed, 0).order().to_vec();
    let batch: Vec<usize> = (0..recipe.batch).map(|i| order[i % order.len()]).collect();
    let begin = Instant::now();
    let loaded = rehearsal.batch(&batch)?;
    let loading = begin.elapsed().as_secs_f64() / batch.len() as f64;
    drop(loaded);
    let mut step_time = |held: bool| -> Result<f64, TrainError> {
        rehearsal.state.model.hold_backbone(held);
        let mut begin = Instant::now();
        for step in 0..=STEPS {
            if step == 1 {
                begin = Instant::now();
            }
            rehearsal.step(&batch, recipe.lr, STEPS as u64, classes)?;
        }
        let an_image = begin.elapsed().as_secs_f64() / (STEPS * batch.len()) as f64;
        Ok((an_image - loading).max(0.0))
    };
    let held = if recipe.hold > 0.0 { step_time(true)? } else { 0.0 };
    let learning = step_time(false)?;
    let photo = rehearsal.batch(&batch[..1])?.images;
    let look = || rehearsal.state.model.forward(ops::tensor(photo.clone(), [1, size.height, size.width, 3]));
    drop(look());
    let begin = Instant::now();
    (0..LOOKS).for_each(|_| drop(look()));
    Ok(TrainingPace { learning, held, looking: begin.elapsed().as_secs_f64() / LOOKS as f64, loading })
}
