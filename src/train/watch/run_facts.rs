//! The facts that the watchdog gets before the first step: labels against anchors, weights, schedule, and the
//! network's response to some photos.

use super::box_audit::presence;
use super::layer_norms::{LayerNorms, LayerStages};
use super::name_audit::appearance;
use crate::board::release_freed_memory;
use crate::boxes::{Anchors, CornerBox, InputSize, ScoreFunction};
use crate::data::{DataError, normalised, plain};
use crate::kernel::ChannelSums;
use crate::loss::TargetEncoder;
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::ops;
use crate::optim::Schedule;
use crate::train::live::can_be_widened;
use crate::train::prepare::start::{LayerResponse, ResponseSums};
use crate::train::recipe::{LossKind, Recipe};
use crate::train::records::Records;
use crate::watchdog::{ObjectSides, RunFacts, median};

/// Records whose labels are looked at, spread over the split.
const LABELS: usize = 2000;

/// Photos that the network's response is measured on during the run.
pub const PROBES: usize = 2;

/// Photos that the network's response is measured on before the run.
pub const FIRST_PROBES: usize = 8;

/// IoU with its best anchor below which an object cannot be learned as it is.
const NEAR: f64 = 0.15;

/// Update ratios of healthy centred runs, against those of plain ones: measured on two sets of real photos.
const CENTRED: f64 = 5.0;

/// Images of a class that are remembered, at most.
const FEW_IMAGES: usize = 100;

/// Deltas kept for the loss of a constant predictor.
const DELTAS: usize = 20_000;

/// All that is known of a run that begins.
///
/// # Errors
/// If a record cannot be read.
pub fn facts(
    model: &SsdModel,
    recipe: &Recipe,
    schedule: &Schedule,
    encoder: &TargetEncoder,
    class_names: &[String],
    training: &Records,
    size: InputSize,
) -> Result<RunFacts, DataError> {
    let usual = Recipe::default();
    let stages = LayerStages::of(model);
    let mut facts = RunFacts {
        stages: stages.facts.clone(),
        classes: class_names.to_vec(),
        objects: vec![0; class_names.len()],
        map_positives: vec![0; encoder.anchors.maps().len()],
        shown_in: vec![Vec::new(); class_names.len()],
        images: training.len() as u64,
        steps_per_epoch: recipe.steps_per_epoch(training.len()),
        total_steps: schedule.total,
        weights: model.trained_len() as u64,
        batch: recipe.batch as u32,
        micro_batch: recipe.micro_batch as u32,
        held_steps: recipe.held_steps(schedule),
        factors: (0..=64).map(|i| schedule.factor(schedule.total.saturating_sub(1) * i / 64) as f32).collect(),
        lr: recipe.lr,
        weight_decay: recipe.weight_decay,
        usual_weight_decay: usual.weight_decay,
        clip: recipe.clip,
        negatives_per_positive: (recipe.loss == LossKind::Mining).then_some(3.0),
        sigmoids: model.convention().scores == ScoreFunction::Sigmoid,
        spread: Some(spread(&model.weights())),
        tolerance: centred_tolerance(recipe),
        may_augment: can_be_widened(&recipe.augment),
        ..RunFacts::default()
    };
    labels(&mut facts, encoder, training, f64::from(recipe.box_weight), size)?;
    let small = probe_size(size);
    let photos: Vec<Vec<f32>> = probes(training, small, FIRST_PROBES).collect::<Result<_, _>>()?;
    let seen = probe(model, photos, small);
    facts.response = Some(seen.response);
    facts.dead = Some(seen.dead);
    // At full size first: what the kernels work in then lies below what these looks need for a while.
    facts.silent = silent(model, &stages, probes(training, size, FIRST_PROBES), size)?;
    facts.presence = if facts.is_crowded() { None } else { presence(model, training)? };
    facts.appearance = appearance(model, training, class_names.len())?;
    release_freed_memory();
    Ok(facts)
}

