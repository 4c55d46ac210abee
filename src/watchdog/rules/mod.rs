//! The rules: each looks for one cause in the signals of a run.
//!
//! A rule is a function of a [`RuleView`] that returns a diagnosis or nothing. It asks for an effect that matters and
//! for certainty that it is no chance; where several causes would show the same symptom it looks for what tells them
//! apart.
//! The order of [`ONLINE`] is the order of trust: a cause stands before its consequences.

mod class_counts;
mod data;
mod labels;
mod network;
mod numbers;
mod rate;
mod schedule;
mod sizes;
mod start;

pub use rate::HOT;
pub use start::{before, located};

use super::finding::CauseFound;
use super::history::RuleView;

type Rule = fn(&RuleView) -> Option<CauseFound>;

/// Looked at with every digest.
const ONLINE: [Rule; 16] = [
    numbers::poisonous_image,
    numbers::non_finite,
    data::no_positives,
    network::dead_stage,
    network::saturated_stage,
    schedule::decays_at_once,
    schedule::never_warms_up,
    rate::too_high,
    network::collapsed,
    network::explodes,
    rate::too_low,
    network::vanishes,
    data::feature_map_starves,
    rate::weight_decay,
    rate::batch_too_small,
    labels::parked,
];

/// Looked at after every epoch.
const EPOCHAL: [Rule; 4] = [labels::named, data::class_starves, data::overfitting, data::exhausted];

/// Diagnoses after a digest, most trusted first.
pub fn online(view: &RuleView) -> Vec<CauseFound> {
    at(view.last().map_or(0, |d| d.step), ONLINE.iter().filter_map(|rule| rule(view)))
}

/// Diagnoses after an epoch, most trusted first.
pub fn epochal(view: &RuleView) -> Vec<CauseFound> {
    at(view.memory.epochs.last().map_or(0, |e| e.step), EPOCHAL.iter().filter_map(|rule| rule(view)))
}

fn at(step: u64, found: impl Iterator<Item = CauseFound>) -> Vec<CauseFound> {
    found.map(|finding| finding.at(step)).collect()
}
