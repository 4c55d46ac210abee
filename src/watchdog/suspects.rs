//! Which images are probably labelled wrongly? A robust rank of every image's losses over the epochs.
//!
//! A wrong label is a loss that does not go away while those of its neighbours do. One epoch is noisy (augmentation,
//! a moving network), so each epoch's losses become robust deviations within that epoch (log, median, MAD: immune to
//! scale and to the many wrong ones), and an image's score is their forgetful mean, late epochs counting most.
//!
//! Three parts tell what is wrong. *Matched*: class loss of the anchors on labelled objects. *Mined*: class loss of the
//! hardest other anchors. *Boxes*: localisation. Boxes elsewhere: all three (nothing is where the label says, and the
//! object that is there goes unlabelled). Another class's label: matched only. An unlabelled object: mined only.

use super::signals::short;
use super::symptoms::{binomial_tail, deviation, median, normal_tail, quantile};
use serde::{Deserialize, Serialize};

/// Share of the old score that is kept per epoch.
const KEEP: f64 = 0.8;

/// Deviations at which an image stands out.
pub const OUTSTANDING: f64 = 3.3;

/// Images named at most.
pub const NAMED: usize = 60;

/// Losses of one image in one step, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageLoss {
    pub index: u32,
    pub positives: u32,
    /// Matched anchors at which another class has the highest score.
    pub rivalled: u32,
    /// Class loss of the matched anchors.
    pub matched: f32,
    /// Class loss of the mined negatives.
    pub mined: f32,
    pub boxes: f32,
}

impl ImageLoss {
    fn parts(&self) -> [f64; 3] {
        let n = f64::from(self.positives.max(1));
        [self.matched, self.mined, self.boxes].map(|v| f64::from(v) / n)
    }

    /// Loss per positive.
    pub fn total(&self) -> f64 {
        self.parts().iter().sum()
    }
}

/// One image: by how many robust deviations its losses stand out, and the share of its matched anchors at which another
/// class than the label's has the highest score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    pub index: u32,
    pub matched: f32,
    pub mined: f32,
    pub boxes: f32,
    pub rivalled: f32,
}

impl Suspect {
    /// How much the boxes are in doubt: nothing is found where they are, something where they are not.
    pub fn misplaced(&self) -> f64 {
        f64::from(self.matched + 0.5 * self.mined + 0.5 * self.boxes) / 1.22
    }

    /// How much the classes are in doubt: in place, but called otherwise.
    pub fn swapped(&self) -> f64 {
        f64::from(self.matched - 0.3 * self.mined - 0.3 * self.boxes) / 1.09 + 4.0 * f64::from(self.rivalled)
    }

    /// How much it looks as if objects had no label.
    pub fn unlabelled(&self) -> f64 {
        f64::from(self.mined)
    }

    /// What images are ranked by: the strongest of the three doubts.
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
    /// Images that stand out by a part: matched, mined, boxes.
    pub outstanding: [u32; 3],
    /// Images of which most matched anchors are taken for another class, and the median image's share of such anchors.
    pub rivalled: u32,
    pub usual_rivals: f32,
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
}

/// Scores of all images so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    epochs: u32,
    /// By image: forgetful sums of deviations, three parts.
    sums: Vec<[f32; 3]>,
    /// By image: forgetful sums of the share of rivalled anchors.
    rivals: Vec<f32>,
    /// By image: forgetful counts.
    weights: Vec<f32>,
    /// This epoch's losses per positive: index and parts.
    current: Vec<(u32, [f32; 3])>,
    /// This epoch's shares of rivalled anchors, beside `current`.
    current_rivals: Vec<f32>,
}

impl Ledger {
    pub fn add(&mut self, images: &[ImageLoss]) {
        let parts = |i: &ImageLoss| i.parts().map(|v| if v.is_finite() { v as f32 } else { f32::MAX });
        self.current.extend(images.iter().map(|i| (i.index, parts(i))));
        let share = |i: &ImageLoss| i.rivalled as f32 / i.positives.max(1) as f32;
        self.current_rivals.extend(images.iter().map(share));
    }

