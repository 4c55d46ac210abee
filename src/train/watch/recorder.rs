//! Records what the watchdog sees: gathers the signals of every step and epoch, hands them over, and writes the
//! journal.

use super::layer_norms::{LayerNorms, LayerStages};
use super::run_facts::{self, PROBES};
use super::twins::twins;
use crate::boxes::{Anchors, InputSize};
use crate::eval::CocoMetrics;
use crate::kernel::ChannelSums;
use crate::loss::{ImageLoss, SsdLoss, TargetEncoder};
use crate::optim::{OptimizerKind, Schedule};
use crate::train::error::TrainError;
use crate::train::job::Job;
use crate::train::live::Live;
use crate::train::progress::EpochRecord;
use crate::train::recipe::Recipe;
use crate::train::records::Records;
use crate::train::state::TrainState;
use crate::train::step::update::StepStats;
use crate::train::store::journal_file::JournalFile;
use crate::watchdog::{self, EpochFigures, FeedRate, JournalEntry, Mode, Portion, Shortfall, StepSignals, Watchdog};
use std::time::{Duration, Instant};

/// Steps between looks at how far weights move, and the first ones at which they are taken anyway.
const LOOK_EVERY: u64 = 8;
const LOOK_FIRST: u64 = 4;

/// Steps between looks at what the backbone makes of the probes, and up to which they are taken with every look.
const PROBE_EVERY: u64 = 32;
const PROBE_FIRST: u64 = 32;

/// Everything that a run needs to be watched; none of it is state.
pub struct Watching {
    journal: Option<JournalFile>,
    stages: LayerStages,
    anchors: Anchors,
    probes: Vec<Vec<f32>>,
    size: InputSize,
    gathered: StepSignals,
    fed: Fed,
    /// The entries from before the first step.
    pub said: Vec<JournalEntry>,
}

/// The figures of a validation for the watchdog, besides the metrics.
#[derive(Clone, Debug, Default)]
pub struct HeldOutFigures {
    /// Class and box loss per matched anchor; 0 where the run is not watched.
    pub losses: [f64; 2],
    /// The part of the class loss that is about which object it is.
    pub naming: f64,
    pub shortfall: Option<Shortfall>,
}

/// How far the loader had come when the pace was told last.
#[derive(Clone, Copy, Debug)]
struct Fed {
    at: Instant,
    /// Time spent waiting for images in this epoch by then.
    waited: Duration,
    /// Images of this epoch by then.
    images: u64,
}

impl Watching {
    /// Gets ready to watch a run from where it stands; a run that begins is looked at as a whole first.
    ///
    /// # Errors
    /// If a record cannot be read or the journal cannot be written.
    pub fn begin(
        job: &Job,
        state: &mut TrainState,
        schedule: &Schedule,
        encoder: &TargetEncoder,
        [training, validation]: [&Records; 2],
    ) -> Result<Self, TrainError> {
        let mut watching = Self {
            journal: None,
            stages: LayerStages::of(&state.model),
            anchors: encoder.anchors.clone(),
            probes: Vec::new(),
            size: run_facts::probe_size(job.size),
            gathered: StepSignals::default(),
            fed: Fed { at: Instant::now(), waited: Duration::ZERO, images: 0 },
            said: Vec::new(),
        };
        if job.watchdog == Mode::Off {
            state.watchdog = None;
            return Ok(watching);
        }
        watching.probes =
            run_facts::probes(training, run_facts::probe_size(job.size), PROBES).collect::<Result<_, _>>()?;
        let mut said = Vec::new();
        if state.watchdog.is_none() {
            let mut facts =
                run_facts::facts(&state.model, &job.recipe, schedule, encoder, &job.class_names, training, job.size)?;
            facts.judged_images = validation.len() as u64;
            facts.twins = twins(training, validation)?;
            facts.judged_objects = run_facts::judged_objects(validation, job.class_names.len())?;
            let (watchdog, entries) = Watchdog::begin(facts, job.watchdog);
            state.watchdog = Some(watchdog);
            said = entries;
        }
        let lines = state.watchdog.as_ref().map_or(0, |w| w.lines() - said.len() as u64);
        let mut journal = JournalFile::open(&job.folder, lines)?;
        journal.write(&said)?;
        watching.journal = Some(journal);
        watching.said = said;
        Ok(watching)
    }

