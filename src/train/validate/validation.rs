//! Validation at the end of an epoch: the averaged weights are measured on the validation split; the best are kept
//! and exported.

use super::evaluation::{Evaluation, evaluate_seen};
use crate::board::release_freed_memory;
use crate::boxes::CornerBox;
use crate::data::Object;
use crate::eval::{CocoMetrics, Interval, Mixup, Thresholds, mistakes};
use crate::interchange::{Document, ExportOptions};
use crate::loss::{ImageGradients, ImageLoss};
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::train::error::TrainError;
use crate::train::event::Event;
use crate::train::part::RunPart;
use crate::train::progress::{Best, EpochRecord};
use crate::train::records::Records;
use crate::train::run::Run;
use crate::train::state::TrainState;
use crate::train::step::targets::columns_and_boxes;
use crate::train::store::results::EpochRow;
use crate::train::store::saving::insist;
use crate::train::watch::recorder::HeldOutFigures;
use crate::watchdog::{ClassMixup, MIXUPS, Mode, Shortfall};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fewest steps between states worth going back to.
const GOOD_EVERY: u64 = 64;

/// The extent of an epoch's validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::train) enum Validated {
    Whole,
    /// The run was asked to stop; the epoch is validated when the run goes on.
    NotYet,
}

/// The figures of an epoch's validation.
struct Measured {
    evaluation: Evaluation,
    held_out: HeldOutFigures,
}

