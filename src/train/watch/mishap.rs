//! Faults that are injected into a run on purpose, for the stagnation bench and for tests: only such as no input file
//! could cause.

use crate::loss::Targets;

/// Deltas no photo has: a box a million times too large.
const ABSURD: f32 = 1e4;

/// A fault of one moment or one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The loss of this step, counted from 0, is NaN.
    NotANumber { step: u64 },
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

    /// True if the loss of this step is to be NaN.
    pub(in crate::train) fn strikes(self, step: u64) -> bool {
        self == Mishap::NotANumber { step }
    }
}