    /// Ends an epoch.
    pub fn close(&mut self) -> Suspicion {
        let (current, rivals) = (std::mem::take(&mut self.current), std::mem::take(&mut self.current_rivals));
        let len = current.iter().map(|(i, _)| *i as usize + 1).max().unwrap_or(0).max(self.sums.len());
        self.sums.resize(len, [0.0; 3]);
        self.weights.resize(len, 0.0);
        self.rivals.resize(len, 0.0);
        if current.len() >= 8 {
            self.epochs += 1;
            self.sums
                .iter_mut()
                .flatten()
                .chain(&mut self.weights)
                .chain(&mut self.rivals)
                .for_each(|v| *v *= KEEP as f32);
            for part in 0..3 {
                let logs: Vec<f64> = current.iter().map(|(_, p)| f64::from(p[part]).max(1e-3).ln()).collect();
                let (centre, scale) = (median(&logs), deviation(&logs).max(0.05));
                for ((index, _), log) in current.iter().zip(&logs) {
                    // Bounded, so that one wild epoch does not make a suspect for good.
                    let deviations = ((log - centre) / scale).clamp(-6.0, 6.0);
                    self.sums[*index as usize][part] += ((1.0 - KEEP) * deviations) as f32;
                }
            }
            for ((index, _), share) in current.iter().zip(rivals) {
                self.weights[*index as usize] += (1.0 - KEEP) as f32;
                self.rivals[*index as usize] += (1.0 - KEEP) as f32 * share;
            }
        }
        self.suspicion()
    }

    /// Mean deviations of every image that was seen, rescaled so that their own robust deviation is 1 (a mean over
    /// epochs is steadier than one epoch).
    pub fn scores(&self) -> Vec<Suspect> {
        let seen: Vec<usize> = (0..self.sums.len()).filter(|&i| self.weights[i] > 0.0).collect();
        let suspect = |&i: &usize| Suspect {
            index: i as u32,
            rivalled: short(f64::from(self.rivals[i] / self.weights[i])),
            ..Suspect::default()
        };
        let mut suspects: Vec<Suspect> = seen.iter().map(suspect).collect();
        for part in 0..3 {
            let means: Vec<f64> = seen.iter().map(|&i| f64::from(self.sums[i][part] / self.weights[i])).collect();
            // What is seen beside the labels has a long tail in sound data too: there the low side alone would mislead.
            let usual = (median(&means), deviation(&means).max(0.1));
            let (centre, scale) = if part == 1 { usual } else { healthy(&means) };
            for (suspect, mean) in suspects.iter_mut().zip(&means) {
                let value = short((mean - centre) / scale);
                match part {
                    0 => suspect.matched = value,
                    1 => suspect.mined = value,
                    _ => suspect.boxes = value,
                }
            }
        }
        suspects
    }

    fn suspicion(&self) -> Suspicion {
        let mut all = self.scores();
        all.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.index.cmp(&b.index)));
        let parts = [|s: &Suspect| s.matched, |s: &Suspect| s.mined, |s: &Suspect| s.boxes];
        let count = |part: fn(&Suspect) -> f32| all.iter().filter(|s| f64::from(part(s)) > OUTSTANDING).count() as u32;
        let outstanding = parts.map(count);
        let images = all.len() as u32;
        let shares: Vec<f64> = all.iter().map(|s| f64::from(s.rivalled)).collect();
        let (rivalled, usual_rivals) = (shares.iter().filter(|s| **s > 0.5).count() as u32, short(median(&shares)));
        // A third of the images at most, else the word has no meaning.
        all.truncate(NAMED.min(all.len() / 3));
        Suspicion { epochs: self.epochs, images, outstanding, rivalled, usual_rivals, worst: all }
    }
}

