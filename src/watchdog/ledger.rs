//! The scores of all images over the epochs: each epoch's losses as robust deviations, their forgetful means, and the
//! suspicion that follows.

use super::appearance::Appearance;
use super::signals::short;
use super::suspects::{CROWDED, ImageLoss, MINED, NAMED, NAMING, OUTSTANDING, PARTS, Suspect, Suspicion};
use super::symptoms::{deviation, median, quantile};
use serde::{Deserialize, Serialize};

/// Share of the old score that is kept per epoch.
const KEEP: f64 = 0.8;

/// Forgetful sums of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    /// Of deviations.
    sums: [f32; PARTS],
    /// Of naming losses.
    naming: f32,
    #[serde(default)]
    astray: f32,
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
    #[serde(default)]
    crowded: bool,
    /// By image.
    accounts: Vec<Account>,
    /// Where labels and appearance were found to contradict each other before the run: deviations by image.
    #[serde(default)]
    doubts: Vec<(u32, f32)>,
    /// This epoch's losses per positive: index, whether anything was matched, parts, how far astray.
    current: Vec<(u32, bool, [f32; PARTS], f32)>,
}

impl Ledger {
    pub fn new(classes: usize, objects_per_image: f64) -> Self {
        Self { classes: classes.max(2) as u32, crowded: objects_per_image >= CROWDED, ..Self::default() }
    }

    /// Ranks names by what objects look like from now on: where that tells, losses tell less.
    pub fn doubting(mut self, appearance: &Appearance) -> Self {
        let doubts: Vec<f64> = appearance.margins.iter().map(|margin| -f64::from(*margin)).collect();
        let (centre, scale) = healthy(&doubts);
        self.doubts =
            appearance.images.iter().zip(doubts).map(|(i, doubt)| (*i, short((doubt - centre) / scale))).collect();
        self
    }