    /// True if this is watched at all.
    pub fn is_on(&self) -> bool {
        self.journal.is_some()
    }

    /// Takes in the losses of a micro-batch by `loss`; `indices` are those of its images in the split.
    pub fn micro_batch(&mut self, losses: &[ImageLoss], indices: &[usize], loss: &SsdLoss) {
        if !self.is_on() {
            return;
        }
        let gathered = &mut self.gathered;
        gathered.classes.resize(loss.class_weights.len() - 1, Portion::default());
        gathered.maps.resize(self.anchors.maps().len(), Portion::default());
        gathered.micro_batches += 1;
        gathered.barren += u32::from(losses.iter().all(|l| l.positives == 0));
        for (of_image, &index) in losses.iter().zip(indices) {
            let (mut placing, mut naming, mut mined) = (0.0, 0.0, of_image.class);
            for anchor in &of_image.matched {
                // Class weights are not to make an image suspicious.
                let weight = f64::from(loss.class_weights[anchor.column as usize]).max(1e-6);
                placing += (anchor.class / weight - anchor.naming).max(0.0);
                naming += anchor.naming;
                mined -= anchor.class;
                let class = &mut gathered.classes[anchor.column as usize - 1];
                let map = &mut gathered.maps[self.anchors.map_of(anchor.anchor)];
                for portion in [class, map] {
                    portion.positives += 1;
                    portion.loss += anchor.class + anchor.boxes;
                }
            }
            gathered.images.push(watchdog::ImageSignals {
                index: index as u32,
                positives: of_image.positives as u32,
                placing: placing as f32,
                naming: naming as f32,
                mined: mined.max(0.0) as f32,
                boxes: of_image.boxes as f32,
            });
        }
    }

    /// A look at the step that is about to be taken, where one is due.
    pub fn look(&self, state: &TrainState) -> Option<LayerNorms> {
        let step = state.progress.step;
        let due = step < LOOK_FIRST || step.is_multiple_of(LOOK_EVERY);
        (self.is_on() && due).then(|| LayerNorms::new(state.model.layers.len()))
    }