/// Largest shares, over the layers of every stage, of channels that are zero and that are full on these photos.
fn silent(
    model: &SsdModel,
    stages: &LayerStages,
    photos: impl Iterator<Item = Result<Vec<f32>, DataError>>,
    size: InputSize,
) -> Result<Vec<[f32; 2]>, DataError> {
    let mut inputs = vec![ChannelSums::default(); model.layers.len()];
    for photo in photos {
        model.forward_observed(ops::tensor(photo?, [1, size.height, size.width, 3]), &mut |position, x| {
            let channels = x.dims()[3];
            let seen = &mut inputs[position];
            seen.sums.resize(channels, 0.0);
            ops::read(x, |x| {
                for place in x.chunks_exact(channels) {
                    place.iter().zip(&mut seen.sums).for_each(|(v, sum)| *sum += f64::from(*v));
                    seen.rows += 1;
                }
            });
        });
    }
    Ok(stages
        .signals(&LayerNorms::new(model.layers.len()), &inputs, 1.0)
        .iter()
        .map(|s| [s.dead, s.saturated])
        .collect())
}

/// Times by which a recipe's update ratios may exceed those of plain updates.
pub fn centred_tolerance(recipe: &Recipe) -> f64 {
    if recipe.centred { CENTRED } else { 1.0 }
}

/// Size of the photos that the backbone's response is read off: how far it tells them apart shows in few pixels too.
pub fn probe_size(size: InputSize) -> InputSize {
    size.within(160)
}

/// Photos spread over the split, as the network sees them.
pub fn probes(
    training: &Records,
    size: InputSize,
    most: usize,
) -> impl Iterator<Item = Result<Vec<f32>, DataError>> + '_ {
    let count = most.min(training.len());
    (0..count).map(move |i| {
        // From the middle of each part: neighbours in a folder are often neighbours in time.
        let index = (2 * i + 1) * training.len() / (2 * count);
        Ok(normalised(plain(&training.get(index)?, size).image.pixels))
    })
}

/// Response of the backbone's output to these photos, one at a time.
pub fn probe(model: &SsdModel, images: impl IntoIterator<Item = Vec<f32>>, size: InputSize) -> LayerResponse {
    let (mut seen, mut count) = (ResponseSums::default(), 0);
    for image in images {
        seen.add(&model.backbone(ops::tensor(image, [1, size.height, size.width, 3])));
        count += 1;
    }
    seen.response(count)
}

fn labels(
    facts: &mut RunFacts,
    encoder: &TargetEncoder,
    training: &Records,
    weight: f64,
    size: InputSize,
) -> Result<(), DataError> {
    let stride = training.len().div_ceil(LABELS).max(1);
    let mut deltas: Vec<Vec<[f32; 4]>> = vec![Vec::new(); facts.map_positives.len()];
    let (mut kept, mut sides) = (0, Vec::new());
    for index in (0..training.len()).step_by(stride) {
        let record = training.get(index)?;
        let objects: Vec<_> = record.objects.iter().filter(|o| !o.crowd).collect();
        if objects.is_empty() {
            facts.empty_images += stride as u64;
            facts.empty.push(index as u32);
            continue;
        }
        objects.iter().for_each(|o| facts.objects[o.class] += stride as u64);
        for (class, shown_in) in facts.shown_in.iter_mut().enumerate() {
            // One more than are kept tells that there are more.
            if shown_in.len() <= FEW_IMAGES && objects.iter().any(|o| o.class == class) {
                shown_in.push(index as u32);
            }
        }
        let boxes: Vec<CornerBox> = objects.iter().map(|o| o.bbox).collect();
        // Wrong units spoil all boxes of a file; a single one may just be small or cut off.
        let lost = boxes.iter().filter(|b| best_overlap(&encoder.anchors, b) < NEAR).count();
        if 2 * lost > boxes.len() {
            facts.unmatched.push(index as u32);
            facts.extents.push(boxes.iter().map(|b| b.x1.max(b.y1)).fold(0.0, f64::max) as f32);
        }
        let root = |b: &CornerBox| (b.width() * size.width as f64 * b.height() * size.height as f64).sqrt();
        sides.extend(boxes.iter().map(root));
        let columns = vec![1; boxes.len()];
        for (anchor, delta) in encoder.encode(&columns, &boxes).positives {
            let map = encoder.anchors.map_of(anchor);
            facts.map_positives[map] += 1;
            if kept < DELTAS {
                deltas[map].push(delta);
                kept += 1;
            }
        }
    }
    // A class that most images show has nothing to be shown more often.
    facts.shown_in.iter_mut().filter(|images| images.len() > FEW_IMAGES).for_each(Vec::clear);
    facts.sides = object_sides(sides, encoder, size);
    facts.blind_box_loss = blind_box_loss(&deltas).map(|loss| weight * loss);
    Ok(())
}

