//! The hyper-parameters of a run, each with a default that is good without tuning.

use crate::boxes::{AnchorError, BoxCoder, InputSize, Matcher, ScoreFunction};
use crate::data::AugmentOptions;
use crate::loss::{Classification, SsdLoss, TargetEncoder};
use crate::model::{LayerTraining, Origin, SsdModel, Stage};
use crate::optim::{Decay, OptimizerKind, Rates, Schedule, word_or_table};
use serde::{Deserialize, Serialize};

/// The loss that scores the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Softmax cross-entropy with hard negative mining 3:1.
    Mining,
    /// Sigmoid focal loss over all anchors.
    Focal,
}

/// How class logits are to become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreChoice {
    /// As in the file where its class predictors are kept; softmax where all of them start fresh.
    #[default]
    File,
    Softmax,
    Sigmoid,
}

/// The stem, 17 blocks and the last layer.
pub const BACKBONE_STAGES: usize = 19;

/// Far beyond any use: they keep sums of steps and sizes of batches away from overflow.
const MOST_EPOCHS: u64 = 1_000_000;
const MOST_IMAGES: u64 = 4096;

/// Learning rates at which a run can come to anything: below, a step is lost in the rounding of 32-bit weights.
const RATES: std::ops::RangeInclusive<f64> = 1e-9..=100.0;

/// Bounds of every other multiplier that is not zero.
const LEAST: f64 = 1e-12;
const MOST: f64 = 1e9;

/// The knobs of a run. Unknown keys in a file are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images per optimizer step.
    pub batch: usize,
    /// Images per forward and backward pass; divides `batch`. Changes memory and speed, not the mathematics.
    pub micro_batch: usize,
    #[serde(deserialize_with = "word_or_table")]
    pub optimizer: OptimizerKind,
    /// Base learning rate: extras and heads that start fresh.
    pub lr: f64,
    /// Rate of what the file brought (backbone, extras and heads that are kept), as a share of `lr`.
    pub backbone_rate: f64,
    /// Rate of the biases of extras and heads, as a multiple of `lr`. Under centred updates the bias carries a
    /// layer's average, which a weight's rate is too slow for.
    pub bias_rate: f64,
    /// Per unit of learning rate, on weights only.
    pub weight_decay: f64,
    /// Optimizer steps over which the rate rises from zero; at most a tenth of the run is used.
    pub warmup: u64,
    pub decay: Decay,
    /// Largest gradient norm; 0 switches clipping off.
    pub clip: f64,
    /// Share of the moving average kept per step; 0 switches it off.
    pub ema: f64,
    /// Leading stages that are not trained: 0 none, 1 the stem, k + 1 the stem and k blocks, 19 the whole backbone.
    pub freeze: usize,
    /// Share of the run during which the backbone is held.
    pub hold: f64,
    /// Take each layer's mean input out of its weight updates.
    pub centred: bool,
    /// True if what blocks keep for the backward pass, inputs and some expansions, is rounded to 16 bits; inputs are
    /// kept as they are and expansions made again otherwise.
    pub half_activations: bool,
    /// True if the optimizer's moments and what the moving average lags behind are held in 16 bits (bfloat16).
    pub half_state: bool,
    pub loss: LossKind,
    /// file, softmax or sigmoid; the focal loss is always the sigmoid's.
    pub scores: ScoreChoice,
    /// Multiplies the box part of the loss.
    pub box_weight: f32,
    /// Class weights by name, multiplying the class loss of the anchors matched to them; others have 1.
    pub class_weights: std::collections::BTreeMap<String, f32>,
    /// Start class predictors at the background share that mining will show them.
    pub class_prior: bool,
    /// Share of the epochs, at the start, in which every anchor answers for the object whose middle it lies in: for a
    /// network that knows nothing yet.
    pub inside: f64,
    /// The IoU from which an anchor takes its best object.
    pub match_iou: f64,
    /// Anchors every object gets where enough overlap it.
    pub min_anchors: usize,
    pub augment: AugmentOptions,
    /// Share of the epochs, at the end, in which photos are neither cropped nor zoomed out: the network settles on
    /// objects as they will be.
    pub calm: f64,
    /// Epochs without a better validation AP after which a run ends early; 0 never.
    pub patience: u64,
    /// Validation AP, from 0 to 1, with which a run ends early; 0 never.
    pub until_ap: f64,
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 2,
            micro_batch: 2,
            optimizer: OptimizerKind::adamw(),
            lr: 2e-3,
            backbone_rate: 0.2,
            bias_rate: 10.0,
            weight_decay: 4e-5,
            warmup: 50,
            decay: Decay::Cosine,
            clip: 10.0,
            ema: 0.98,
            freeze: 4,
            hold: 0.1,
            centred: true,
            half_activations: true,
            half_state: true,
            loss: LossKind::Mining,
            scores: ScoreChoice::File,
            box_weight: 1.0,
            class_weights: Default::default(),
            class_prior: true,
            inside: 0.0,
            match_iou: 0.5,
            min_anchors: 4,
            augment: AugmentOptions::default(),
            calm: 0.25,
            patience: 0,
            until_ap: 0.0,
            seed: 0,
        }
    }
}

