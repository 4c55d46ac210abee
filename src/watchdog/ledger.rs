//! Per-image loss statistics over the epochs: each epoch's losses as robust deviations, their exponential means, and
//! the images that stand out.

use super::appearance::Appearance;
use super::plausible::{MOST_BATCH, at_most, indices};
use super::presence::Presence;
use super::signals::short;
use super::suspects::{ImageSignals, MINED, NAMED, NAMING, OUTSTANDING, PARTS, Suspect, Suspicion};
use super::symptoms::{deviation, median, quantile};
use serde::{Deserialize, Serialize};

/// Share of the old score that is kept per epoch.
const KEEP: f64 = 0.8;

/// More epochs than any run has.
const MOST_EPOCHS: u32 = 1 << 30;

/// Forgetful sums of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ImageSums {
    /// Of deviations.
    sums: [f32; PARTS],
    /// Of naming losses.
    naming: f32,
    /// Of epochs in which it was seen, and of those in which it had a matched anchor.
    seen: f32,
    matched: f32,
    /// Epoch in which it was seen last, counted as the ledger does.
    #[serde(default)]
    last: u32,
}

/// Scores of all images so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    epochs: u32,
    /// Classes that occur, at least 2.
    classes: u32,
    /// By image.
    accounts: Vec<ImageSums>,
    /// Contradictions between labels and appearance found before the run: deviations by image.
    #[serde(default)]
    doubts: Vec<(u32, f32)>,
    /// (image, score) pairs for images whose boxes look misplaced; same scale as `doubts`.
    #[serde(default)]
    displaced: Vec<(u32, f32)>,
    /// This epoch's losses per positive: index, whether anything was matched, parts.
    current: Vec<(u32, bool, [f32; PARTS])>,
}

impl Ledger {
    pub fn new(classes: usize) -> Self {
        Self { classes: classes.max(2) as u32, ..Self::default() }
    }

    /// Ranks names by what objects look like from now on: where that tells, losses tell less.
    pub fn doubting(self, appearance: &Appearance) -> Self {
        Self { doubts: deviations(&appearance.images, &appearance.margins), ..self }
    }

    /// Ranks boxes by what is seen beside them from now on.
    pub fn locating(self, presence: &Presence) -> Self {
        Self { displaced: deviations(&presence.images, &presence.margins), ..self }
    }

    /// # Errors
    /// If it cannot be about a set of so many images.
    pub fn check(&self, images: u32) -> Result<(), String> {
        at_most("ledger.epochs", self.epochs, MOST_EPOCHS)?;
        at_most("ledger.accounts", self.accounts.len(), images as usize)?;
        at_most("ledger.current", self.current.len(), 2 * images as usize + MOST_BATCH as usize)?;
        let doubts = self.doubts.iter().chain(&self.displaced).map(|(i, _)| i);
        indices("ledger", self.current.iter().map(|(i, ..)| i).chain(doubts), images)
    }

    pub fn add(&mut self, images: &[ImageSignals]) {
        let parts = |i: &ImageSignals| i.parts().map(|v| if v.is_finite() { v as f32 } else { f32::MAX });
        self.current.extend(images.iter().map(|i| (i.index, i.positives > 0, parts(i))));
    }