/// Objects of a validation split by class, of as many records as are looked at for labels, scaled to all of them.
///
/// # Errors
/// If a record cannot be read.
pub fn judged_objects(validation: &Records, classes: usize) -> Result<Vec<u64>, DataError> {
    let stride = validation.len().div_ceil(LABELS).max(1);
    let mut objects = vec![0; classes];
    for index in (0..validation.len()).step_by(stride) {
        let record = validation.get(index)?;
        record.objects.iter().filter(|o| !o.crowd).for_each(|o| objects[o.class] += stride as u64);
    }
    Ok(objects)
}

/// Sizes of objects whose sides are `sides` pixels at input size `size`; `None` without any.
fn object_sides(mut sides: Vec<f64>, encoder: &TargetEncoder, size: InputSize) -> Option<ObjectSides> {
    /// Share of the objects that an input should be large enough for.
    const MOST: f64 = 0.75;
    /// Shorter sides beyond these take more memory and time than boards have.
    const LARGEST: u32 = 1024;
    sides.sort_by(f64::total_cmp);
    let at = |share: f64| sides.get((share * sides.len() as f64) as usize).copied();
    let &[rows, columns] = encoder.anchors.maps().first()?;
    let cell = (size.height as f64 / rows as f64).max(size.width as f64 / columns as f64);
    let input = size.height.min(size.width) as u32;
    let wanted = f64::from(input) * cell / at(1.0 - MOST)?.max(1e-3);
    let below = sides.partition_point(|side| *side < cell) as f32 / sides.len() as f32;
    let enough = ((wanted / 32.0).ceil() * 32.0).min(f64::from(LARGEST)) as u32;
    Some(ObjectSides { input, cell: cell.round() as u32, median: at(0.5)? as f32, below, enough: enough.max(input) })
}

fn best_overlap(anchors: &Anchors, object: &CornerBox) -> f64 {
    anchors.corners().iter().map(|a| a.iou(object)).fold(0.0, f64::max)
}

/// Box loss per positive of the best constant per feature map: the median of each coordinate.
fn blind_box_loss(deltas: &[Vec<[f32; 4]>]) -> Option<f64> {
    let (mut total, mut count) = (0.0, 0);
    for map in deltas.iter().filter(|m| !m.is_empty()) {
        for i in 0..4 {
            let values: Vec<f64> = map.iter().map(|d| f64::from(d[i])).collect();
            let centre = median(&values);
            let smooth = |x: f64| if x.abs() < 1.0 { x * x / 2.0 } else { x.abs() - 0.5 };
            total += values.iter().map(|v| smooth(v - centre)).sum::<f64>();
        }
        count += map.len();
    }
    (count > 0).then(|| total / count as f64)
}

/// How far the norms of a layer's output channels spread around their mean; median of the backbone's large layers.
pub fn spread(network: &Ssd<ConvWeights>) -> f64 {
    let large = network.convs().into_iter().filter(|(stage, w)| stage.is_backbone() && w.weight.len() >= 4096);
    median(&large.map(|(_, w)| variation(w)).collect::<Vec<_>>())
}

/// Deviation over mean of the channels' norms, scale included.
fn variation(w: &ConvWeights) -> f64 {
    let channels = w.spec.out_channels;
    let mut squares = vec![0f64; channels];
    for row in w.weight.chunks_exact(channels) {
        row.iter().zip(&mut squares).for_each(|(w, s)| *s += f64::from(*w).powi(2));
    }
    let norms: Vec<f64> = squares.iter().zip(&w.scale).map(|(s, scale)| s.sqrt() * f64::from(scale.abs())).collect();
    let mean = norms.iter().sum::<f64>() / channels as f64;
    let variance = norms.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / channels as f64;
    if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
}
