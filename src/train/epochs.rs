//! The epoch loop: windows of micro-batches, a validation after each epoch, checkpoints on the way.

use super::error::TrainError;
use super::event::{Ending, Event, StepReport};
use super::job::{Job, loader_queue};
use super::live::Live;
use super::part::RunPart;
use super::recipe::Recipe;
use super::records::Records;
use super::run::Run;
use super::state::TrainState;
use super::step::forward_backward::{Observe, TrainBatch, micro_step};
use super::step::targets::columns_and_boxes;
use super::step::update::{StepExtras, apply_seen};
use super::step::window::Window;
use super::store::results::ResultsFile;
use super::store::save_clock::SaveClock;
use super::validate::validation::Validated;
use super::watch::recorder::Watching;
use crate::board::release_freed_memory;
use crate::boxes::assign_inside;
use crate::data::{Batch, Loader, LoaderOptions, normalised};
use crate::loss::{SsdLoss, Targets};
use crate::watchdog::JournalEntry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Weight of the box part while anchors are assigned by place: boxes far from their anchors would drown the classes.
const INSIDE_BOXES: f32 = 0.25;

/// Steps between two observations of the layers' mean inputs.
const OBSERVE_EVERY: u64 = 8;
/// First steps, on each of which they are observed.
const OBSERVE_FIRST: u64 = 4;

