//! Rules for faults inside the network: dead and saturated stages, vanishing and exploding gradients, a collapsed
//! backbone.

use crate::watchdog::diagnosis::percent;
use crate::watchdog::digest::Digest;
use crate::watchdog::facts::{RunFacts, StageKind};
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;
use crate::watchdog::signals::StageSignals;
use crate::watchdog::symptoms::{ALPHA, median, spike};

/// Share of dead channels of a dead stage. A ReLU6 network lives with half of its channels dead, and a pretrained file
/// may arrive with 84 % in its last layer.
const DEAD: f64 = 0.97;

/// Share of the channels of a saturated stage whose mean output is at ReLU6's upper bound; healthy stages have a few per cent.
const SATURATED: f64 = 0.6;

/// Response below which a backbone's output ignores the image: measured 0 to 0.04, against 0.47 to 0.9 in health.
const DEAF: f64 = 0.05;

/// The stage alone is at fault if those before it are well, and if it was so from the beginning or became so between two
/// looks: a slow death is the rate's doing.
fn lone(view: &RuleView, level: f64, figure: impl Fn(&StageSignals) -> f32) -> Option<Lone> {
    let looks: Vec<&Digest> = view.looks().collect();
    let [.., before, last] = looks.as_slice() else { return None };
    let at = |d: &Digest, i: usize| d.stages.get(i).map_or(0.0, |s| f64::from(figure(s)));
    let affected = (0..view.facts.stages.len()).find(|&i| at(before, i).min(at(last, i)) >= level)?;
    let neighbour_is_well = affected == 0 || at(last, affected - 1) < 0.6 * level;
    let series: Vec<f64> = looks.iter().map(|d| at(d, affected)).collect();
    let from_the_start = view.first_look(affected).is_some_and(|s| f64::from(figure(s)) >= 0.93 * level);
    let jumped = series.windows(2).any(|w| w[0] < 0.6 * level && w[1] >= level);
    let found = Lone { stage: affected, share: at(last, affected), from_the_start };
    (neighbour_is_well && (from_the_start || jumped)).then_some(found)
}

struct Lone {
    stage: usize,
    share: f64,
    from_the_start: bool,
}

/// Stages that are dead or saturated before the first step, while those before them are well.
pub fn silent_from_the_start(facts: &RunFacts) -> Option<CauseFound> {
    let at = |stage: usize, part: usize| f64::from(facts.silent[stage][part]);
    (0..facts.silent.len()).find_map(|stage| {
        let (part, level) = [(0, DEAD), (1, SATURATED)].into_iter().find(|&(part, level)| at(stage, part) >= level)?;
        let neighbour_is_well = stage == 0 || at(stage - 1, part) < 0.6 * level;
        let found = Lone { stage, share: at(stage, part), from_the_start: true };
        neighbour_is_well.then(|| if part == 0 { dead(facts, &found) } else { saturated(facts, &found) })
    })
}

/// A dead head starves its feature map.
fn named(facts: &RunFacts, stage: usize, otherwise: CauseEvidence) -> CauseEvidence {
    let kind = facts.stages.get(stage).map(|s| s.kind);
    match kind {
        None | Some(StageKind::Backbone | StageKind::Extra) => otherwise,
        Some(kind) => facts
            .of_kind(kind)
            .position(|i| i == stage)
            .map_or(otherwise, |map| CauseEvidence::FeatureMapStarves { map }),
    }
}

pub fn dead_stage(view: &RuleView) -> Option<CauseFound> {
    Some(dead(view.facts, &lone(view, DEAD, |s| s.dead)?))
}

fn dead(facts: &RunFacts, &Lone { stage, share, from_the_start }: &Lone) -> CauseFound {
    let sentence = format!(
        "{} of the channels of {} are zero for every image, while the stages before it are alive: nothing passes, neither \
         forward nor back",
        percent(share),
        facts.stage_name(stage)
    );
    let found = CauseFound::new(named(facts, stage, CauseEvidence::DeadStage { stage, from_the_start }), 0.9, sentence);
    found.with("dead", share).with("from_start", f64::from(u8::from(from_the_start)))
}