    /// Hands the step just taken to the watchdog; returns what it has to say.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn step(
        &mut self,
        state: &mut TrainState,
        live: &Live,
        stats: &StepStats,
        look: Option<LayerNorms>,
        inputs: &[ChannelSums],
    ) -> Result<Vec<JournalEntry>, TrainError> {
        let step = state.progress.step;
        if !self.is_on() || state.watchdog.is_none() {
            return Ok(Vec::new());
        }
        let probed = step.is_multiple_of(PROBE_EVERY) || step <= PROBE_FIRST && step.is_multiple_of(LOOK_EVERY);
        let (normaliser, looked) = (stats.positives.max(1) as f64, look.is_some());
        let signals = StepSignals {
            step,
            epoch: state.progress.epoch + 1,
            class_loss: stats.class,
            box_loss: stats.boxes,
            grad_norm: stats.grad_norm,
            lr: stats.lr,
            factor: live.schedule.factor(step.saturating_sub(1)),
            stages: look.map(|look| self.stages.signals(&look, inputs, normaliser)),
            noise: looked.then(|| noise_scale(state, &live.recipe, stats)).flatten(),
            response: probed.then(|| self.response(state)),
            ..std::mem::take(&mut self.gathered)
        };
        let said = state.watchdog.as_mut().map_or_else(Vec::new, |w| w.step(&signals));
        self.write(&said)?;
        Ok(said)
    }

    /// The backbone's response to the probes: its deviation over them.
    fn response(&self, state: &TrainState) -> f64 {
        run_facts::probe(&state.model, self.probes.iter().cloned(), self.size).response
    }

    /// Hands the epoch just done to the watchdog, with what was held out where it was judged.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn epoch(
        &mut self,
        state: &mut TrainState,
        record: &EpochRecord,
        metrics: &CocoMetrics,
        held_out: Option<HeldOutFigures>,
    ) -> Result<Vec<JournalEntry>, TrainError> {
        let Some(watchdog) = state.watchdog.as_mut().filter(|_| self.journal.is_some()) else { return Ok(Vec::new()) };
        let said = watchdog.epoch(&EpochFigures {
            epoch: record.epoch,
            step: record.step,
            ap: record.ap,
            ap50: record.ap50,
            class_ap: metrics.classes.iter().map(|c| c.ap).collect(),
            validation: held_out.as_ref().map(|h| h.losses),
            naming: held_out.as_ref().map(|h| h.naming),
            ap_interval: record.ap_interval,
            ap50_interval: record.ap50_interval,
            shortfall: held_out.and_then(|h| h.shortfall),
        });
        self.write(&said)?;
        Ok(said)
    }

    /// Tells how fast the run is fed, twice an epoch; `waited` is the time spent waiting for images in this epoch.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn pace(&mut self, state: &mut TrainState, waited: Duration, images: u64) -> Result<(), TrainError> {
        let Some(watchdog) = state.watchdog.as_mut().filter(|_| self.journal.is_some()) else { return Ok(()) };
        let last = self.fed;
        let now = Fed { at: Instant::now(), waited, images };
        let half = watchdog.facts().images.div_ceil(2).max(8);
        // A new epoch counts its waiting from zero.
        if waited < last.waited || images < last.images {
            self.fed = now;
            return Ok(());
        }
        if images - last.images < half {
            return Ok(());
        }
        let elapsed = last.at.elapsed().as_secs_f64().max(1e-6);
        let pace = FeedRate {
            step: state.progress.step,
            images_per_second: ((images - last.images) as f64 / elapsed) as f32,
            waiting: ((waited - last.waited).as_secs_f64() / elapsed) as f32,
        };
        let said = watchdog.pace(pace);
        self.fed = now;
        self.write(&said)
    }

    fn write(&mut self, said: &[JournalEntry]) -> Result<(), TrainError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.write(said))
    }
}

/// Gradient noise scale in images (McCandlish et al. 2018): the batch at which noise and signal are equal.
///
/// The square of one step's gradient is `G² + S`, signal and noise; that of Adam's running mean of gradients, which
/// averages some `(1+β)/(1-β)` steps, is `G² + S·(1-β)/(1+β)`. Two equations for two unknowns, without another pass.
fn noise_scale(state: &TrainState, recipe: &Recipe, stats: &StepStats) -> Option<f64> {
    let OptimizerKind::Adamw { beta1, .. } = recipe.optimizer else { return None };
    let clipped = if recipe.clip > 0.0 { stats.grad_norm.min(recipe.clip) } else { stats.grad_norm };
    let (mut mean, mut steps) = (0.0, u64::MAX);
    for layer in state.optimizer.layers.iter().filter(|l| l.steps > 0) {
        steps = steps.min(layer.steps);
        mean += layer.slots.iter().map(|slot| slot.first.squared_sum()).sum::<f64>();
    }
    // The running mean starts at zero and has to fill.
    if steps == u64::MAX || steps < 20 {
        return None;
    }
    let (one, share) = (clipped.powi(2), (1.0 - beta1) / (1.0 + beta1));
    let noise = ((one - mean) / (1.0 - share)).max(0.0);
    let signal = (one - noise).max(1e-3 * one);
    Some(noise / signal * stats.images as f64)
}