impl Run<'_> {
    /// Ends the epoch: validation figures, the best weights so far, results.csv, the watchdog's opinion. Asked to stop
    /// meanwhile, it leaves the epoch without a validation.
    ///
    /// # Errors
    /// If a record cannot be read, or the storage refuses for too long.
    pub(in crate::train) fn validate(
        &mut self,
        state: &mut TrainState,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Validated, TrainError> {
        // Memory that the epoch's steps left in the allocator is of other sizes than those asked for now.
        release_freed_memory();
        let model = SsdModel::into_inference(folded(state));
        let Some(measured) = self.measure(&model, validation, stop, on)? else { return Ok(Validated::NotYet) };
        let metrics = &measured.evaluation.metrics;
        let record = self.record(state, &measured.evaluation);
        // Without a validation figure the latest weights are the best there are.
        let ap = metrics.ap.unwrap_or(0.0);
        let best = metrics.ap.is_none() || state.progress.best.is_none_or(|b| ap > b.ap);
        if best {
            state.progress.best = Some(Best { epoch: record.epoch, ap });
            self.keep_best(state, model, &measured.evaluation.thresholds(), on)?;
        }
        release_freed_memory();
        self.results.add(EpochRow {
            record: record.clone(),
            seconds: Some(self.worked_before + self.began.elapsed().as_secs_f64()),
            images_per_second: self.pace,
            held_out: Some(measured.held_out.losses),
            class_ap: metrics.classes.iter().map(|c| c.ap).collect(),
        });
        if let Err(error) = self.results.write() {
            // Written whole after every epoch: the next will have this one's line.
            on(Event::Refused { error: &error, goes_on: true });
        }
        let rows = self.results.rows();
        on(Event::Epoch { record: &record, evaluation: &measured.evaluation, best, rows });
        let said = self.watching.epoch(state, &record, metrics, Some(measured.held_out))?;
        self.act(state, &said, on)?;
        self.keep_good_when_due(state, &record, on)?;
        Ok(Validated::Whole)
    }

    /// Ends an epoch of a part: the figures of its last one if they are wanted, and the watchdog's opinion.
    ///
    /// # Errors
    /// As [`Run::validate`].
    pub(in crate::train) fn close_epoch(
        &mut self,
        part: &RunPart,
        state: &mut TrainState,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Validated, TrainError> {
        let last = state.progress.epoch + 1 >= part.until;
        if !(part.judged && last) || validation.is_empty() {
            let metrics = CocoMetrics::default();
            let unseen = Evaluation { metrics, truth: Vec::new(), detections: Vec::new() };
            let record = self.record(state, &unseen);
            let said = self.watching.epoch(state, &record, &unseen.metrics, None)?;
            self.act(state, &said, on)?;
            return Ok(Validated::Whole);
        }
        release_freed_memory();
        let model = SsdModel::into_inference(folded(state));
        let Some(measured) = self.measure(&model, validation, stop, on)? else { return Ok(Validated::NotYet) };
        drop(model);
        release_freed_memory();
        let record = self.record(state, &measured.evaluation);
        on(Event::Epoch { record: &record, evaluation: &measured.evaluation, best: false, rows: &[] });
        let said = self.watching.epoch(state, &record, &measured.evaluation.metrics, Some(measured.held_out))?;
        self.act(state, &said, on)?;
        Ok(Validated::Whole)
    }

    /// Runs the network over the validation images; `None` if the run was asked to stop meanwhile.
    fn measure(
        &self,
        model: &SsdModel,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Option<Measured>, TrainError> {
        let job = self.job;
        let loss = job.recipe.ssd_loss(&job.class_names, model.convention().scores);
        let (mut sum, mut naming, mut small) = (ImageLoss::default(), 0.0, Vec::new());
        let cell = self.encoder.anchors.maps().first().copied().unwrap_or([1, 1]);
        let mut see = |objects: &[Object], logits: &[f32], deltas: &[f32]| {
            on(Event::Judging { done: small.len() + 1, total: validation.len() });
            if stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            let (columns, boxes) = columns_and_boxes(objects.iter().filter(|o| !o.crowd));
            let targets = self.encoder.encode(&columns, &boxes);
            let (mut dl, mut dd) = (vec![0.0; logits.len()], vec![0.0; deltas.len()]);
            let gradients = ImageGradients { logits: &mut dl, deltas: &mut dd };
            let of_image = loss.image(logits, deltas, &targets, gradients);
            sum.class += of_image.class;
            sum.boxes += of_image.boxes;
            sum.positives += of_image.positives;
            naming += of_image.matched.iter().map(|m| m.naming).sum::<f64>();
            small.push(objects.iter().map(|o| is_below_a_cell(&o.bbox, cell)).collect::<Vec<bool>>());
            ControlFlow::Continue(())
        };
        let detector = job.detector(model)?;
        let seen = evaluate_seen(model, validation, job.size, &detector, &job.class_names, &mut see)?;
        let positives = sum.positives.max(1) as f64;
        Ok(seen.map(|evaluation| {
            let losses = [sum.class / positives, sum.boxes / positives];
            let shortfall = self.watching.is_on().then(|| shortfall(&evaluation, &small));
            Measured { evaluation, held_out: HeldOutFigures { losses, naming: naming / positives, shortfall } }
        }))
    }

    /// Counts the epoch and writes its figures into the history.
    fn record(&self, state: &mut TrainState, evaluation: &Evaluation) -> EpochRecord {
        let (metrics, samples) = (&evaluation.metrics, evaluation.ap_samples());
        let bounds = |interval: Option<Interval>| interval.map(|i| [i.low, i.high]);
        let progress = &mut state.progress;
        progress.epoch += 1;
        progress.position = 0;
        let sums = std::mem::take(&mut progress.sums);
        let record = EpochRecord {
            epoch: progress.epoch,
            step: progress.step,
            class_loss: sums.mean(sums.class),
            box_loss: sums.mean(sums.boxes),
            grad_norm: sums.mean(sums.grad_norm),
            lr: self.live.recipe.lr * self.live.schedule.factor(progress.step.saturating_sub(1)),
            ap: metrics.ap,
            ap50: metrics.ap50,
            ap75: metrics.ap75,
            ap_interval: bounds(samples.ap()),
            ap50_interval: bounds(samples.ap50()),
        };
        progress.history.push(record.clone());
        record
    }

    /// Exports the weights that were measured as `best.onnx`.
    fn keep_best(
        &self,
        state: &TrainState,
        model: SsdModel,
        found: &Thresholds,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        let network = model.weights();
        drop(model);
        // One copy of the weights after the other: a small board has no room for all at once.
        let file = self.document(&network, found)?;
        drop(network);
        release_freed_memory();
        let mut made = Some(file);
        insist(on, || {
            // Written, its memory is gone: for another try it is made anew.
            let file = made.take().map_or_else(|| self.document(&folded(state), found), Ok)?;
            file.write()?;
            Ok(())
        })
    }

    /// Keeps the state as one worth going back to, where nothing is suspected. At the ends of epochs only: the state
    /// must not depend on the clock.
    fn keep_good_when_due(
        &mut self,
        state: &TrainState,
        record: &EpochRecord,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        let watched = state.watchdog.as_ref().filter(|_| self.job.watchdog == Mode::Cure);
        let every = GOOD_EVERY.max(self.live.schedule.total / 16);
        let before = state.progress.history.iter().rev().nth(1).map_or(0, |r| r.step);
        let due = record.step / every > before / every;
        if due && watched.is_some_and(|w| w.is_calm()) && record.epoch < self.job.recipe.epochs {
            let saved = self.try_save(state, on)?;
            if saved && let Err(error) = self.keep_good(state) {
                on(Event::Refused { error: &error, goes_on: true });
            }
        }
        Ok(())
    }

    fn document(&self, network: &Ssd<ConvWeights>, found: &Thresholds) -> Result<Document, TrainError> {
        let classes: Vec<Option<f64>> = found.classes.iter().map(|t| t.map(|t| t.score)).collect();
        let options = ExportOptions {
            trained_on: self.job.trained_on.as_ref(),
            thresholds: found.overall.map(|t| (t.score, classes.as_slice())),
            ..ExportOptions::raw(self.job.size, &self.job.class_names)
        };
        Ok(Document::new(network, &self.job.best_path(), &options)?)
    }
}

/// True if an object is smaller than a cell of the finest map, which has so many rows and columns.
fn is_below_a_cell(bbox: &CornerBox, [rows, columns]: [usize; 2]) -> bool {
    bbox.width() * columns as f64 * bbox.height() * rows as f64 <= 1.0
}

/// The loss of AP50 by kind of mistake.
fn shortfall(evaluation: &Evaluation, small: &[Vec<bool>]) -> Shortfall {
    let found = mistakes(&evaluation.truth, &evaluation.detections, evaluation.metrics.classes.len(), small);
    let gain = |v: f64| (v * 1e4).round() as f32 / 1e4;
    let counts = |[found, all]: [usize; 2]| [found as u32, all as u32];
    let mixup = |m: &Mixup| ClassMixup {
        label: m.label as u32,
        answer: m.answer as u32,
        count: m.count as u32,
        of: m.of as u32,
    };
    Shortfall {
        naming: gain(found.naming),
        placing: gain(found.placing),
        phantoms: gain(found.phantoms),
        missed: gain(found.missed),
        missed_small: gain(found.missed_small),
        found_small: counts(found.found_small),
        found_others: counts(found.found_others),
        mixups: found.mixups.iter().take(MIXUPS).map(mixup).collect(),
    }
}

/// The averaged weights as they are exported, and judged: the same to the last bit.
fn folded(state: &TrainState) -> Ssd<ConvWeights> {
    let mut averaged = state.averaged();
    averaged.convs_mut().into_iter().for_each(|(_, conv)| conv.fold());
    averaged
}