    /// Whether images hold so many objects that [`ImageLoss::astray`] tells nothing: then nobody looks at it.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    pub fn add(&mut self, images: &[ImageLoss]) {
        let parts = |i: &ImageLoss| i.parts().map(|v| if v.is_finite() { v as f32 } else { f32::MAX });
        let astray = |i: &ImageLoss| if i.astray.is_finite() { i.astray } else { 0.0 };
        self.current.extend(images.iter().map(|i| (i.index, i.positives > 0, parts(i), astray(i))));
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
                let judged = current.iter().filter(|(_, matched, ..)| *matched || part == MINED);
                let logs: Vec<(u32, f64)> =
                    judged.map(|(i, _, p, _)| (*i, f64::from(p[part]).clamp(1e-3, 1e30).ln())).collect();
                let values: Vec<f64> = logs.iter().map(|(_, log)| *log).collect();
                let (centre, scale) = (median(&values), deviation(&values).max(0.05));
                for (index, log) in logs {
                    // Bounded, so that one wild epoch does not make a suspect for good.
                    let deviations = ((log - centre) / scale).clamp(-6.0, 6.0);
                    self.accounts[index as usize].sums[part] += ((1.0 - KEEP) * deviations) as f32;
                }
            }
            for (index, matched, parts, astray) in current {
                let account = &mut self.accounts[index as usize];
                account.seen += (1.0 - KEEP) as f32;
                account.last = self.epochs;
                if matched {
                    account.astray += (1.0 - KEEP) as f32 * astray;
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
        let doubt = |i: usize| self.doubts.binary_search_by_key(&(i as u32), |d| d.0).ok().map(|at| self.doubts[at].1);
        // Images that were set aside before they were shown are known by their appearance only.
        let len = self.doubts.last().map_or(0, |d| d.0 as usize + 1).max(self.accounts.len());
        let account = |i: usize| self.accounts.get(i).copied().unwrap_or_default();
        let seen: Vec<usize> = (0..len).filter(|&i| account(i).seen > 0.0 || doubt(i).is_some()).collect();
        let suspect = |&i: &usize| {
            let account = account(i);
            let guess = f64::from(account.naming) / f64::from(account.matched).max(1e-9) / chance;
            let away = f64::from(account.astray) / f64::from(account.matched).max(1e-9);
            let away = if self.crowded { 0.0 } else { short(away) };
            Suspect { index: i as u32, guess: short(guess), away, doubt: doubt(i), ..Suspect::default() }
        };
        let mut suspects: Vec<Suspect> = seen.iter().map(suspect).collect();
        let placed: Vec<bool> = seen.iter().map(|&i| account(i).matched > 0.0).collect();
        let away: Vec<f64> =
            suspects.iter().zip(&placed).filter(|(_, p)| **p).map(|(s, _)| f64::from(s.away)).collect();
        let (centre, scale) = healthy(&away);
        for (suspect, _) in suspects.iter_mut().zip(&placed).filter(|(_, placed)| **placed) {
            suspect.astray = short((f64::from(suspect.away) - centre) / scale);
        }
        for part in 0..PARTS {
            let mean = |account: Account| {
                let weight = if part == MINED { account.seen } else { account.matched };
                (weight > 0.0).then(|| f64::from(account.sums[part] / weight))
            };
            let means: Vec<Option<f64>> = seen.iter().map(|&i| mean(account(i))).collect();
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
        if self.crowded {
            for s in &mut suspects {
                s.astray = (s.placing + 0.5 * s.mined + 0.5 * s.boxes) / 1.22;
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
        let (astray, contradicted) = (count(&Suspect::is_astray), count(&Suspect::is_contradicted));
        let usual_guess = short(median(&present.iter().map(|s| f64::from(s.guess)).collect::<Vec<_>>()));
        let mut far: Vec<&Suspect> = all.iter().filter(|s| s.is_astray()).collect();
        far.sort_by(|a, b| b.away.total_cmp(&a.away));
        // Less than half of the images, else the word has no meaning.
        let most = NAMED.min(2 * all.len() / 5);
        let farthest = far.iter().take(most).map(|s| s.index).collect();
        all.truncate(most);
        let epochs = self.epochs;
        Suspicion { epochs, images, outstanding, contradicted, usual_guess, astray, farthest, worst: all }
    }
}

impl Account {
    fn forget(&mut self) {
        let figures = [&mut self.naming, &mut self.astray, &mut self.seen, &mut self.matched];
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

    /// Ten epochs of 160 images with log-normal losses; `wrong` adds to the logarithms of the first `bad` images, and
    /// `away` is how far their labels go astray.
    fn ledger(bad: u32, wrong: [f64; PARTS], away: f64, seed: u64) -> Ledger {
        let mut noise = Noise::new(seed);
        let character: Vec<f64> = (0..160).map(|_| 0.25 * noise.normal()).collect();
        let mut ledger = Ledger::new(3, 1.5);
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
                    let away = if index < bad { away } else { 0.0 };
                    let astray = (learned * (away - 0.3) + 0.1 * noise.normal()) as f32;
                    ImageLoss { index, positives: 6, placing, naming, mined, boxes, astray }
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
            let shifted = area(&ledger(64, [1.0, 0.0, 0.7, 0.7], 0.6, seed), 64, Suspect::misplaced);
            let swapped = area(&ledger(32, [0.0, 1.5, 0.0, 0.0], 0.0, seed), 32, Suspect::swapped);
            assert!(shifted > 0.95 && swapped > 0.95, "{shifted} and {swapped}");
        }
    }

    #[test]
    fn healthy_images_do_not() {
        let alarms = (0..200)
            .filter(|&seed| {
                let mut ledger = ledger(0, [0.0; PARTS], 0.0, 100 + seed);
                let suspicion = ledger.close();
                (0..PARTS).any(|part| suspicion.level(part) < 1e-5) || suspicion.straying(0.08) < 1e-5
            })
            .count();
        assert!(alarms <= 2, "{alarms} of 200");
    }

    #[test]
    fn what_stands_out_tells_what_is_wrong() {
        let suspicion = ledger(12, [0.0, 0.0, 2.0, 0.0], 0.0, 1).close();
        let first: Vec<u32> = suspicion.worst[..12].iter().map(|s| s.index).collect();
        assert!(first.iter().all(|&i| i < 12), "{first:?}");
        assert!(suspicion.level(MINED) < 1e-5 && suspicion.level(0) > 1e-3, "{suspicion:?}");
    }

    #[test]
    fn images_set_aside_are_named_but_no_symptom() {
        let mut ledger = ledger(64, [0.0; PARTS], 0.6, 2);
        let before = ledger.close();
        assert!(before.astray > 50 && before.images == 160 && before.straying(0.08) < 1e-5, "{before:?}");
        let sound = |index| ImageLoss { index, positives: 6, placing: 1.0, astray: -0.3, ..ImageLoss::default() };
        ledger.add(&(64..160).map(sound).collect::<Vec<_>>());
        let after = ledger.close();
        assert!(after.astray == 0 && after.images == 96, "{after:?}");
        assert!(after.worst[0].index < 64 && after.farthest.iter().all(|&i| i < 64), "{after:?}");
    }

    #[test]
    fn in_a_crowd_no_label_is_astray() {
        let mut ledger = ledger(64, [0.0; PARTS], 0.6, 2);
        ledger.crowded = true;
        let suspicion = ledger.close();
        assert!(suspicion.astray == 0 && suspicion.farthest.is_empty(), "{suspicion:?}");
    }

    #[test]
    fn images_without_objects_do_not_make_the_others_stand_out() {
        let mut noise = Noise::new(4);
        let mut ledger = Ledger::new(2, 1.0);
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
        let mut ledger = ledger(0, [0.0; PARTS], 0.0, 3);
        ledger.add(&[ImageLoss {
            index: 5,
            positives: 1,
            placing: f32::NAN,
            naming: 0.1,
            mined: 1.0,
            boxes: f32::INFINITY,
            astray: f32::NAN,
        }]);
        let suspicion = ledger.close();
        assert!(suspicion.worst.iter().all(|s| s.score().is_finite()));
    }
}
