//! The epoch sampler: which images an epoch shows, and how often. Each is shown once, unless the watchdog leaves some
//! out or repeats some.
//!
//! An epoch keeps its length, so that the schedule still fits the run. Repetitions take their places from images that
//! are not repeated, places left free go to the others in turn (re-sampling as in Gupta et al. 2019, "LVIS", section
//! 4). Without adjustments it is the plain shuffle, to the last bit.

use crate::data::EpochPlan;
use crate::watchdog::Adjustments;

/// The part of the adjustments that decides which images are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixture {
    /// Sorted.
    aside: Vec<u32>,
    repeated: Vec<u32>,
    times: u32,
}

impl Mixture {
    pub fn of(now: &Adjustments) -> Self {
        Self { aside: now.set_aside.clone(), repeated: now.repeated.clone(), times: now.times.max(1) }
    }

    /// The plan of an epoch over `len` images: always `len` places.
    pub fn plan(&self, len: usize, seed: u64, epoch: u64) -> EpochPlan {
        let kept: Vec<usize> = (0..len).filter(|i| self.aside.binary_search(&(*i as u32)).is_err()).collect();
        // Nothing left to show would be no cure.
        if kept.is_empty() || kept.len() == len && self.repeated.is_empty() {
            return EpochPlan::shuffled(len, seed, epoch);
        }
        let is_repeated = |i: &usize| self.repeated.contains(&(*i as u32));
        let (mut order, others): (Vec<usize>, Vec<usize>) = kept.iter().partition(|i| is_repeated(i));
        let once = order.clone();
        (1..self.times).for_each(|_| order.extend(&once));
        order.truncate(len);
        // Other images in another order every epoch, so that none is left out for good.
        let turn = EpochPlan::shuffled_from(if others.is_empty() { kept } else { others }, seed, epoch);
        let free = len - order.len();
        order.extend(turn.order().iter().cycle().take(free));
        EpochPlan::shuffled_from(order, seed, epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(plan: &EpochPlan, len: usize) -> Vec<usize> {
        let mut counts = vec![0; len];
        plan.order().iter().for_each(|&i| counts[i] += 1);
        counts
    }

    #[test]
    fn nothing_adjusted_is_the_plain_shuffle() {
        let plain = Mixture::of(&Adjustments::default());
        assert_eq!(plain.plan(31, 5, 2), EpochPlan::shuffled(31, 5, 2));
    }

    #[test]
    fn an_epoch_keeps_its_length() {
        let aside = Mixture::of(&Adjustments { set_aside: (0..10).collect(), ..Adjustments::default() });
        let shown = counts(&aside.plan(30, 1, 0), 30);
        assert!(shown[..10].iter().all(|n| *n == 0) && shown[10..].iter().all(|n| (1..=2).contains(n)), "{shown:?}");
        let often = Mixture::of(&Adjustments { repeated: vec![3, 7], times: 6, ..Adjustments::default() });
        let mut total = vec![0; 30];
        for epoch in 0..20 {
            let shown = counts(&often.plan(30, 1, epoch), 30);
            assert!(shown[3] == 6 && shown[7] == 6 && shown.iter().sum::<usize>() == 30, "{shown:?}");
            total.iter_mut().zip(shown).for_each(|(sum, n)| *sum += n);
        }
        assert!(total.iter().all(|n| *n >= 5), "{total:?}");
        let none = Mixture::of(&Adjustments { set_aside: (0..30).collect(), ..Adjustments::default() });
        assert_eq!(none.plan(30, 1, 0).len(), 30);
    }
}
