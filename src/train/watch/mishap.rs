//! Faults that are injected into a run on purpose, for the stagnation bench and for tests: only such as no input file
//! could cause.

use crate::loss::Targets;
use crate::train::state::TrainState;

/// Deltas no photo has: a box a million times too large.
const ABSURD: f32 = 1e4;

/// A fault of one moment or one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The loss of this step, counted from 0, is NaN.
    NotANumber { step: u64 },
    /// Before this step a bit of a weight of the last layer that is trained flips, as in memory without error correction.
    FlippedBit { step: u64 },
    /// The boxes of this training image are absurd whenever it is shown.
    OutrageousImage { index: usize },
}

impl Mishap {
    /// Spoils the targets of a micro-batch; `indices` are those of its images in the split.
    pub(in crate::train) fn spoil(self, targets: &mut [Targets], indices: &[usize]) {
        let Mishap::OutrageousImage { index } = self else { return };
        for (targets, _) in targets.iter_mut().zip(indices).filter(|(_, i)| **i == index) {
            targets.positives.iter_mut().for_each(|(_, deltas)| deltas.fill(ABSURD));
        }
    }

    /// Flips the highest bit of a weight's exponent, if it is time.
    pub(in crate::train) fn flip(self, state: &mut TrainState) {
        if self != (Mishap::FlippedBit { step: state.progress.step }) {
            return;
        }
        let trained = state.model.layers.iter_mut().rev().find(|layer| layer.is_trained());
        trained.into_iter().for_each(|layer| {
            layer.update(|weight, _, _| weight[0] = f32::from_bits(weight[0].to_bits() ^ 1 << 30));
        });
    }

    /// True if the loss of this step is to be NaN.
    pub(in crate::train) fn strikes(self, step: u64) -> bool {
        self == Mishap::NotANumber { step }
    }
}
