//! A digest: some steps summarised in one line of the journal. Rules read digests.

use super::plausible::{MOST_CLASSES, MOST_STAGES, at_most, count, finite};
use super::signals::{Portion, StageSignals, StepSignals, short};
use super::symptoms::{median, spike};
use serde::{Deserialize, Serialize};

/// Image losses remembered to tell an outrageous one, and how many there must be.
const REMEMBERED: usize = 128;
const ENOUGH: usize = 16;

/// Deviations in the logarithm, and times the median, beyond which an image's loss is outrageous.
const OUTRAGEOUS: f64 = 8.0;
const TIMES: f64 = 20.0;

/// More steps than any digest covers.
const MOST_SPAN: usize = 4096;

/// An image whose loss is far from all others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shock {
    pub image: u32,
    /// Times the median image's loss; 1e30 where it was not finite.
    pub times: f32,
}

/// Portion of a loss with its mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub positives: u32,
    /// Per positive.
    pub loss: f32,
}

/// Means over `steps` optimizer steps that end at `step`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    pub step: u64,
    pub epoch: u64,
    pub steps: u32,
    pub class_loss: f32,
    pub box_loss: f32,
    pub grad_norm: f32,
    /// Largest of the steps.
    pub grad_peak: f32,
    pub lr: f32,
    pub factor: f32,
    pub micro_batches: u32,
    pub barren: u32,
    /// A step whose numbers were none; it is not part of the means.
    pub non_finite: Option<u64>,
    pub shock: Option<Shock>,
    pub response: Option<f32>,
    pub noise: Option<f32>,
    pub classes: Vec<Share>,
    pub maps: Vec<Share>,
    /// As last looked at; empty where these steps were not.
    pub stages: Vec<StageSignals>,
    /// In a run's first digest: as first looked at, before anything could break.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_look: Vec<StageSignals>,
}

impl Digest {
    /// # Errors
    /// If a count or a list is beyond any run's, or a number is none.
    pub fn check(&self) -> Result<(), String> {
        count("step", self.step)?;
        count("epoch", self.epoch)?;
        at_most("stages", self.stages.len().max(self.first_look.len()).max(self.maps.len()), MOST_STAGES)?;
        at_most("classes", self.classes.len(), MOST_CLASSES)?;
        let means = [self.class_loss, self.box_loss, self.grad_norm, self.grad_peak, self.lr, self.factor];
        finite("a mean", &means)?;
        finite("a response", self.response.iter().chain(&self.noise))?;
        finite("a loss", self.classes.iter().chain(&self.maps).map(|s| &s.loss))?;
        let looks = self.stages.iter().chain(&self.first_look);
        looks.map(StageSignals::all).try_for_each(|all| finite("a stage's signal", &all))
    }

    pub fn loss(&self) -> f64 {
        f64::from(self.class_loss) + f64::from(self.box_loss)
    }
}

/// Sums of the digest under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Folding {
    steps: u32,
    /// Steps whose numbers were finite.
    sound: u32,
    class_loss: f64,
    box_loss: f64,
    grad_norm: f64,
    grad_peak: f64,
    micro_batches: u32,
    barren: u32,
    responses: Vec<f64>,
    noises: Vec<f64>,
    non_finite: Option<u64>,
    shock: Option<Shock>,
    classes: Vec<Portion>,
    maps: Vec<Portion>,
    stages: Vec<StageSignals>,
    first_look: Vec<StageSignals>,
    /// True if a digest was made.
    begun: bool,
    /// Logarithms of the last images' losses.
    image_losses: Vec<f64>,
    next: usize,
}

fn add(sums: &mut Vec<Portion>, parts: &[Portion]) {
    sums.resize(parts.len().max(sums.len()), Portion::default());
    for (sum, part) in sums.iter_mut().zip(parts) {
        sum.positives = sum.positives.saturating_add(part.positives);
        sum.loss += if part.loss.is_finite() { part.loss } else { 0.0 };
    }
}

fn shares(sums: &[Portion]) -> Vec<Share> {
    let share = |p: &Portion| Share {
        positives: p.positives.min(u64::from(u32::MAX)) as u32,
        loss: short(p.loss / p.positives.max(1) as f64),
    };
    sums.iter().map(share).collect()
}

impl Folding {
    /// # Errors
    /// If it cannot have come from steps.
    pub fn check(&self) -> Result<(), String> {
        at_most("image_losses", self.image_losses.len(), REMEMBERED)?;
        at_most("next", self.next, REMEMBERED - 1)?;
        at_most("responses", self.responses.len().max(self.noises.len()), MOST_SPAN)?;
        at_most("stages", self.stages.len().max(self.first_look.len()).max(self.maps.len()), MOST_STAGES)?;
        at_most("classes", self.classes.len(), MOST_CLASSES)
    }

