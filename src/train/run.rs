//! A run: epochs of windows of micro-batches, judged after each epoch, saved on the way.

use super::cures;
use super::error::TrainError;
use super::evaluation::Evaluation;
use super::facts;
use super::job::Job;
use super::judgement::Judged;
use super::progress::EpochRecord;
use super::records::Records;
use super::renewal::Sample;
use super::saving::Saving;
use super::state::TrainState;
use super::step::{Observe, TrainBatch, micro_step};
use super::update::{StepStats, apply_seen};
use super::watching::Watching;
use super::window::Window;
use crate::board::release_freed_memory;
use crate::boxes::{BoxCoder, CornerBox, Matcher, assign_inside};
use crate::data::{Batch, Loader, LoaderOptions, normalised};
use crate::loss::{SsdLoss, TargetEncoder, Targets};
use crate::watchdog::{Action, Entry};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// One optimizer step, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    pub stats: StepStats,
    /// Steps done, of `total`.
    pub step: u64,
    pub total: u64,
    /// Epoch under way, counted from 1.
    pub epoch: u64,
    /// Images of this call of [`train`] so far, per second.
    pub images_per_second: f64,
}

/// What happens during a run.
#[derive(Debug)]
pub enum Event<'a> {
    Step(StepReport),
    /// An epoch ended and was judged.
    Epoch {
        record: &'a EpochRecord,
        evaluation: &'a Evaluation,
        best: bool,
    },
    Checkpoint {
        step: u64,
    },
    /// A micro-batch went forth and back.
    MicroBatch,
    /// An image of the validation split was looked at.
    Judging,
    /// The storage did not take a file; the run goes on, or ends with what was saved before.
    Refused {
        error: &'a TrainError,
        goes_on: bool,
    },
    /// The watchdog says something: a diagnosis, a cure, a verdict.
    Watchdog(&'a Entry),
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    /// No better validation AP for as many epochs as the recipe's patience.
    Patience,
    /// Asked to stop; resumable.
    Stopped,
    /// The watchdog has nothing left to try; the best weights are kept.
    GivenUp,
    /// The storage has refused for too long; resumable from the last good checkpoint.
    Refused,
}

/// Weight of the box part while anchors are assigned by place: boxes far from their anchors would drown the classes.
const INSIDE_BOXES: f32 = 0.25;

/// Every so many steps the mean inputs are observed, and on each of the first few.
const OBSERVE_EVERY: u64 = 8;
const OBSERVE_FIRST: u64 = 4;

/// Batches that wait for the trainer: two, or one where a single one holds several images.
pub fn loader_queue(micro_batch: usize) -> usize {
    if micro_batch > 2 { 1 } else { 2 }
}

/// Trains until the recipe's epochs are done, patience ends, or `stop` is set. The state is left as it ended.
///
/// # Errors
/// If data or disk fail, or the loss leaves the range of numbers. The last checkpoint stays.
pub fn train(
    job: &Job,
    state: &mut TrainState,
    training: &Records,
    validation: &Records,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Ending, TrainError> {
    job.recipe.check().map_err(TrainError::Recipe)?;
    job.recipe.check_classes(&job.class_names).map_err(TrainError::Recipe)?;
    if training.is_empty() {
        return Err(TrainError::Empty { split: "training split".into(), found: "no image".into() });
    }
    let encoder = TargetEncoder {
        anchors: job.anchors(&state.model),
        coder: BoxCoder::default(),
        matcher: Matcher { iou_threshold: job.recipe.match_iou, min_anchors_per_object: job.recipe.min_anchors },
    };
    let mut watching = {
        let schedule = job.schedule.unwrap_or_else(|| job.recipe.schedule(training.len()));
        Watching::begin(job, state, schedule, &encoder, training)?
    };
    let said = std::mem::take(&mut watching.said);
    let mut run = Run {
        job,
        watching,
        training,
        encoder,
        held: None,
        micro_batch: job.recipe.micro_batch,
        saving: Saving::new(),
        began: Instant::now(),
        seen: 0,
    };
    run.act(state, &said, on)?;
    if state.progress.step == 0 {
        // A run can be resumed from its first moment on, and a disk that refuses is known before the work.
        run.save(state, on)?;
        run.keep_good(state)?;
    }
    match run.epochs(state, validation, stop, on) {
        Err(error) if error.is_storage() => {
            on(Event::Refused { error: &error, goes_on: false });
            Ok(Ending::Refused)
        }
        ending => ending,
    }
}

/// What a run needs besides its state.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) watching: Watching,
    pub(super) training: &'a Records,
    pub(super) encoder: TargetEncoder,
    /// Whether the backbone is held; `None` before the first step of this call.
    held: Option<bool>,
    /// As the recipe has it, or smaller where that was asked for.
    micro_batch: usize,
    pub(super) saving: Saving,
    began: Instant,
    /// Images trained on since `began`.
    seen: usize,
}

