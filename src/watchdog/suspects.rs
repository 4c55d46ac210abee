//! Which images are probably labelled wrongly? A robust rank of every image's losses over the epochs.
//!
//! A wrong label is a loss that does not go away while those of its neighbours do. One epoch is noisy (augmentation,
//! a moving network), so each epoch's losses become robust deviations within that epoch (log, median, MAD: immune to
//! scale and to the many wrong ones), and an image's score is their forgetful mean, late epochs counting most.
//!
//! Four parts tell what is wrong. The cross-entropy of a matched anchor is the sum of two: `-ln(1 - p(background))`,
//! is there an object (*placing*), and `-ln p(label | object)`, which one is it (*naming*). *Mined*: class loss of the
//! hardest other anchors. *Boxes*: localisation. Boxes elsewhere: placing, mined and boxes (nothing is where the label
//! says, and the object that is there goes unlabelled). Another class's label: naming only. An unlabelled object: mined
//! only.
//!
//! Naming has a natural zero, too: where the network, shown an object, holds its label for less likely than a guess
//! would, epoch after epoch, it *contradicts* the label (confident learning, Northcutt et al. 2021, with the guess as
//! the threshold).

use super::signals::short;
use super::symptoms::{binomial_tail, deviation, median, normal_tail, quantile};
use serde::{Deserialize, Serialize};

/// Share of the old score that is kept per epoch.
const KEEP: f64 = 0.8;

/// Deviations at which an image stands out.
pub const OUTSTANDING: f64 = 3.3;

/// Deviations at which an image is apart from the others, 2 % of normal ones are.
const APART: f32 = 2.0;

/// Images named at most.
pub const NAMED: usize = 120;

/// Parts of an image's loss, in the order of [`ImageLoss`].
pub const PARTS: usize = 4;
pub const NAMING: usize = 1;
pub const MINED: usize = 2;

/// Losses of one image in one step, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageLoss {
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

impl ImageLoss {
    fn parts(&self) -> [f64; PARTS] {
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
}

impl Suspect {
    /// How much the boxes are in doubt: nothing is found where they are, something where they are not.
    pub fn misplaced(&self) -> f64 {
        f64::from(self.placing + 0.5 * self.mined + 0.5 * self.boxes) / 1.22
    }

    /// How much the classes are in doubt: in place, but called otherwise.
    pub fn swapped(&self) -> f64 {
        f64::from(self.naming)
    }

    /// How much it looks as if objects had no label.
    pub fn unlabelled(&self) -> f64 {
        f64::from(self.mined)
    }

    /// Whether the network holds the labels for less likely than a guess would, and those of most images not.
    pub fn is_contradicted(&self) -> bool {
        self.guess > 1.0 && self.naming > APART
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

/// Forgetful sums of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    /// Of deviations.
    sums: [f32; PARTS],
    /// Of naming losses.
    naming: f32,
    /// Of epochs in which it was seen, and of those in which it had a matched anchor.
    seen: f32,
    matched: f32,
}

/// Scores of all images so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    epochs: u32,
    /// Classes that occur, at least 2.
    classes: u32,
    /// By image.
    accounts: Vec<Account>,
    /// This epoch's losses per positive: index, whether anything was matched, parts.
    current: Vec<(u32, bool, [f32; PARTS])>,
}

impl Ledger {
    pub fn new(classes: usize) -> Self {
        Self { classes: classes.max(2) as u32, ..Self::default() }
    }

    pub fn add(&mut self, images: &[ImageLoss]) {
        let parts = |i: &ImageLoss| i.parts().map(|v| if v.is_finite() { v as f32 } else { f32::MAX });
        self.current.extend(images.iter().map(|i| (i.index, i.positives > 0, parts(i))));
    }

