//! The judgement of a run's advice: is what it names first what lifts AP most?

use crate::watchdog::{Limit, Remedy};

/// Gain in AP below which nothing is to be had, and by which two gains differ at all.
const TOLD: f64 = 0.02;

/// Limits that are looked through.
const FIRST: usize = 3;

/// The advice of a run beside the gains that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The first limit's remedy is among the best, or nothing was named and nothing is to be had.
    pub first: bool,
    /// The same of the first three limits.
    pub among: bool,
    /// A gain was predicted for the first limit, and the measured one lies within its bounds or .03 beside them.
    pub predicted: Option<bool>,
}

impl Judgement {
    /// `measured` has the gain of each remedy that was tried.
    pub fn of(limits: &[Limit], measured: &[(Remedy, f64)]) -> Self {
        let told: Vec<&Limit> = limits.iter().filter(|l| !l.remedies.contains(&Remedy::OtherJudges)).collect();
        let best = measured.iter().map(|(_, gain)| *gain).fold(f64::NEG_INFINITY, f64::max);
        if best < TOLD {
            let silent = told.iter().all(|l| l.gain.is_some_and(|[low, _]| f64::from(low) < TOLD));
            return Self { first: silent, among: silent, predicted: None };
        }
        let is_best = |remedy: &Remedy| measured.iter().any(|(r, gain)| r == remedy && *gain >= best - TOLD);
        let names_best = |limit: &&Limit| limit.remedies.first().is_some_and(&is_best);
        let first = told.first();
        let predicted = first.and_then(|limit| {
            let [low, high] = limit.gain?.map(f64::from);
            let gain = measured.iter().find(|(r, _)| Some(r) == limit.remedies.first())?.1;
            // Gains are told of AP50, which moves at least as far as AP where boxes are sound.
            Some((low - 0.03..=high + 0.03).contains(&gain))
        });
        Self { first: first.is_some_and(names_best), among: told.iter().take(FIRST).any(names_best), predicted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::LimitKind;

    fn limit(kind: LimitKind, gain: Option<[f32; 2]>) -> Limit {
        Limit { gain, ..Limit::new(kind, String::new(), String::new()) }
    }

    #[test]
    fn advice_is_right_where_its_first_remedy_is_among_the_best() {
        let measured = [(Remedy::Longer, 0.10), (Remedy::LargerInput, 0.09), (Remedy::MorePhotos, 0.01)];
        let longer = limit(LimitKind::StillLearning, Some([0.05, 0.12]));
        let photos = limit(LimitKind::Missed, Some([0.0, 0.3]));
        let judges = limit(LimitKind::FewJudged, None);
        let right = Judgement::of(&[judges.clone(), longer.clone(), photos.clone()], &measured);
        assert_eq!(right, Judgement { first: true, among: true, predicted: Some(true) });
        let second = Judgement::of(&[photos, longer.clone()], &measured);
        assert_eq!((second.first, second.among), (false, true));
        assert_eq!(Judgement::of(&[], &measured), Judgement::default());
        let nothing = [(Remedy::Longer, 0.01), (Remedy::MorePhotos, -0.02)];
        assert!(Judgement::of(&[judges], &nothing).first, "silence is right where nothing is to be had");
        assert!(!Judgement::of(&[longer], &nothing).first);
    }
}
