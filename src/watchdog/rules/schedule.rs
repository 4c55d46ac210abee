//! Rules for schedules that do not fit the run: before the first step where the schedule is known, and during
//! training.

use crate::watchdog::diagnosis::percent;
use crate::watchdog::finding::{CauseEvidence, CauseFound};
use crate::watchdog::history::RuleView;

/// Factor below which a rate does no work.
const IDLE: f32 = 0.05;

/// Share of the run that may be spent rising.
const RISE: f64 = 0.35;

/// The fault in factors at evenly spaced steps of the whole run.
pub fn misscaled(factors: &[f32]) -> Option<CauseFound> {
    if factors.len() < 16 {
        return None;
    }
    let n = factors.len() as f64;
    let peak = factors.iter().copied().fold(0.0, f32::max);
    let first = |wanted: &dyn Fn(&f32) -> bool| factors.iter().position(wanted).map_or(1.0, |i| i as f64 / n);
    let working = factors.iter().filter(|f| **f > IDLE).count() as f64 / n;
    let last = *factors.last()?;
    let risen = first(&|f| *f >= 0.5);
    if peak < 0.5 || risen > RISE {
        let sentence = format!(
            "the schedule reaches half of the rate {}; its peak within this run is {}",
            if risen < 1.0 { format!("after {} of the run only", percent(risen)) } else { "never".into() },
            percent(f64::from(peak)),
        );
        return Some(CauseFound::new(CauseEvidence::NeverWarmsUp, 0.95, sentence).with("peak", f64::from(peak)));
    }
    if working < 0.3 {
        let sentence = format!(
            "the schedule is above {} of the rate for {} of the run only; afterwards nothing is learned",
            percent(f64::from(IDLE)),
            percent(working)
        );
        return Some(CauseFound::new(CauseEvidence::DecaysAtOnce, 0.95, sentence).with("working", working));
    }
    // A constant rate is a choice; a decay that has hardly begun at the end is a mistake.
    let decays = last < 0.995 * peak;
    if decays && last > 0.4 * peak {
        let sentence = format!(
            "the rate still is {} of its peak at the run's last step: the schedule is made for a longer run",
            percent(f64::from(last / peak))
        );
        return Some(CauseFound::new(CauseEvidence::OutlastsRun, 0.9, sentence).with("left", f64::from(last / peak)));
    }
    None
}

/// A tenth of the run without a rate.
pub fn never_warms_up(view: &RuleView) -> Option<CauseFound> {
    let last = view.last()?;
    let share = last.step as f64 / view.facts.total_steps.max(1) as f64;
    let peak = view.memory.digests.iter().map(|d| d.factor).fold(0.0, f32::max);
    if !(RISE..0.9).contains(&share) || peak > 0.1 || view.memory.digests.len() < 4 || view.memory.since > 0 {
        return None;
    }
    // The memory is short: the first digest tells whether the rate was up before.
    if view.memory.first.as_ref().is_some_and(|d| d.factor > last.factor) {
        return None;
    }
    let sentence = format!(
        "{} of the run is over and the schedule still holds the rate at {} of what was asked for",
        percent(share),
        percent(f64::from(peak))
    );
    Some(CauseFound::new(CauseEvidence::NeverWarmsUp, 0.9, sentence).with("factor", f64::from(peak)))
}

/// The rate is gone while most of the run is ahead.
pub fn decays_at_once(view: &RuleView) -> Option<CauseFound> {
    let last = view.last()?;
    let share = last.step as f64 / view.facts.total_steps.max(1) as f64;
    let peak = view.memory.digests.iter().map(|d| d.factor).fold(0.0, f32::max);
    let gone = last.factor < 0.1 * IDLE && (peak > last.factor * 20.0 || view.memory.digests.len() > 12);
    let falling = view.recent(4).windows(2).all(|w| w[1].factor <= w[0].factor);
    if !gone || !falling || share > 0.5 || view.recent(4).len() < 4 || view.memory.since > 0 {
        return None;
    }
    let sentence = format!(
        "at step {} of {} the schedule has brought the rate down to {:.0e} of its full value",
        last.step, view.facts.total_steps, last.factor
    );
    Some(CauseFound::new(CauseEvidence::DecaysAtOnce, 0.9, sentence).with("factor", f64::from(last.factor)))
}