    /// Ends an epoch.
    pub fn close(&mut self) -> Suspicion {
        let current = std::mem::take(&mut self.current);
        let len = current.iter().map(|(i, ..)| *i as usize + 1).max().unwrap_or(0).max(self.accounts.len());
        self.accounts.resize(len, ImageSums::default());
        if current.len() >= 8 {
            self.epochs += 1;
            self.accounts.iter_mut().for_each(ImageSums::forget);
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
                account.last = self.epochs;
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
        let known =
            |all: &[(u32, f32)], i: usize| all.binary_search_by_key(&(i as u32), |d| d.0).ok().map(|at| all[at].1);
        let (doubt, displaced) = (|i: usize| known(&self.doubts, i), |i: usize| known(&self.displaced, i));
        // Images that were set aside before they were shown are known by what was seen before the run only.
        let last =
            [&self.doubts, &self.displaced].into_iter().filter_map(|all| all.last()).map(|d| d.0 as usize + 1).max();
        let len = last.unwrap_or(0).max(self.accounts.len());
        let account = |i: usize| self.accounts.get(i).copied().unwrap_or_default();
        let is_known = |i: &usize| account(*i).seen > 0.0 || doubt(*i).is_some() || displaced(*i).is_some();
        let seen: Vec<usize> = (0..len).filter(is_known).collect();
        let suspect = |&i: &usize| {
            let account = account(i);
            let guess = f64::from(account.naming) / f64::from(account.matched).max(1e-9) / chance;
            // Without a label there is none in the wrong place.
            let displaced = displaced(i).or_else(|| (!self.displaced.is_empty()).then_some(0.0));
            Suspect { index: i as u32, guess: short(guess), displaced, doubt: doubt(i), ..Suspect::default() }
        };
        let mut suspects: Vec<Suspect> = seen.iter().map(suspect).collect();
        for part in 0..PARTS {
            let mean = |account: ImageSums| {
                let weight = if part == MINED { account.seen } else { account.matched };
                (weight > 0.0).then(|| f64::from(account.sums[part] / weight))
            };
            let means: Vec<Option<f64>> = seen.iter().map(|&i| mean(account(i))).collect();
            let known: Vec<f64> = means.iter().filter_map(|m| *m).collect();
            // Scores beside the labels have a long tail in sound data too: there the low side alone would mislead.
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
        // Images that were set aside are named still, but no longer a symptom.
        let present: Vec<&Suspect> =
            all.iter().filter(|s| self.accounts.get(s.index as usize).is_some_and(|a| a.last == self.epochs)).collect();
        let count = |is: &dyn Fn(&Suspect) -> bool| present.iter().filter(|s| is(s)).count() as u32;
        let outstanding = parts.map(|part| count(&|s| f64::from(part(s)) > OUTSTANDING));
        let images = present.len() as u32;
        let contradicted = count(&Suspect::is_contradicted);
        let usual_guess = short(median(&present.iter().map(|s| f64::from(s.guess)).collect::<Vec<_>>()));
        // Less than half of the images, else the word has no meaning.
        let most = NAMED.min(2 * all.len() / 5);
        all.truncate(most);
        let epochs = self.epochs;
        Suspicion { epochs, images, outstanding, contradicted, usual_guess, worst: all }
    }
}

impl ImageSums {
    fn forget(&mut self) {
        let figures = [&mut self.naming, &mut self.seen, &mut self.matched];
        figures.into_iter().chain(&mut self.sums).for_each(|v| *v *= KEEP as f32);
    }
}

/// By how many deviations of the healthy part each image's margin, in ascending order of the images, lies too low.
fn deviations(images: &[u32], margins: &[f32]) -> Vec<(u32, f32)> {
    let doubts: Vec<f64> = margins.iter().map(|margin| -f64::from(*margin)).collect();
    let (centre, scale) = healthy(&doubts);
    images.iter().zip(doubts).map(|(i, doubt)| (*i, short((doubt - centre) / scale))).collect()
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
            let losses: Vec<ImageSignals> = (0..160)
                .map(|index| {
                    // A wrong label shows once the network has learned the others.
                    let learned = (f64::from(epoch) / 4.0).min(1.0);
                    let mut part = |at: f64, excess: f64| {
                        let excess = if index < bad { excess * learned } else { 0.0 };
                        (at - learned + character[index as usize] + 0.4 * noise.normal() + excess).exp() as f32 * 6.0
                    };
                    let (placing, naming) = (part(0.3, wrong[0]), part(-0.5, wrong[1]));
                    let (mined, boxes) = (part(0.0, wrong[2]), part(0.2, wrong[3]));
                    ImageSignals { index, positives: 6, placing, naming, mined, boxes }
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
                let suspicion = ledger.close();
                (0..PARTS).any(|part| suspicion.level(part) < 1e-5)
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
    fn images_set_aside_are_named_but_no_symptom() {
        let mut ledger = ledger(32, [0.0, 0.0, 3.0, 0.0], 2);
        let before = ledger.close();
        assert!(before.outstanding[MINED] > 25 && before.images == 160, "{before:?}");
        let sound = |index| ImageSignals { index, positives: 6, placing: 1.0, ..ImageSignals::default() };
        ledger.add(&(32..160).map(sound).collect::<Vec<_>>());
        let after = ledger.close();
        assert!(after.outstanding[MINED] == 0 && after.images == 128 && after.worst[0].index < 32, "{after:?}");
    }

    #[test]
    fn what_was_seen_before_the_run_ranks_boxes() {
        let margins: Vec<(u32, f64)> = (20..160).map(|i| (i, if i < 60 { -0.1 } else { 0.2 })).collect();
        let ledger = ledger(20, [2.0, 0.0, 2.0, 2.0], 3).locating(&Presence::of(&margins));
        let scores = ledger.scores();
        let found: Vec<u32> = scores.iter().filter(|s| s.misplaced() > 3.0).map(|s| s.index).collect();
        assert_eq!(found, (20..60).collect::<Vec<u32>>(), "not those of high losses, which were not judged");
        assert_eq!(Ledger::new(2).locating(&Presence::of(&margins)).scores().len(), 140, "none was shown");
    }

    #[test]
    fn images_without_objects_do_not_make_the_others_stand_out() {
        let mut noise = Noise::new(4);
        let mut ledger = Ledger::new(2);
        for _ in 0..6 {
            let loss = |index: u32, noise: &mut Noise| {
                let mut part = || noise.normal().exp() as f32;
                let mined = part();
                let bare = ImageSignals { index, mined, ..ImageSignals::default() };
                let full = ImageSignals { positives: 1, placing: part(), naming: part(), boxes: part(), ..bare };
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
        ledger.add(&[ImageSignals {
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