impl Run<'_> {
    /// The rest of the run; saves the state at its end.
    fn epochs(
        &mut self,
        state: &mut TrainState,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Ending, TrainError> {
        let recipe = &self.job.recipe;
        let mut ending = Ending::Finished;
        while state.progress.epoch < recipe.epochs {
            let since = state.progress.epoch - state.progress.best.map_or(0, |b| b.epoch);
            if recipe.patience > 0 && since >= recipe.patience {
                ending = Ending::Patience;
                break;
            }
            ending = self.epoch(state, stop, on)?;
            if ending == Ending::Stopped {
                break;
            }
            if self.judge(state, validation, stop, on)? == Judged::NotYet {
                ending = Ending::Stopped;
                break;
            }
            if ending == Ending::GivenUp || self.is_given_up(state) {
                ending = Ending::GivenUp;
                break;
            }
        }
        self.save(state, on)?;
        Ok(ending)
    }

    fn loader(&self, epoch: u64) -> Loader {
        let options = LoaderOptions {
            size: self.job.size,
            micro_batch: self.micro_batch,
            threads: self.job.loader_threads,
            queue: loader_queue(self.micro_batch),
            augment: Some(self.watching.recipe.augmentation(epoch)),
        };
        let records = self.training.clone();
        Loader::new(move |i| records.get(i), options)
    }

    /// The rest of the current epoch.
    fn epoch(
        &mut self,
        state: &mut TrainState,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Ending, TrainError> {
        let recipe = &self.job.recipe;
        let epoch = state.progress.epoch;
        let mut mixture = self.watching.mixture.clone();
        let mut plan = mixture.plan(self.training.len(), recipe.seed, epoch);
        let mut window = Window::default();
        self.micro_batch = self.job.requests.micro_batch(recipe.batch, recipe.micro_batch);
        let mut batches = self.loader(epoch).epoch(plan.clone(), state.progress.position);
        while let Some(batch) = batches.next() {
            if window.images == 0 {
                self.hold(state);
            }
            self.micro_batch(state, batch?, &mut window);
            on(Event::MicroBatch);
            let at = state.progress.position + window.images;
            if window.images < self.watching.recipe.batch && at < self.training.len() {
                continue;
            }
            self.step(state, &mut window, on)?;
            window.clear();
            state.progress.position = at;
            self.watching.pace(state, batches.waited(), at as u64)?;
            if self.is_given_up(state) {
                return Ok(Ending::GivenUp);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Stopped);
            }
            self.save_when_due(state, on)?;
            let asked = self.job.requests.micro_batch(recipe.batch, recipe.micro_batch);
            if asked != self.micro_batch || self.watching.mixture != mixture {
                self.micro_batch = asked;
                mixture = self.watching.mixture.clone();
                plan = mixture.plan(self.training.len(), recipe.seed, epoch);
                batches = self.loader(epoch).epoch(plan.clone(), at);
                release_freed_memory();
            }
        }
        Ok(Ending::Finished)
    }

    /// Holds the backbone or lets it go, where the step that begins changes that.
    fn hold(&mut self, state: &mut TrainState) {
        let held = state.progress.step < self.job.recipe.held_steps(&self.watching.schedule);
        let held = held || self.watching.recipe.backbone_rate == 0.0 && self.job.recipe.backbone_rate > 0.0;
        if self.held != Some(held) {
            state.model.hold_backbone(held);
            self.held = Some(held);
        }
    }

    /// Takes a micro-batch in.
    fn micro_batch(&mut self, state: &TrainState, batch: Batch, window: &mut Window) {
        let inside = self.job.recipe.is_inside(state.progress.epoch);
        let inside_loss = |loss: &SsdLoss| SsdLoss { box_weight: INSIDE_BOXES * loss.box_weight, ..loss.clone() };
        let loss = if inside { &inside_loss(&self.watching.loss) } else { &self.watching.loss };
        let targets = batch.objects.iter().map(|objects| {
            let columns: Vec<u32> = objects.iter().map(|o| o.class as u32 + 1).collect();
            let boxes: Vec<CornerBox> = objects.iter().map(|o| o.bbox).collect();
            if !inside {
                return self.encoder.encode(&columns, &boxes);
            }
            self.encoder.encode_assigned(&assign_inside(&self.encoder.anchors, &boxes), &columns, &boxes)
        });
        let (mut targets, indices): (Vec<Targets>, _) = (targets.collect(), batch.indices);
        if let Some(mishap) = self.job.mishap {
            mishap.spoil(&mut targets, &indices);
        }
        let batch = TrainBatch { images: normalised(batch.images), size: batch.size, targets };
        let step = state.progress.step;
        let due = step < OBSERVE_FIRST || step.is_multiple_of(OBSERVE_EVERY);
        // Over the whole window, so that the step does not depend on how it was cut into micro-batches.
        let wanted = self.job.recipe.centred || self.watching.is_on();
        let observe = if wanted && due { Observe::Inputs } else { Observe::Nothing };
        let losses = micro_step(&state.model, loss, batch, window, observe);
        self.watching.micro_batch(&losses, &indices);
    }

    /// Does what the watchdog decided and passes on what it says.
    pub(super) fn act(
        &mut self,
        state: &mut TrainState,
        said: &[Entry],
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        for entry in said.iter().filter(|e| e.is_decision()) {
            on(Event::Watchdog(entry));
            if let Entry::Cure(cure) = entry
                && cure.applied
            {
                let stages = cures::stages_of(&state.model);
                let size = self.job.size;
                let sample = || {
                    let photos = facts::probes(self.training, size, facts::FIRST_PROBES).collect::<Result<_, _>>()?;
                    Ok(Sample { photos, size })
                };
                cures::apply_once(&cure.action, state, &self.job.checkpoint_path(), &stages, &sample)?;
                // Another model may hold its backbone or not.
                self.held = None;
                if matches!(cure.action, Action::Stop) {
                    log::warn!("the watchdog ends the run");
                }
            }
        }
        self.watching.follow(state);
        Ok(())
    }

    fn is_given_up(&self, state: &TrainState) -> bool {
        state.watchdog.as_ref().is_some_and(|w| w.adjustments().stop)
    }

    fn step(
        &mut self,
        state: &mut TrainState,
        window: &mut Window,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        self.seen += window.images;
        if self.job.mishap.is_some_and(|m| m.strikes(state.progress.step)) {
            window.class = f64::NAN;
        }
        let (step, loss) = (state.progress.step, (window.class + window.boxes) / window.normaliser());
        let mut look = self.watching.look(state);
        let stats = apply_seen(state, window, &self.watching.recipe, &self.watching.schedule, look.as_mut());
        let sound = loss.is_finite() && stats.grad_norm.is_finite();
        if sound {
            let sums = &mut state.progress.sums;
            sums.steps += 1;
            sums.class += stats.class;
            sums.boxes += stats.boxes;
            sums.grad_norm += stats.grad_norm;
        }
        let said = self.watching.step(state, &stats, look, &window.inputs)?;
        self.act(state, &said, on)?;
        let cured = said.iter().any(|e| matches!(e, Entry::Cure(c) if c.applied));
        if !sound && !cured {
            return Err(TrainError::Diverged { step, loss, grad_norm: stats.grad_norm, lr: stats.lr });
        }
        on(Event::Step(StepReport {
            stats,
            step: state.progress.step,
            total: self.watching.schedule.total,
            epoch: state.progress.epoch + 1,
            images_per_second: self.seen as f64 / self.began.elapsed().as_secs_f64(),
        }));
        Ok(())
    }
}