/// Trains until the recipe's epochs are done, patience ends, or `stop` is set. The state is left as it ended.
///
/// # Errors
/// If data or disk fail, or the loss becomes NaN or infinite. The last checkpoint stays.
pub fn train(
    job: &Job,
    state: &mut TrainState,
    training: &Records,
    validation: &Records,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Ending, TrainError> {
    train_from(job, None, state, [training, validation], stop, on)
}

/// Trains a part of a run. The state is saved at its end; no detector is written.
///
/// # Errors
/// As [`train`].
pub fn train_part(
    job: &Job,
    part: &RunPart,
    state: &mut TrainState,
    splits: [&Records; 2],
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Ending, TrainError> {
    train_from(job, Some(part), state, splits, stop, on)
}

fn train_from(
    job: &Job,
    part: Option<&RunPart>,
    state: &mut TrainState,
    [training, validation]: [&Records; 2],
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Ending, TrainError> {
    job.recipe.check().map_err(TrainError::Recipe)?;
    job.recipe.check_classes(&job.class_names).map_err(TrainError::Recipe)?;
    if training.is_empty() {
        return Err(TrainError::Empty { split: "training split".into(), found: "no image".into() });
    }
    let encoder = job.recipe.encoder(&state.model, job.size)?;
    let scores = state.model.convention().scores;
    let given = Live::of(job, scores, training.len(), None);
    let mut watching = Watching::begin(job, state, &given.schedule, &encoder, [training, validation])?;
    let said = std::mem::take(&mut watching.said);
    let adjustments = state.watchdog.as_ref().map(|w| w.adjustments());
    let results = ResultsFile::open(&job.folder, &job.class_names, &state.progress.history);
    let mut run = Run {
        job,
        part,
        live: Live::of(job, scores, training.len(), adjustments),
        watching,
        training,
        encoder,
        held: None,
        micro_batch: job.recipe.micro_batch,
        saving: SaveClock::new(),
        began: Instant::now(),
        seen: 0,
        worked_before: results.seconds(),
        results,
        pace: None,
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

impl Run<'_> {
    /// The rest of the run; saves the state at its end.
    fn epochs(
        &mut self,
        state: &mut TrainState,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Ending, TrainError> {
        let Recipe { epochs, patience, until_ap, .. } = self.live.recipe;
        let epochs = self.part.map_or(epochs, |part| part.until.min(epochs));
        let mut ending = Ending::Finished;
        while state.progress.epoch < epochs {
            let since = state.progress.epoch - state.progress.best.map_or(0, |b| b.epoch);
            if patience > 0 && since >= patience {
                ending = Ending::Patience;
                break;
            }
            if until_ap > 0.0 && state.progress.best.is_some_and(|best| best.ap >= until_ap) {
                ending = Ending::Reached;
                break;
            }
            ending = self.epoch(state, stop, on)?;
            if ending == Ending::Stopped {
                break;
            }
            let validated = match self.part {
                None => self.validate(state, validation, stop, on)?,
                Some(part) => self.close_epoch(part, state, validation, stop, on)?,
            };
            if validated == Validated::NotYet {
                ending = Ending::Stopped;
                break;
            }
            if ending == Ending::GivenUp || self.live.stop {
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
            augment: Some(self.live.recipe.augmentation(epoch)),
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
        let (epoch, seed) = (state.progress.epoch, self.live.recipe.seed);
        let mut mixture = self.live.mixture.clone();
        let mut plan = mixture.plan(self.training.len(), seed, epoch);
        let mut window = Window::default();
        self.micro_batch = self.requested_micro_batch();
        let (began, before) = (Instant::now(), self.seen);
        self.pace = None;
        let mut batches = self.loader(epoch).epoch(plan.clone(), state.progress.position);
        while let Some(batch) = batches.next() {
            if window.images == 0 {
                self.hold(state);
            }
            self.micro_batch(state, batch?, &mut window);
            on(Event::MicroBatch);
            let at = state.progress.position + window.images;
            if window.images < self.live.recipe.batch && at < self.training.len() {
                continue;
            }
            self.step(state, &mut window, on)?;
            window.clear();
            state.progress.position = at;
            self.pace = Some((self.seen - before) as f64 / began.elapsed().as_secs_f64());
            self.watching.pace(state, batches.waited(), at as u64)?;
            if self.live.stop {
                return Ok(Ending::GivenUp);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Stopped);
            }
            self.save_when_due(state, on)?;
            let asked = self.requested_micro_batch();
            if asked != self.micro_batch || self.live.mixture != mixture {
                self.micro_batch = asked;
                mixture = self.live.mixture.clone();
                plan = mixture.plan(self.training.len(), seed, epoch);
                batches = self.loader(epoch).epoch(plan.clone(), at);
                release_freed_memory();
            }
        }
        Ok(Ending::Finished)
    }

    /// Holds the backbone or lets it go, where the step that begins changes that.
    fn hold(&mut self, state: &mut TrainState) {
        let held = self.live.holds_backbone(state.progress.step);
        if self.held != Some(held) {
            state.model.hold_backbone(held);
            self.held = Some(held);
        }
    }

    /// Takes a micro-batch in.
    fn micro_batch(&mut self, state: &TrainState, batch: Batch, window: &mut Window) {
        let inside = self.live.recipe.is_inside(state.progress.epoch);
        let inside_loss = |loss: &SsdLoss| SsdLoss { box_weight: INSIDE_BOXES * loss.box_weight, ..loss.clone() };
        let loss = if inside { &inside_loss(&self.live.loss) } else { &self.live.loss };
        let targets = batch.objects.iter().map(|objects| {
            let (columns, boxes) = columns_and_boxes(objects);
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
        // A part begins without means, whatever was observed before it.
        let first = self.part.map_or(0, |part| part.first_step);
        let due = step < first + OBSERVE_FIRST || step.is_multiple_of(OBSERVE_EVERY);
        // Over the whole window, so that the step does not depend on how it was cut into micro-batches.
        let wanted = self.live.recipe.centred || self.watching.is_on();
        let observe = if wanted && due { Observe::Inputs } else { Observe::Nothing };
        let losses = micro_step(&state.model, loss, batch, window, observe);
        self.watching.micro_batch(&losses, &indices, &self.live.loss);
    }

    fn step(
        &mut self,
        state: &mut TrainState,
        window: &mut Window,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        self.seen += window.images;
        if let Some(mishap) = self.job.mishap {
            mishap.flip(state);
        }
        if self.job.mishap.is_some_and(|m| m.strikes(state.progress.step)) {
            window.class = f64::NAN;
        }
        let (step, loss) = (state.progress.step, (window.class + window.boxes) / window.normaliser());
        let mut look = self.watching.look(state);
        let extras = StepExtras { look: look.as_mut(), pull: self.part.and_then(|part| part.pull.as_ref()) };
        let stats = apply_seen(state, window, &self.live.recipe, &self.live.schedule, extras);
        let sound = loss.is_finite() && stats.grad_norm.is_finite();
        if sound {
            let sums = &mut state.progress.sums;
            sums.steps += 1;
            sums.class += stats.class;
            sums.boxes += stats.boxes;
            sums.grad_norm += stats.grad_norm;
        }
        let said = self.watching.step(state, &self.live, &stats, look, &window.inputs)?;
        self.act(state, &said, on)?;
        let cured = said.iter().any(|e| matches!(e, JournalEntry::Cure(c) if c.applied));
        if !sound && !cured {
            return Err(TrainError::Diverged { step, loss, grad_norm: stats.grad_norm, lr: stats.lr });
        }
        on(Event::Step(StepReport {
            stats,
            step: state.progress.step,
            total: self.live.schedule.total,
            epoch: state.progress.epoch + 1,
            images_per_second: self.seen as f64 / self.began.elapsed().as_secs_f64(),
        }));
        Ok(())
    }
}