pub fn saturated_stage(view: &RuleView) -> Option<CauseFound> {
    Some(saturated(view.facts, &lone(view, SATURATED, |s| s.saturated)?))
}

fn saturated(facts: &RunFacts, &Lone { stage, share, from_the_start }: &Lone) -> CauseFound {
    let sentence = format!(
        "{} of the channels of {} are at the upper bound of ReLU6 for every image, where the slope is zero: they pass no signal and no gradient",
        percent(share),
        facts.stage_name(stage)
    );
    let found =
        CauseFound::new(named(facts, stage, CauseEvidence::SaturatedStage { stage, from_the_start }), 0.9, sentence);
    found.with("saturated", share).with("from_start", f64::from(u8::from(from_the_start)))
}

pub fn collapsed(view: &RuleView) -> Option<CauseFound> {
    let (confidence, said, name, value) = by_response(view).or_else(|| by_death(view))?;
    let warm = view.hottest(1, &[StageKind::Backbone]).filter(|(_, ratio)| *ratio > 1e-4);
    let because = warm.map_or(String::new(), |(stage, ratio)| {
        format!("; {} moves by {} of its weights a step", view.facts.stage_name(stage), percent(ratio))
    });
    let blind = view.blind_class_loss().zip(view.middle(2, |d| f64::from(d.class_loss)));
    let parked = blind.map_or(String::new(), |(blind, loss)| {
        format!("; the class loss is {loss:.2}, {blind:.2} is what a network that sees nothing gets")
    });
    let found = CauseFound::new(CauseEvidence::BackboneCollapsed, confidence, format!("{said}{because}{parked}"));
    Some(found.with(name, value))
}