impl Recipe {
    /// The error in the numbers, if there is one.
    ///
    /// # Errors
    /// A sentence naming the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let positive = [("epochs", self.epochs as f64), ("batch", self.batch as f64)];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{key} = {value}, expected more than 0"));
            }
        }
        for (key, value, most) in [
            ("epochs", self.epochs, MOST_EPOCHS),
            ("batch", self.batch as u64, MOST_IMAGES),
            ("freeze", self.freeze as u64, BACKBONE_STAGES as u64),
            // TOML's integers have a sign, and job files and checkpoints are TOML.
            ("seed", self.seed, i64::MAX as u64),
            ("warmup", self.warmup, i64::MAX as u64),
            ("patience", self.patience, i64::MAX as u64),
            ("min_anchors", self.min_anchors as u64, 1000),
        ] {
            if value > most {
                return Err(format!("{key} = {value}, expected at most {most}"));
            }
        }
        if self.micro_batch == 0 || !self.batch.is_multiple_of(self.micro_batch) {
            let (micro, batch) = (self.micro_batch, self.batch);
            return Err(format!("micro_batch = {micro}, expected a divisor of batch = {batch}"));
        }
        let not_negative = [
            ("backbone_rate", self.backbone_rate),
            ("bias_rate", self.bias_rate),
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
            ("box_weight", f64::from(self.box_weight)),
        ];
        for (key, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("{key} = {value}, expected 0 or more"));
            }
            // Beyond these the numbers of a step vanish or overflow, and a run would do nothing without a word.
            if value != 0.0 && !(LEAST..=MOST).contains(&value) {
                return Err(format!("{key} = {value:e}, expected 0 or {LEAST:e} to {MOST:e}"));
            }
        }
        if !RATES.contains(&self.lr) {
            let (lr, least, most) = (self.lr, RATES.start(), RATES.end());
            let found = if lr != 0.0 && lr.abs() < 1e-4 { format!("{lr:e}") } else { lr.to_string() };
            return Err(format!("lr = {found}, expected more than 0: from {least:e} to {most}"));
        }
        let shares = [("ema", self.ema), ("hold", self.hold), ("calm", self.calm), ("match_iou", self.match_iou)];
        for (key, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{key} = {value}, expected 0 or more and below 1"));
            }
        }
        for (key, value) in [("inside", self.inside), ("until_ap", self.until_ap)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{key} = {value}, expected 0 to 1"));
            }
        }
        for (name, &weight) in &self.class_weights {
            if !(weight.is_finite() && weight > 0.0) {
                return Err(format!("class_weights.{name} = {weight}, expected more than 0"));
            }
            if !(LEAST..=MOST).contains(&f64::from(weight)) {
                return Err(format!("class_weights.{name} = {weight:e}, expected {LEAST:e} to {MOST:e}"));
            }
        }
        if self.loss == LossKind::Focal && self.scores == ScoreChoice::Softmax {
            return Err("scores = \"softmax\", expected sigmoid or file with loss = \"focal\"".into());
        }
        self.optimizer.check().map_err(|e| format!("optimizer.{e}"))?;
        self.augment.check().map_err(|e| format!("augment.{e}"))
    }

    /// # Errors
    /// If a class weight is for a class that the data set does not have.
    pub fn check_classes(&self, classes: &[String]) -> Result<(), String> {
        match self.class_weights.keys().find(|name| !classes.contains(name)) {
            None => Ok(()),
            Some(name) => Err(format!("class_weights.{name}: no such class, expected one of {}", classes.join(", "))),
        }
    }

    /// Optimizer steps per epoch over `images`; an unfinished window at the end is a step too.
    pub fn steps_per_epoch(&self, images: usize) -> u64 {
        images.div_ceil(self.batch) as u64
    }

    /// The schedule of a run over `images` per epoch.
    pub fn schedule(&self, images: usize) -> Schedule {
        let total = self.steps_per_epoch(images) * self.epochs;
        Schedule { decay: self.decay, warmup: self.warmup.min(total / 10), total, again: None }
    }

    /// The encoder of targets for a network at an input size.
    ///
    /// # Errors
    /// If the network's heads have other anchors than its rule.
    pub fn encoder(&self, model: &SsdModel, size: InputSize) -> Result<TargetEncoder, AnchorError> {
        Ok(TargetEncoder {
            anchors: model.specs().anchors(size.dims())?,
            coder: BoxCoder::default(),
            matcher: Matcher { iou_threshold: self.match_iou, min_anchors_per_object: self.min_anchors },
        })
    }

    /// True if anchors are assigned by place alone in an epoch, counted from 0.
    pub fn is_inside(&self, epoch: u64) -> bool {
        epoch < (self.inside * self.epochs as f64).round() as u64
    }

    /// How photos are changed in an epoch, counted from 0.
    pub fn augmentation(&self, epoch: u64) -> AugmentOptions {
        let calm = (self.calm * self.epochs as f64).round() as u64;
        if epoch + calm < self.epochs {
            return self.augment.clone();
        }
        AugmentOptions { zoom_out_probability: 0.0, crops: Vec::new(), ..self.augment.clone() }
    }

    /// The part that the layers of a stage take in learning.
    pub fn training(&self, stage: Stage) -> LayerTraining {
        let depth = match stage {
            Stage::Stem => 0,
            Stage::Block(i) => i + 1,
            Stage::Last => 18,
            Stage::Extra(_) | Stage::BoxHead(_) | Stage::ClassHead(_) => usize::MAX,
        };
        if depth < self.freeze { LayerTraining::Frozen } else { LayerTraining::Trained }
    }

    /// Steps at the start of the run in which the backbone is held.
    pub fn held_steps(&self, schedule: &Schedule) -> u64 {
        (self.hold * schedule.total as f64).round() as u64
    }

    /// Rates of a layer at `step` of the run that `schedule` describes. Layers from a file are near their place
    /// already and move at the backbone's rate; only the backbone is held, for it is what fresh layers could spoil first.
    pub fn rates(&self, stage: Stage, origin: Origin, schedule: &Schedule, step: u64) -> Rates {
        let base = self.lr * schedule.factor(step);
        if !stage.is_backbone() && origin == Origin::Fresh {
            return Rates { weight: base, bias: base * self.bias_rate, decay: self.weight_decay, decay_bias: false };
        }
        let held = if stage.is_backbone() { self.held_steps(schedule) } else { 0 };
        let rise = match step.checked_sub(held) {
            None => 0.0,
            Some(_) if held == 0 => 1.0,
            Some(since) => ((since + 1) as f64 / schedule.warmup.max(1) as f64).min(1.0),
        };
        let rate = base * self.backbone_rate * rise;
        Rates { weight: rate, bias: rate, decay: self.weight_decay, decay_bias: false }
    }

    /// The score function of a run whose file has `of_file`, and keeps class predictors of it or not.
    pub fn score_function(&self, of_file: ScoreFunction, kept: bool) -> ScoreFunction {
        match (self.loss, self.scores) {
            (LossKind::Focal, _) | (_, ScoreChoice::Sigmoid) => ScoreFunction::Sigmoid,
            (_, ScoreChoice::File) if kept => of_file,
            _ => ScoreFunction::Softmax,
        }
    }

    /// The share of the background among the anchors that a loss looks at when training begins.
    pub fn background_share(&self) -> f64 {
        match self.loss {
            // Three negatives for each positive.
            LossKind::Mining => 0.75,
            // All anchors, of which hardly any matches (Lin et al. 2017, section 4.1).
            LossKind::Focal => 0.99,
        }
    }

    /// The loss over these classes (background not counted) of a network with this score function.
    pub fn ssd_loss(&self, classes: &[String], scores: ScoreFunction) -> SsdLoss {
        let weight = |name: &String| self.class_weights.get(name).copied().unwrap_or(1.0);
        SsdLoss {
            classification: match self.loss {
                LossKind::Mining => Classification::mining(scores),
                LossKind::Focal => Classification::Focal { alpha: 0.25, gamma: 2.0 },
            },
            box_weight: self.box_weight,
            class_weights: std::iter::once(1.0).chain(classes.iter().map(weight)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freezing_counts_stages_from_the_stem() {
        let recipe = Recipe { freeze: 4, ..Recipe::default() };
        let frozen = |stage| recipe.training(stage) == LayerTraining::Frozen;
        assert!(frozen(Stage::Stem) && frozen(Stage::Block(2)) && !frozen(Stage::Block(3)) && !frozen(Stage::Last));
        let recipe = Recipe { freeze: 19, ..Recipe::default() };
        assert_eq!(recipe.training(Stage::Last), LayerTraining::Frozen);
        assert_eq!(recipe.training(Stage::Extra(0)), LayerTraining::Trained);
    }

    #[test]
    fn a_held_backbone_rests_and_then_warms_up() {
        let recipe = Recipe { hold: 0.25, epochs: 10, batch: 1, micro_batch: 1, ..Recipe::default() };
        let schedule = recipe.schedule(40);
        let rate = |step| recipe.rates(Stage::Last, Origin::File, &schedule, step).weight;
        assert_eq!(rate(99), 0.0);
        assert!(rate(100) > 0.0 && rate(100) < rate(120));
    }

    #[test]
    fn impossible_numbers_are_named() {
        let bad = Recipe { batch: 4, micro_batch: 3, ..Recipe::default() };
        assert!(bad.check().unwrap_err().contains("micro_batch = 3"));
        assert!(Recipe { lr: f64::NAN, ..Recipe::default() }.check().unwrap_err().contains("lr = NaN"));
        assert!(Recipe { lr: 1e-300, ..Recipe::default() }.check().unwrap_err().contains("lr = 1e-300, expected"));
        assert!(Recipe { clip: 1e-300, ..Recipe::default() }.check().unwrap_err().contains("clip = 1e-300, expected"));
        assert!(Recipe { bias_rate: 1e300, ..Recipe::default() }.check().unwrap_err().contains("bias_rate = 1e300"));
        Recipe::default().check().unwrap();
    }
}