    /// Takes a step in; returns a digest when `span` steps are together, or at once for what cannot wait.
    pub fn add(&mut self, s: &StepSignals, span: u32) -> Option<Digest> {
        self.steps = self.steps.saturating_add(1);
        self.images(s);
        if s.is_finite() {
            self.sound = self.sound.saturating_add(1);
            self.class_loss += s.class_loss;
            self.box_loss += s.box_loss;
            self.grad_norm += s.grad_norm;
            self.grad_peak = self.grad_peak.max(s.grad_norm);
            add(&mut self.classes, &s.classes);
            add(&mut self.maps, &s.maps);
            if let Some(stages) = &s.stages {
                self.stages.clone_from(stages);
                if !self.begun && self.first_look.is_empty() {
                    self.first_look.clone_from(stages);
                }
            }
        } else {
            self.non_finite = self.non_finite.or(Some(s.step));
        }
        self.micro_batches = self.micro_batches.saturating_add(s.micro_batches);
        self.barren = self.barren.saturating_add(s.barren);
        self.responses.extend(s.response.filter(|v| v.is_finite()));
        self.noises.extend(s.noise.filter(|v| v.is_finite()));
        let urgent = self.non_finite.is_some() || self.shock.is_some();
        (self.steps >= span || urgent).then(|| self.close(s))
    }

    /// Looks for an outrageous image, then remembers the others.
    fn images(&mut self, s: &StepSignals) {
        for image in &s.images {
            let total = image.total();
            let log = total.max(1e-3).ln();
            let centre = median(&self.image_losses);
            let enough = self.image_losses.len() >= ENOUGH;
            let stands_out = spike(&self.image_losses, log) > OUTRAGEOUS && log - centre > TIMES.ln();
            if !total.is_finite() || enough && stands_out {
                let times = if total.is_finite() { short((log - centre).exp()) } else { 1e30 };
                if self.shock.is_none_or(|worst| times > worst.times) {
                    self.shock = Some(Shock { image: image.index, times });
                }
            } else if self.image_losses.len() < REMEMBERED {
                self.image_losses.push(log);
            } else {
                self.image_losses[self.next] = log;
                self.next = (self.next + 1) % REMEMBERED;
            }
        }
    }

    fn close(&mut self, s: &StepSignals) -> Digest {
        let sound = f64::from(self.sound.max(1));
        let middle = |values: &[f64]| (!values.is_empty()).then(|| short(median(values)));
        let digest = Digest {
            step: s.step,
            epoch: s.epoch,
            steps: self.steps,
            class_loss: short(self.class_loss / sound),
            box_loss: short(self.box_loss / sound),
            grad_norm: short(self.grad_norm / sound),
            grad_peak: short(self.grad_peak),
            lr: short(s.lr),
            factor: short(s.factor),
            micro_batches: self.micro_batches,
            barren: self.barren,
            non_finite: self.non_finite,
            shock: self.shock,
            response: middle(&self.responses),
            noise: middle(&self.noises),
            classes: shares(&self.classes),
            maps: shares(&self.maps),
            stages: self.stages.iter().map(StageSignals::short).collect(),
            first_look: self.first_look.iter().map(StageSignals::short).collect(),
        };
        let (image_losses, next) = (std::mem::take(&mut self.image_losses), self.next);
        *self = Self { image_losses, next, begun: true, ..Self::default() };
        digest
    }
}

impl StageSignals {
    fn all(&self) -> [f32; 5] {
        [self.grad_norm, self.weight_norm, self.update_ratio, self.dead, self.saturated]
    }

    fn short(&self) -> Self {
        let short = |v: f32| short(f64::from(v));
        Self {
            grad_norm: short(self.grad_norm),
            weight_norm: short(self.weight_norm),
            update_ratio: short(self.update_ratio),
            dead: short(self.dead),
            saturated: short(self.saturated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suspects::ImageSignals;
    use super::*;

    fn step(step: u64, class_loss: f64) -> StepSignals {
        let images = (0..2)
            .map(|i| ImageSignals {
                index: (step * 2 + i) as u32 % 40,
                positives: 5,
                placing: 5.0,
                naming: 0.0,
                mined: 5.0,
                boxes: 5.0,
            })
            .collect();
        StepSignals { step, class_loss, box_loss: 1.0, grad_norm: 4.0, micro_batches: 1, images, ..Default::default() }
    }

    #[test]
    fn a_digest_holds_the_means_of_its_steps() {
        let mut folding = Folding::default();
        let digests: Vec<Digest> = (1..=16).filter_map(|i| folding.add(&step(i, i as f64), 8)).collect();
        assert_eq!(digests.iter().map(|d| (d.step, d.steps)).collect::<Vec<_>>(), [(8, 8), (16, 8)]);
        assert_eq!((digests[0].class_loss, digests[1].class_loss), (4.5, 12.5));
        assert!(digests.iter().all(|d| d.shock.is_none() && d.non_finite.is_none()));
    }

    #[test]
    fn what_cannot_wait_does_not() {
        let mut folding = Folding::default();
        for i in 1..=20 {
            folding.add(&step(i, 2.0), 8);
        }
        let found = folding.add(&step(21, f64::NAN), 8).unwrap();
        assert_eq!((found.non_finite, found.class_loss), (Some(21), 2.0));
        let mut wild = step(22, 50.0);
        wild.images[1] = ImageSignals { index: 7, positives: 1, placing: 900.0, ..ImageSignals::default() };
        let shock = folding.add(&wild, 8).unwrap().shock.unwrap();
        assert!(shock.image == 7 && shock.times > 200.0, "{shock:?}");
        assert!(folding.add(&step(23, 2.0), 8).is_none());
    }
}