type Collapse = (f32, String, &'static str, f64);

/// Every image looks alike to the heads, and did not before.
fn by_response(view: &RuleView) -> Option<Collapse> {
    let seen = view.memory.digests.iter().filter_map(|d| d.response);
    let seen: Vec<f64> = seen.map(f64::from).collect();
    let first = view.memory.first.as_ref()?.response.map(f64::from);
    let start = view.facts.response.into_iter().chain(first).reduce(f64::max)?;
    if seen.len() < 2 {
        return None;
    }
    let now = median(&seen[seen.len() - 2..]);
    if now > DEAF && (now > 0.12 || now > 0.2 * start) || now > 0.4 * start {
        return None;
    }
    let said = format!(
        "the backbone's output differs between images by {now:.3} of its size, at the start it was {start:.2}: all images \
         look alike to the heads"
    );
    Some((0.95, said, "response", now))
}

/// Without a measured response: its last stage has died, and the one before is dying.
fn by_death(view: &RuleView) -> Option<Collapse> {
    if view.last()?.response.is_some() {
        return None;
    }
    let last = view.last_backbone()?;
    let before = last.checked_sub(1)?;
    let (now, next) = (view.stage(2, last, |s| s.dead)?, view.stage(2, before, |s| s.dead)?);
    let start = view.first_look(last).map_or(0.0, |s| f64::from(s.dead));
    if now < 0.87 || next < 0.55 || now < start + 0.3 {
        return None;
    }
    let [a, b] = [last, before].map(|i| view.facts.stage_name(i));
    let said = format!(
        "{} of the channels of {a} and {} of those of {b} have died; {} were dead at the first look",
        percent(now),
        percent(next),
        percent(start)
    );
    Some((0.85, said, "dead", now))
}

/// Looks at which a stage's gradient is of this figure, while it was let learn.
fn gradients(view: &RuleView, stage: usize) -> Vec<f64> {
    let held = |d: &&Digest| {
        view.facts.stages.get(stage).is_some_and(|s| s.kind == StageKind::Backbone)
            && d.step <= view.facts.held_steps + 16
    };
    view.looks().filter(|d| !held(d)).filter_map(|d| d.stages.get(stage)).map(|s| f64::from(s.grad_norm)).collect()
}

/// A trained stage that gets next to no gradient while others do. Heads are the feature maps' affair.
pub fn vanishes(view: &RuleView) -> Option<CauseFound> {
    const LOOKS: usize = 4;
    const NEXT_TO_NONE: f64 = 1e-5;
    /// Anchors that an object matches.
    const ANCHORS: f64 = 4.0;
    let shares = view.shares(|d| &d.maps);
    let total: u64 = shares.iter().map(|s| s.0).sum();
    let steps: u64 = view.memory.digests.iter().map(|d| u64::from(d.steps)).sum();
    // An extra learns from its own map (after the backbone's two) and the smaller ones: without objects there it rests,
    // and so many looks must see nothing that it is no chance. A look sees one step, an object matches some anchors.
    let enough_looks = |stage: usize| {
        let extra = view.facts.of_kind(StageKind::Extra).position(|i| i == stage);
        let Some(extra) = extra.filter(|_| total > 0) else { return LOOKS };
        let share = shares.iter().skip(extra + 2).map(|s| s.0).sum::<u64>() as f64 / total as f64;
        // Objects of one photo are of like size, so that a photo counts once.
        let objects = (total as f64 / ANCHORS / steps.max(1) as f64).min(f64::from(view.facts.batch));
        let looks = ALPHA.ln() / ((1.0 - share).max(1e-9).ln() * objects).min(-1e-9);
        LOOKS.max(looks.ceil() as usize)
    };
    let body = (0..view.facts.stages.len()).filter(|&i| {
        let kind = view.facts.stages[i].kind;
        view.facts.stages[i].trained && matches!(kind, StageKind::Backbone | StageKind::Extra)
    });
    let last: Vec<(usize, f64)> = body
        .filter_map(|i| {
            let seen = gradients(view, i);
            let looks = enough_looks(i);
            (seen.len() >= looks).then(|| (i, seen[seen.len() - looks..].iter().copied().fold(0.0, f64::max)))
        })
        .collect();
    let usual = view.middle(LOOKS, |d| f64::from(d.grad_norm))?;
    let (stage, norm) = last.into_iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    if usual == 0.0 || norm > NEXT_TO_NONE * usual {
        return None;
    }
    let sentence = format!(
        "over {LOOKS} looks and more {} got a gradient of at most {norm:.0e}, the whole network {usual:.1}: it does not learn",
        view.facts.stage_name(stage)
    );
    Some(
        CauseFound::new(CauseEvidence::GradientsVanish { stage }, 0.85, sentence)
            .with("grad_norm", norm)
            .with("usual", usual),
    )
}

/// A stage whose gradient has left its own past behind, twice in a row.
pub fn explodes(view: &RuleView) -> Option<CauseFound> {
    const TIMES: f64 = 50.0;
    // Heads get a gradient only where objects match their map: theirs comes and goes.
    let body = |i: &usize| {
        view.facts.stages[*i].trained && matches!(view.facts.stages[*i].kind, StageKind::Backbone | StageKind::Extra)
    };
    let worst = (0..view.facts.stages.len()).filter(body).filter_map(|i| {
        let logs: Vec<f64> = gradients(view, i).into_iter().filter(|g| *g > 0.0).map(f64::ln).collect();
        let (before, last) = logs.split_at(logs.len().checked_sub(2)?);
        let lowest = last[0].min(last[1]);
        let rise = lowest - median(before);
        (before.len() >= 8 && spike(before, lowest) > 8.0 && rise > TIMES.ln()).then(|| (i, rise.exp()))
    });
    let (stage, times) = worst.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let sentence = format!(
        "the gradient of {} is {times:.0} times what it was, twice in a row, and outweighs all others",
        view.facts.stage_name(stage)
    );
    Some(CauseFound::new(CauseEvidence::GradientsExplode { stage }, 0.85, sentence).with("times", times))
}
