//! Learning rate, weight decay, batch: how far a step goes against what it should.
//!
//! The measure is the norm of a step over the norm of the weights it moves. Adam's steps have the length of the rate
//! whatever the gradient, so this ratio shows a wrong rate at once, long before the loss does. Ratios of healthy runs and
//! of one with thirty times the rate were measured on real photos; the levels stand at their geometric middle.
//!
//! The measure presumes that there is something to be lost. A predictor alone (a plain SSD's, without a depthwise layer
//! before it) that starts fresh has weights near zero, and a sound run moves it by 3 to 6 % a step; nothing builds on its
//! output but the loss, which shows at once if that is too much. Such stages are left out.

use crate::watchdog::diagnosis::percent;
use crate::watchdog::facts::StageKind;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;
use crate::watchdog::signals::{EpochSignals, short};
use crate::watchdog::symptoms::{ALPHA, higher, median, oscillation, trend};

/// Update ratio above which stages of a kind run too hot: backbone, extras, heads.
pub const HOT: [(StageKind, f64); 4] =
    [(StageKind::Backbone, 6e-4), (StageKind::Extra, 6e-3), (StageKind::BoxHead, 1e-3), (StageKind::ClassHead, 1e-3)];

/// Times the hot level at which no damage needs to be waited for, in at least two kinds of stages.
const GLARING: f64 = 1.5;

/// Update ratio at full rate below which nothing moves.
const COLD: f64 = 6e-5;

/// Heat of the stages that are moved: ratio over the hot level of their kind, hottest first, at most one a kind.
fn heats(view: &RuleView, n: usize) -> Vec<(usize, f64, f64)> {
    let kinds = HOT.iter().filter_map(|&(kind, level)| {
        let (stage, ratio) = view.hottest(n, &[kind])?;
        let level = level * view.facts.tolerance;
        (ratio > 0.0).then_some((stage, ratio, ratio / level))
    });
    let mut heats: Vec<_> = kinds.collect();
    heats.sort_by(|a, b| b.2.total_cmp(&a.2));
    heats
}

pub fn too_high(view: &RuleView) -> Option<CauseFound> {
    let heats = heats(view, 1);
    let &(stage, ratio, heat) = heats.first()?;
    let hot_kinds = heats.iter().filter(|h| h.2 > GLARING).count();
    let loss: Vec<f64> = view.recent(64).iter().map(|d| d.loss()).collect();
    let risen = rise(&loss);
    let swings = oscillation(&loss).filter(|o| o.level < ALPHA);
    let name = view.facts.stage_name(stage);
    let moved = format!("a step moves {name} by {} of its weights", percent(ratio));
    let found = |confidence: f32, what: String| {
        let sentence = format!("{moved}, {heat:.1} times what keeps it whole; {what}");
        CauseFound::new(CauseEvidence::RateTooHigh { heat: short(heat) }, confidence, sentence)
            .with("update_ratio", ratio)
            .with("heat", heat)
    };
    if let Some(times) = risen
        && heat > 0.7
    {
        return Some(found(0.95, format!("the loss has risen to {times:.1} times its lowest")).with("rise", times));
    }
    if hot_kinds >= 2 {
        let also = view.facts.stage_name(heats[1].0);
        return Some(found(0.9, format!("{also} goes by {}", percent(heats[1].1))));
    }
    let swings = swings.filter(|_| heat > 0.7)?;
    let what = format!("the loss swings from one look to the next (ratio {:.2}, 2 is noise)", swings.ratio);
    Some(found(0.7, what).with("swing", swings.ratio))
}

/// How many times its lowest the loss has risen to, where that is no chance.
fn rise(loss: &[f64]) -> Option<f64> {
    const LATEST: usize = 4;
    if loss.len() < 2 * LATEST {
        return None;
    }
    let (before, after) = loss.split_at(loss.len() - LATEST);
    let lowest = before.windows(LATEST).map(median).fold(f64::INFINITY, f64::min);
    let times = median(after) / lowest;
    let low: Vec<f64> = before.iter().copied().filter(|l| *l < 1.2 * lowest).collect();
    (times > 1.5 && after.iter().all(|l| *l > 1.25 * lowest) && higher(&low, after) < 0.02).then_some(times)
}

