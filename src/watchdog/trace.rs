//! Traces of other trainers: one JSON object a step, with loss parts, gradient norms, update ratios and the state of
//! ReLU6 layers, by name. The cause that such a run suffers from can be told without having watched it.
//!
//! A line needs `step`, the two losses `cls` and `box`, and `grad_norm`; a number that left its range is `null`. The more
//! there is beside them (`lr`, `epoch`, `pos_per_image`, `grad_norm_stage`, `update_weight_ratio`, `dead_channels`,
//! `sat6_share`, `response`), the more can be told.

use super::facts::{RunFacts, StageFacts, StageKind};
use super::journal::{BadLine, json_lines};
use super::plausible::MOST_COUNT;
use super::signals::{StageSignals, StepSignals};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A line; what may be missing is not known then.
#[derive(Debug, Deserialize)]
struct TraceLine {
    step: u64,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    lr: Option<f64>,
    #[serde(deserialize_with = "Option::deserialize")]
    cls: Option<f64>,
    #[serde(rename = "box", deserialize_with = "Option::deserialize")]
    boxes: Option<f64>,
    #[serde(deserialize_with = "Option::deserialize")]
    grad_norm: Option<f64>,
    #[serde(default)]
    pos_per_image: Vec<u64>,
    #[serde(default)]
    grad_norm_stage: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    update_weight_ratio: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    dead_channels: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    sat6_share: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    response: Option<f64>,
}

/// The stages that lines are read into, with how their layers are called.
const BLOCKS: usize = 17;

fn stages() -> Vec<StageFacts> {
    let stage = |name: String, kind| StageFacts { name, kind, trained: false, fresh_predictor: false };
    let mut all = vec![stage("the stem".into(), StageKind::Backbone)];
    all.extend((0..BLOCKS).map(|i| stage(format!("block {i}"), StageKind::Backbone)));
    all.push(stage("the last backbone layer".into(), StageKind::Backbone));
    all.push(stage("the extras".into(), StageKind::Extra));
    all.push(stage("the box heads".into(), StageKind::BoxHead));
    all.push(stage("the class heads".into(), StageKind::ClassHead));
    all
}

const LAST: usize = BLOCKS + 1;

/// Position of the stage that a layer belongs to.
fn stage_of(layer: &str) -> Option<usize> {
    let name = layer.trim_start_matches("FeatureExtractor/MobilenetV2/");
    if let Some(rest) = name.strip_prefix("expanded_conv") {
        let number = rest.trim_start_matches('_').split('/').next().unwrap_or_default();
        let block = if number.is_empty() { 0 } else { number.parse::<usize>().ok()? };
        return (block < BLOCKS).then(|| 1 + block);
    }
    match name {
        "Conv" => Some(0),
        "Conv_1" => Some(LAST),
        _ if name.starts_with("layer_19") => Some(LAST + 1),
        _ if name.contains("BoxEncodingPredictor") => Some(LAST + 2),
        _ if name.contains("ClassPredictor") => Some(LAST + 3),
        _ => None,
    }
}

/// Positions of the stages that a group of the trace covers: `blocks_3_6`, `stem`, `conv_1`, `extras`, ...
fn group(name: &str) -> Vec<usize> {
    if let Some(range) = name.strip_prefix("blocks_") {
        let mut ends = range.split('_').filter_map(|n| n.parse::<usize>().ok());
        return match (ends.next(), ends.next()) {
            (Some(a), Some(b)) => (a..=b.min(BLOCKS - 1)).map(|i| i + 1).collect(),
            (Some(a), None) if a < BLOCKS => vec![a + 1],
            _ => Vec::new(),
        };
    }
    match name {
        "stem" => vec![0],
        "conv_1" | "last" => vec![LAST],
        "extras" => vec![LAST + 1],
        "box_heads" => vec![LAST + 2],
        "class_heads" => vec![LAST + 3],
        _ => Vec::new(),
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A number, where `null` stands for one that left its range.
fn number(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

fn signals(line: &TraceLine, peak: f64, stages: &mut [StageFacts]) -> StepSignals {
    let mut all = vec![StageSignals::default(); stages.len()];
    for (name, value) in &line.grad_norm_stage {
        for i in group(name) {
            all[i].grad_norm = value.unwrap_or(0.0) as f32;
        }
    }
    for (name, value) in &line.update_weight_ratio {
        for i in group(name) {
            all[i].update_ratio = value.unwrap_or(0.0) as f32;
            stages[i].trained = true;
        }
    }
    for (layer, value) in &line.dead_channels {
        if let Some(i) = stage_of(layer) {
            all[i].dead = all[i].dead.max(value.unwrap_or(0.0) as f32);
        }
    }
    for (layer, value) in &line.sat6_share {
        if let Some(i) = stage_of(layer) {
            all[i].saturated = all[i].saturated.max(value.unwrap_or(0.0) as f32);
        }
    }
    let lr = line.lr.unwrap_or(0.0);
    StepSignals {
        step: line.step,
        epoch: line.epoch.saturating_add(1),
        class_loss: number(line.cls),
        box_loss: number(line.boxes),
        micro_batches: count(line.pos_per_image.len()),
        barren: count(line.pos_per_image.iter().filter(|n| **n == 0).count()),
        grad_norm: number(line.grad_norm),
        lr,
        factor: if peak > 0.0 { lr / peak } else { 1.0 },
        stages: Some(all),
        response: line.response,
        ..StepSignals::default()
    }
}

/// Facts and steps of a trace.
///
/// # Errors
/// If a line is no JSON object of this kind, or there is none. A last line that was cut off is left out.
pub fn read_trace(text: &str) -> Result<(RunFacts, Vec<StepSignals>), BadLine> {
    let expected = "a JSON object with step, cls, box and grad_norm";
    let lines: Vec<TraceLine> = json_lines(text, expected)?;
    if let Some(i) = lines.iter().position(|l| l.step > MOST_COUNT || l.epoch > MOST_COUNT) {
        return Err(BadLine { line: i + 1, found: format!("a count above {MOST_COUNT}"), expected });
    }
    if lines.is_empty() {
        return Err(BadLine { line: 1, found: "no whole line".into(), expected });
    }
    let peak = lines.iter().filter_map(|l| l.lr).fold(0.0, f64::max);
    let mut stages = stages();
    let steps: Vec<StepSignals> = lines.iter().map(|l| signals(l, peak, &mut stages)).collect();
    // By what the lines say of themselves: some may be missing.
    let (first, last) = (lines.first().map_or(0, |l| l.step), lines.last().map_or(0, |l| l.step));
    let second = lines.iter().find(|l| l.epoch > lines[0].epoch).map_or(last.saturating_add(1), |l| l.step);
    let per_epoch = second.saturating_sub(first).max(1);
    let facts = RunFacts {
        stages,
        total_steps: last,
        steps_per_epoch: per_epoch,
        batch: lines.first().map_or(1, |l| count(l.pos_per_image.len())),
        micro_batch: 1,
        lr: peak,
        images: per_epoch.saturating_mul(lines.first().map_or(1, |l| l.pos_per_image.len() as u64)).min(MOST_COUNT),
        ..RunFacts::default()
    };
    Ok((facts, steps))
}