    /// Ends an epoch.
    pub fn close(&mut self) -> Suspicion {
        let current = std::mem::take(&mut self.current);
        let len = current.iter().map(|(i, ..)| *i as usize + 1).max().unwrap_or(0).max(self.accounts.len());
        self.accounts.resize(len, Account::default());
        if current.len() >= 8 {
            self.epochs += 1;
            self.accounts.iter_mut().for_each(Account::forget);
            for part in 0..PARTS {
                // Without a matched anchor there is nothing but what was mined.
                let judged = current.iter().filter(|(_, matched, _)| *matched || part == MINED);
                let logs: Vec<(u32, f64)> =
                    judged.map(|(i, _, p)| (*i, f64::from(p[part]).clamp(1e-3, 1e30).ln())).collect();
                let values: Vec<f64> = logs.iter().map(|(_, log)| *log).collect();
                let (centre, scale) = (median(&values), deviation(&values).max(0.05));
                for (index, log) in logs {
                    // Bounded, so that one wild epoch does not make a suspect for good.
                    let deviations = ((log - centre) / scale).clamp(-6.0, 6.0);
                    self.accounts[index as usize].sums[part] += ((1.0 - KEEP) * deviations) as f32;
                }
            }
            for (index, matched, parts) in current {
                let account = &mut self.accounts[index as usize];
                account.seen += (1.0 - KEEP) as f32;
                if matched {
                    account.matched += (1.0 - KEEP) as f32;
                    account.naming += (1.0 - KEEP) as f32 * parts[NAMING].min(20.0);
                }
            }
        }
        self.suspicion()
    }

    /// Mean deviations of every image that was seen, rescaled so that their own robust deviation is 1 (a mean over
    /// epochs is steadier than one epoch).
    pub fn scores(&self) -> Vec<Suspect> {
        let chance = f64::from(self.classes.max(2)).ln();
        let seen: Vec<usize> = (0..self.accounts.len()).filter(|&i| self.accounts[i].seen > 0.0).collect();
        let suspect = |&i: &usize| {
            let account = &self.accounts[i];
            let guess = f64::from(account.naming) / f64::from(account.matched).max(1e-9) / chance;
            Suspect { index: i as u32, guess: short(guess), ..Suspect::default() }
        };
        let mut suspects: Vec<Suspect> = seen.iter().map(suspect).collect();
        for part in 0..PARTS {
            let mean = |account: &Account| {
                let weight = if part == MINED { account.seen } else { account.matched };
                (weight > 0.0).then(|| f64::from(account.sums[part] / weight))
            };
            let means: Vec<Option<f64>> = seen.iter().map(|&i| mean(&self.accounts[i])).collect();
            let known: Vec<f64> = means.iter().filter_map(|m| *m).collect();
            // What is seen beside the labels has a long tail in sound data too: there the low side alone would mislead.
            let usual = (median(&known), deviation(&known).max(0.1));
            let (centre, scale) = if part == MINED { usual } else { healthy(&known) };
            for (suspect, mean) in suspects.iter_mut().zip(&means) {
                let value = mean.map_or(0.0, |mean| short((mean - centre) / scale));
                match part {
                    0 => suspect.placing = value,
                    NAMING => suspect.naming = value,
                    MINED => suspect.mined = value,
                    _ => suspect.boxes = value,
                }
            }
        }
        suspects
    }

    fn suspicion(&self) -> Suspicion {
        let mut all = self.scores();
        all.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.index.cmp(&b.index)));
        let parts = [|s: &Suspect| s.placing, |s: &Suspect| s.naming, |s: &Suspect| s.mined, |s: &Suspect| s.boxes];
        let count = |part: fn(&Suspect) -> f32| all.iter().filter(|s| f64::from(part(s)) > OUTSTANDING).count() as u32;
        let outstanding = parts.map(count);
        let images = all.len() as u32;
        let contradicted = all.iter().filter(|s| s.is_contradicted()).count() as u32;
        let usual_guess = short(median(&all.iter().map(|s| f64::from(s.guess)).collect::<Vec<_>>()));
        // Less than half of the images, else the word has no meaning.
        all.truncate(NAMED.min(2 * all.len() / 5));
        Suspicion { epochs: self.epochs, images, outstanding, contradicted, usual_guess, worst: all }
    }
}