/// Nothing moves although the schedule lets it.
pub fn too_low(view: &RuleView) -> Option<CauseFound> {
    const LOOKS: usize = 4;
    let looks: Vec<_> = view.looks().filter(|d| d.factor > 0.1).collect();
    if looks.len() < LOOKS {
        return None;
    }
    // By what the rate will be at its highest: a rate that is still rising is not too low.
    let at_full = |stage: usize| {
        let ratios: Vec<f64> = looks[looks.len() - LOOKS..]
            .iter()
            .filter_map(|d| d.stages.get(stage).map(|s| f64::from(s.update_ratio) / f64::from(d.factor)))
            .collect();
        median(&ratios)
    };
    let gauges = (0..view.facts.stages.len()).filter(|&i| view.facts.stages[i].is_gauge());
    let (stage, ratio) = gauges.map(|i| (i, at_full(i))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    if ratio == 0.0 || ratio > COLD {
        return None;
    }
    let (now, start) = (view.middle(2, |d| d.loss())?, view.start_loss()?.iter().sum::<f64>());
    if now < 0.8 * start {
        return None;
    }
    let name = view.facts.stage_name(stage);
    let sentence = format!(
        "even {name}, which moves most, moves by {ratio:.0e} of its weights a step at the full rate of {:.1e}; the loss went \
         from {start:.2} to {now:.2}",
        view.facts.lr
    );
    let evidence = CauseEvidence::RateTooLow { update_ratio: short(ratio) };
    Some(CauseFound::new(evidence, 0.95, sentence).with("update_ratio", ratio).with("loss", now))
}

/// Weights shrink, by what decay explains.
pub fn weight_decay(view: &RuleView) -> Option<CauseFound> {
    let trained: Vec<usize> = (0..view.facts.stages.len()).filter(|&i| view.facts.stages[i].trained).collect();
    let norm = |d: &crate::watchdog::digest::Digest| {
        trained.iter().filter_map(|&i| d.stages.get(i)).map(|s| f64::from(s.weight_norm).powi(2)).sum::<f64>().sqrt()
    };
    let looks: Vec<_> = view.looks().collect();
    let norms: Vec<f64> = looks.iter().map(|d| norm(d)).collect();
    let (first, last) = (*norms.first()?, *norms.last()?);
    if first == 0.0 || last > 0.9 * first || trend(&norms)?.falling() > ALPHA {
        return None;
    }
    let per_digest = looks.windows(2).map(|w| f64::from(w[1].lr) * w[1].step.saturating_sub(w[0].step) as f64);
    let explained = per_digest.sum::<f64>() * view.facts.weight_decay;
    let fallen = (first / last).ln();
    if explained < 0.5 * fallen {
        return None;
    }
    let sentence = format!(
        "the weights' norm fell by {} within {} steps; a weight decay of {:.0e} explains {} of it",
        percent(1.0 - last / first),
        looks.last()?.step.saturating_sub(looks.first()?.step),
        view.facts.weight_decay,
        percent((explained / fallen).min(1.0)),
    );
    Some(CauseFound::new(CauseEvidence::WeightDecayTooLarge, 0.9, sentence).with("fall", 1.0 - last / first))
}

/// Noise far above signal while the loss stands still (McCandlish et al. 2018).
///
/// In healthy runs on photos with a batch of two the noise is as far above the signal as can be measured, and the loss
/// often stands for hundreds of steps before the rate comes down. So more than one image has to stand still for epochs,
/// without progress on validation images either.
pub fn batch_too_small(view: &RuleView) -> Option<CauseFound> {
    const LOOKS: usize = 24;
    const FAR: f64 = 100.0;
    let noise: Vec<f64> = view.recent(LOOKS).iter().filter_map(|d| d.noise.map(f64::from)).collect();
    if noise.len() < LOOKS || view.facts.batch > 8 || view.middle(1, |d| f64::from(d.factor))? < 0.2 {
        return None;
    }
    let loss: Vec<f64> = view.recent(LOOKS).iter().map(|d| d.loss()).collect();
    let standing = trend(&loss)?.falling() > 0.05 && (view.facts.batch == 1 || stands_for_epochs(view));
    let scale = median(&noise);
    if !standing || scale < FAR * f64::from(view.facts.batch) {
        return None;
    }
    let sentence = format!(
        "the gradient's noise is that of {scale:.0} images against {} in a batch, and the loss has not fallen over {} steps",
        view.facts.batch,
        view.last()?.step.saturating_sub(view.recent(LOOKS).first()?.step)
    );
    Some(CauseFound::new(CauseEvidence::BatchTooSmall, 0.7, sentence).with("noise_scale", scale))
}

/// Neither the training loss nor the validation AP has got anywhere over the last epochs.
fn stands_for_epochs(view: &RuleView) -> bool {
    const EPOCHS: usize = 5;
    let epochs = &view.memory.epochs;
    let Some(first) = epochs.len().checked_sub(EPOCHS) else { return false };
    let loss: Vec<f64> = epochs[first..].iter().map(|e| f64::from(e.training[0] + e.training[1])).collect();
    let best = |of: &[EpochSignals]| of.iter().filter_map(|e| e.ap).fold(0.0, f32::max);
    median(&loss[EPOCHS - 2..]) > 0.97 * median(&loss[..2]) && best(&epochs[first..]) <= best(&epochs[..first])
}
