//! The watchdog's history of a run: its first digest, the last ones, and all epochs.

use super::digest::Digest;
use super::facts::{RunFacts, StageKind};
use super::plausible::{at_most, count};
use super::signals::{EpochSignals, StageSignals};
use super::symptoms::median;
use serde::{Deserialize, Serialize};

/// Digests and epochs kept.
const DIGESTS: usize = 64;
const EPOCHS: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Oldest first; none from before the last rollback.
    pub digests: Vec<Digest>,
    pub epochs: Vec<EpochSignals>,
    /// The first digest of the run that looked at the stages.
    pub first: Option<Digest>,
    /// Steps under the present treatment begin after this one.
    pub since: u64,
}

impl History {
    pub fn digest(&mut self, digest: Digest) {
        if self.first.is_none() && digest.non_finite.is_none() {
            self.first = Some(digest.clone());
        }
        if self.digests.len() >= DIGESTS {
            self.digests.remove(0);
        }
        self.digests.push(digest);
    }

    pub fn epoch(&mut self, epoch: EpochSignals) {
        if self.epochs.len() >= EPOCHS {
            self.epochs.remove(0);
        }
        self.epochs.push(epoch);
    }

    /// # Errors
    /// If it holds more than is remembered, or what no run has.
    pub fn check(&self) -> Result<(), String> {
        at_most("memory.digests", self.digests.len(), DIGESTS)?;
        at_most("memory.epochs", self.epochs.len(), EPOCHS)?;
        count("memory.since", self.since)?;
        self.digests.iter().chain(&self.first).try_for_each(Digest::check)?;
        self.epochs.iter().try_for_each(EpochSignals::check)
    }

    /// The network is another one now: earlier observations do not apply to it.
    pub fn forget(&mut self, step: u64) {
        self.digests.clear();
        self.since = step;
    }
}

/// The view of a rule: nothing else reaches them.
#[derive(Clone, Copy, Debug)]
pub struct RuleView<'a> {
    pub facts: &'a RunFacts,
    pub memory: &'a History,
}

impl<'a> RuleView<'a> {
    pub fn last(&self) -> Option<&'a Digest> {
        self.memory.digests.last()
    }

    /// The last `n` digests whose steps were all numbers, oldest first; fewer than `n` if there are no more.
    pub fn recent(&self, n: usize) -> Vec<&'a Digest> {
        let sound = self.memory.digests.iter().filter(|d| d.non_finite.is_none());
        let sound: Vec<&Digest> = sound.collect();
        sound[sound.len().saturating_sub(n)..].to_vec()
    }

    /// Median of a figure over exactly the last `n` digests; `None` with fewer.
    pub fn middle(&self, n: usize, figure: impl Fn(&Digest) -> f64) -> Option<f64> {
        let recent = self.recent(n);
        (recent.len() == n).then(|| median(&recent.into_iter().map(figure).collect::<Vec<_>>()))
    }

    /// As [`RuleView::middle`] for a figure of one stage, over the last `n` digests that looked at stages.
    pub fn stage(&self, n: usize, stage: usize, figure: impl Fn(&StageSignals) -> f32) -> Option<f64> {
        let seen: Vec<f64> = self.looks().filter_map(|d| d.stages.get(stage)).map(|s| f64::from(figure(s))).collect();
        (seen.len() >= n).then(|| median(&seen[seen.len() - n..]))
    }

    /// Digests that looked at the stages.
    pub fn looks(&self) -> impl DoubleEndedIterator<Item = &'a Digest> {
        self.memory.digests.iter().filter(|d| !d.stages.is_empty())
    }

    /// Largest median update ratio over the trained stages of these kinds, with the stage. A predictor alone with fresh
    /// weights does not count: its norm begins near zero, so that any sound step is a large share of it.
    pub fn hottest(&self, n: usize, kinds: &[StageKind]) -> Option<(usize, f64)> {
        let stages = (0..self.facts.stages.len())
            .filter(|&i| self.facts.stages[i].is_gauge() && kinds.contains(&self.facts.stages[i].kind));
        let heat = stages.filter_map(|i| self.stage(n, i, |s| s.update_ratio).map(|u| (i, u)));
        heat.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The stage whose output is the backbone's.
    pub fn last_backbone(&self) -> Option<usize> {
        self.facts.of_kind(StageKind::Backbone).next_back()
    }

    /// Class loss of a predictor that ignores the image.
    pub fn blind_class_loss(&self) -> Option<f64> {
        let negatives = self.facts.negatives_per_positive?;
        let mut positives: Vec<f64> = Vec::new();
        for digest in &self.memory.digests {
            positives.resize(positives.len().max(digest.classes.len()), 0.0);
            positives.iter_mut().zip(&digest.classes).for_each(|(sum, c)| *sum += f64::from(c.positives));
        }
        Some(super::symptoms::blind_class_loss(negatives, &positives, self.facts.sigmoids))
    }

    /// Loss at the start of the run: class and box part.
    pub fn start_loss(&self) -> Option<[f64; 2]> {
        self.memory.first.as_ref().map(|d| [f64::from(d.class_loss), f64::from(d.box_loss)])
    }

    /// A stage as the run's first look saw it.
    pub fn first_look(&self, stage: usize) -> Option<&'a StageSignals> {
        let first = self.memory.first.as_ref()?;
        first.first_look.get(stage).or_else(|| first.stages.get(stage))
    }

    /// Share of the run that is behind us.
    pub fn done(&self) -> f64 {
        let step = self.last().map_or(0, |d| d.step).max(self.memory.epochs.last().map_or(0, |e| e.step));
        step as f64 / self.facts.total_steps.max(1) as f64
    }

    /// Positives by class (or feature map) over the remembered digests, and losses per positive over the last few.
    pub fn shares(&self, of: impl Fn(&Digest) -> &[super::digest::Share]) -> Vec<(u64, f64)> {
        let mut sums: Vec<(u64, f64)> = Vec::new();
        for digest in &self.memory.digests {
            let shares = of(digest);
            sums.resize(sums.len().max(shares.len()), (0, 0.0));
            for (sum, share) in sums.iter_mut().zip(shares) {
                sum.0 += u64::from(share.positives);
                sum.1 += f64::from(share.positives) * f64::from(share.loss);
            }
        }
        sums.into_iter().map(|(n, loss)| (n, loss / n.max(1) as f64)).collect()
    }
}
