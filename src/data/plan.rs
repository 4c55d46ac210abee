//! The order of the records in one epoch, decided before the first is read.

use rand_pcg::Pcg64Mcg;

use super::draw::{Draw, generator};

/// The order of one epoch and the random stream of each place in it.
///
/// Both follow from seed and epoch alone. Resuming means making the same plan and starting at a later position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPlan {
    order: Vec<usize>,
    seed: u64,
    epoch: u64,
}

/// The stream that shuffles; positions count up from 0 and never reach it.
const SHUFFLE: u64 = u64::MAX;

impl EpochPlan {
    /// A seeded permutation of `0..len`: each record exactly once.
    pub fn shuffled(len: usize, seed: u64, epoch: u64) -> Self {
        Self::shuffled_from((0..len).collect(), seed, epoch)
    }

    /// A seeded order of the given record indices, each as often as it is given: for setting records aside, or
    /// showing some more often.
    pub fn shuffled_from(indices: Vec<usize>, seed: u64, epoch: u64) -> Self {
        let mut order = indices;
        generator(seed, epoch, SHUFFLE).shuffle(&mut order);
        Self { order, seed, epoch }
    }

    /// `0..len` as it stands: for evaluation.
    pub fn in_order(len: usize) -> Self {
        Self { order: (0..len).collect(), seed: 0, epoch: 0 }
    }

    /// Record index at each position.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Number of samples of the epoch.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The generator of the sample at `position`, independent of every other.
    pub fn generator(&self, position: usize) -> Pcg64Mcg {
        generator(self.seed, self.epoch, position as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_comes_exactly_once_and_epochs_differ() {
        let plans: Vec<EpochPlan> = (0..5).map(|epoch| EpochPlan::shuffled(101, 7, epoch)).collect();
        for plan in &plans {
            let mut sorted = plan.order().to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..101).collect::<Vec<_>>());
        }
        assert!(plans.windows(2).all(|p| p[0].order() != p[1].order()));
        assert_ne!(EpochPlan::shuffled(101, 8, 0).order(), plans[0].order());
        assert_eq!(EpochPlan::shuffled(101, 7, 0), plans[0]);
    }

    #[test]
    fn a_chosen_set_keeps_its_repetitions() {
        let mut order = EpochPlan::shuffled_from(vec![4, 4, 9, 2], 1, 1).order().to_vec();
        order.sort_unstable();
        assert_eq!(order, [2, 4, 4, 9]);
        assert!(EpochPlan::shuffled_from(Vec::new(), 1, 1).is_empty());
    }
}