/// Centre and deviation of the healthy part of values of which up to 40 % may lie too high: read off the low quantiles,
/// as a normal distribution has them (Tukey's letter values, the lower side only).
fn healthy(values: &[f64]) -> (f64, f64) {
    const LOW: (f64, f64) = (0.08, -1.4051);
    const MIDDLE: (f64, f64) = (0.4, -0.2533);
    let (low, middle) = (quantile(values, LOW.0), quantile(values, MIDDLE.0));
    let scale = ((middle - low) / (MIDDLE.1 - LOW.1)).max(0.1);
    (middle - MIDDLE.1 * scale, scale)
}

#[cfg(test)]
mod tests {
    use super::super::symptoms::auc;
    use super::*;
    use crate::watchdog::tests::Noise;

    /// Ten epochs of 160 images with log-normal losses; `wrong` adds to the logarithms of the first `bad` images.
    fn ledger(bad: u32, wrong: [f64; 3], seed: u64) -> Ledger {
        let mut noise = Noise::new(seed);
        let character: Vec<f64> = (0..160).map(|_| 0.25 * noise.normal()).collect();
        let mut ledger = Ledger::default();
        for epoch in 0..10 {
            let losses: Vec<ImageLoss> = (0..160)
                .map(|index| {
                    // A wrong label shows once the network has learned the others.
                    let learned = (f64::from(epoch) / 4.0).min(1.0);
                    let mut part = |at: f64, excess: f64| {
                        let excess = if index < bad { excess * learned } else { 0.0 };
                        (at - learned + character[index as usize] + 0.4 * noise.normal() + excess).exp() as f32 * 6.0
                    };
                    let (matched, mined, boxes) = (part(0.3, wrong[0]), part(0.0, wrong[1]), part(0.2, wrong[2]));
                    ImageLoss { index, positives: 6, rivalled: 0, matched, mined, boxes }
                })
                .collect();
            ledger.add(&losses);
            ledger.close();
        }
        ledger
    }

    fn area(ledger: &Ledger, bad: u32, doubt: fn(&Suspect) -> f64) -> f64 {
        auc(&ledger.scores().iter().map(|s| (doubt(s), s.index < bad)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn shifted_and_swapped_labels_stand_out() {
        for seed in 0..5 {
            let shifted = area(&ledger(64, [1.0, 0.7, 0.7], seed), 64, Suspect::misplaced);
            let swapped = area(&ledger(32, [1.5, 0.0, 0.0], seed), 32, Suspect::swapped);
            assert!(shifted > 0.95 && swapped > 0.95, "{shifted} and {swapped}");
        }
    }

    #[test]
    fn healthy_images_do_not() {
        let alarms = (0..200)
            .filter(|&seed| {
                let mut ledger = ledger(0, [0.0; 3], 100 + seed);
                (0..3).any(|part| ledger.close().level(part) < 1e-5)
            })
            .count();
        assert!(alarms <= 2, "{alarms} of 200");
    }

    #[test]
    fn what_stands_out_tells_what_is_wrong() {
        let suspicion = ledger(12, [0.0, 2.0, 0.0], 1).close();
        let first: Vec<u32> = suspicion.worst[..12].iter().map(|s| s.index).collect();
        assert!(first.iter().all(|&i| i < 12), "{first:?}");
        assert!(suspicion.level(1) < 1e-5 && suspicion.level(2) > 1e-3, "{suspicion:?}");
    }

    #[test]
    fn an_epoch_with_a_nan_is_survived() {
        let mut ledger = ledger(0, [0.0; 3], 3);
        ledger.add(&[ImageLoss {
            index: 5,
            positives: 1,
            rivalled: 0,
            matched: f32::NAN,
            mined: 1.0,
            boxes: f32::INFINITY,
        }]);
        let suspicion = ledger.close();
        assert!(suspicion.worst.iter().all(|s| s.score().is_finite()));
    }
}
