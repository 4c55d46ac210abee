//! Images that are probably labelled wrongly: a robust rank of every image's losses over the epochs, and the network's
//! scores beside its labels.
//!
//! A wrong label is a loss that does not go away while those of its neighbours do. One epoch is noisy (augmentation,
//! a moving network), so each epoch's losses become robust deviations within that epoch (log, median, MAD: immune to
//! scale and to the many wrong ones), and an image's score is their forgetful mean, late epochs counting most.
//!
//! Four parts of the loss tell what is wrong. The cross-entropy of a matched anchor is the sum of two:
//! `-ln(1 - p(background))`, is there an object (*placing*), and `-ln p(label | object)`, which one is it (*naming*).
//! *Mined*: class loss of the hardest other anchors. *Boxes*: localisation. Boxes elsewhere: placing, mined and boxes
//! (nothing is where the label says, and the object that is there goes unlabelled). Another class's label: naming only.
//! An unlabelled object: mined only.
//!
//! Losses are high where photos are hard, too. Another sign tells a box that is elsewhere from a hard photo:
//! something is seen beside the label rather than on it ([`Presence`](super::Presence)).
//!
//! Naming has a natural zero, too: where the network, shown an object, holds its label for less likely than a guess
//! would, epoch after epoch, it *contradicts* the label (confident learning, Northcutt et al. 2021, with the guess as
//! the threshold).

use super::symptoms::{binomial_tail, normal_tail};
use serde::{Deserialize, Serialize};

/// Deviations at which an image stands out.
pub const OUTSTANDING: f64 = 3.3;

/// Deviations at which an image is apart from the others, 2 % of normal ones are.
const APART: f32 = 2.0;

/// Naming loss, against a guess's, from which on it counts in full.
const DOUBTFUL: f32 = 0.5;

/// Images named at most.
pub const NAMED: usize = 120;

/// Parts of an image's loss, in the order of [`ImageSignals`].
pub const PARTS: usize = 4;
pub const NAMING: usize = 1;
pub const MINED: usize = 2;

/// Losses of one image in one step, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageSignals {
    pub index: u32,
    pub positives: u32,
    /// Of the matched anchors: is there an object?
    pub placing: f32,
    /// Of the matched anchors: which one is it?
    pub naming: f32,
    /// Class loss of the mined negatives.
    pub mined: f32,
    pub boxes: f32,
}

impl ImageSignals {
    pub(super) fn parts(&self) -> [f64; PARTS] {
        let n = f64::from(self.positives.max(1));
        [self.placing, self.naming, self.mined, self.boxes].map(|v| f64::from(v) / n)
    }

    /// Loss per positive.
    pub fn total(&self) -> f64 {
        self.parts().iter().sum()
    }
}

/// One image: by how many robust deviations its losses stand out, and its naming loss against that of a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    pub index: u32,
    pub placing: f32,
    pub naming: f32,
    pub mined: f32,
    pub boxes: f32,
    /// Mean naming loss over the logarithm of the number of classes: 1 is as good as guessing.
    pub guess: f32,
    /// By how many deviations of the sound ones another place is better than that of its boxes; `None` where that tells
    /// nothing in this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub displaced: Option<f32>,
    /// By how many deviations of the sound ones its objects look like other classes than their labels say; `None` where
    /// that tells nothing in this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<f32>,
}

impl Suspect {
    /// How much the boxes are in doubt: more is seen beside them than where they are, or all their losses stand out.
    pub fn misplaced(&self) -> f64 {
        f64::from(self.displaced.unwrap_or((self.placing + 0.5 * self.mined + 0.5 * self.boxes) / 1.22))
    }

    /// How much the classes are in doubt: in place, but called otherwise, or of another appearance. A loss far above
    /// the others' is little doubt where they are all next to nothing.
    pub fn swapped(&self) -> f64 {
        f64::from(self.doubt.unwrap_or(self.naming * (self.guess / DOUBTFUL).min(1.0)))
    }

    /// How much it looks as if objects had no label.
    pub fn unlabelled(&self) -> f64 {
        f64::from(self.mined)
    }

    /// True if the network holds the labels for less likely than a guess would, and those of most images not.
    pub fn is_contradicted(&self) -> bool {
        self.guess > 1.0 && self.naming > APART
    }

    /// The rank of an image: the strongest of the three doubts.
    pub fn score(&self) -> f64 {
        self.misplaced().max(self.swapped()).max(self.unlabelled())
    }
}

/// The state of suspicion at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Epochs behind the scores.
    pub epochs: u32,
    pub images: u32,
    /// Images that stand out by a part: placing, naming, mined, boxes.
    pub outstanding: [u32; PARTS],
    /// Images whose labels the network contradicts, and the median image's naming loss against a guess.
    pub contradicted: u32,
    pub usual_guess: f32,
    /// The most suspicious, best first.
    pub worst: Vec<Suspect>,
}

impl Suspicion {
    /// Chance of so many images standing out by a part if their deviations were normal and measured a fifth too large,
    /// which the low quantiles of 150 images may do.
    pub fn level(&self, part: usize) -> f64 {
        let n = u64::from(self.images);
        binomial_tail(u64::from(self.outstanding[part]), n, normal_tail(0.8 * OUTSTANDING))
    }

    /// As [`Suspicion::level`], of so many images being contradicted.
    pub fn contradiction(&self) -> f64 {
        let (k, n) = (u64::from(self.contradicted), u64::from(self.images));
        binomial_tail(k, n, normal_tail(0.8 * f64::from(APART)))
    }
}