impl Account {
    fn forget(&mut self) {
        let figures = [&mut self.naming, &mut self.seen, &mut self.matched];
        figures.into_iter().chain(&mut self.sums).for_each(|v| *v *= KEEP as f32);
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
    fn ledger(bad: u32, wrong: [f64; PARTS], seed: u64) -> Ledger {
        let mut noise = Noise::new(seed);
        let character: Vec<f64> = (0..160).map(|_| 0.25 * noise.normal()).collect();
        let mut ledger = Ledger::new(3);
        for epoch in 0..10 {
            let losses: Vec<ImageLoss> = (0..160)
                .map(|index| {
                    // A wrong label shows once the network has learned the others.
                    let learned = (f64::from(epoch) / 4.0).min(1.0);
                    let mut part = |at: f64, excess: f64| {
                        let excess = if index < bad { excess * learned } else { 0.0 };
                        (at - learned + character[index as usize] + 0.4 * noise.normal() + excess).exp() as f32 * 6.0
                    };
                    let (placing, naming) = (part(0.3, wrong[0]), part(-0.5, wrong[1]));
                    let (mined, boxes) = (part(0.0, wrong[2]), part(0.2, wrong[3]));
                    ImageLoss { index, positives: 6, placing, naming, mined, boxes }
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
            let shifted = area(&ledger(64, [1.0, 0.0, 0.7, 0.7], seed), 64, Suspect::misplaced);
            let swapped = area(&ledger(32, [0.0, 1.5, 0.0, 0.0], seed), 32, Suspect::swapped);
            assert!(shifted > 0.95 && swapped > 0.95, "{shifted} and {swapped}");
        }
    }

    #[test]
    fn healthy_images_do_not() {
        let alarms = (0..200)
            .filter(|&seed| {
                let mut ledger = ledger(0, [0.0; PARTS], 100 + seed);
                (0..PARTS).any(|part| ledger.close().level(part) < 1e-5)
            })
            .count();
        assert!(alarms <= 2, "{alarms} of 200");
    }

    #[test]
    fn what_stands_out_tells_what_is_wrong() {
        let suspicion = ledger(12, [0.0, 0.0, 2.0, 0.0], 1).close();
        let first: Vec<u32> = suspicion.worst[..12].iter().map(|s| s.index).collect();
        assert!(first.iter().all(|&i| i < 12), "{first:?}");
        assert!(suspicion.level(MINED) < 1e-5 && suspicion.level(0) > 1e-3, "{suspicion:?}");
    }

    #[test]
    fn images_without_objects_do_not_make_the_others_stand_out() {
        let mut noise = Noise::new(4);
        let mut ledger = Ledger::new(2);
        for _ in 0..6 {
            let loss = |index: u32, noise: &mut Noise| {
                let mut part = || noise.normal().exp() as f32;
                let mined = part();
                let bare = ImageLoss { index, mined, ..ImageLoss::default() };
                let full = ImageLoss { positives: 1, placing: part(), naming: part(), boxes: part(), ..bare };
                if index.is_multiple_of(2) { bare } else { full }
            };
            ledger.add(&(0..120).map(|i| loss(i, &mut noise)).collect::<Vec<_>>());
            ledger.close();
        }
        let suspicion = ledger.close();
        assert!((0..PARTS).all(|part| suspicion.level(part) > 1e-4), "{suspicion:?}");
    }

    #[test]
    fn an_epoch_with_a_nan_is_survived() {
        let mut ledger = ledger(0, [0.0; PARTS], 3);
        ledger.add(&[ImageLoss {
            index: 5,
            positives: 1,
            placing: f32::NAN,
            naming: 0.1,
            mined: 1.0,
            boxes: f32::INFINITY,
        }]);
        let suspicion = ledger.close();
        assert!(suspicion.worst.iter().all(|s| s.score().is_finite()));
    }
}
