//! A run: epochs of windows of micro-batches, judged after each epoch, saved on the way.

use super::checkpoint::{Checkpoint, Header, TrainingData};
use super::error::TrainError;
use super::evaluation::{Evaluation, evaluate};
use super::progress::{Best, EpochRecord, LossSums};
use super::recipe::{LossKind, Recipe};
use super::records::Records;
use super::results::write_results;
use super::state::TrainState;
use super::step::{Observe, TrainBatch, micro_step};
use super::update::{StepStats, apply};
use super::window::Window;
use crate::board::release_freed_memory;
use crate::boxes::{Anchors, BoxCoder, CornerBox, Matcher, assign_inside};
use crate::data::{Batch, EpochPlan, Loader, LoaderOptions};
use crate::eval::{Detector, ScoreMode};
use crate::loss::{SsdLoss, TargetEncoder};
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::onnx::{Document, ExportOptions, Form, Images};
use crate::optim::Schedule;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What stays the same over a run.
#[derive(Clone, Debug)]
pub struct Job {
    pub recipe: Recipe,
    /// Input size in pixels.
    pub size: usize,
    /// Without the background.
    pub class_names: Vec<String>,
    /// The run folder; it exists and has a `weights` folder.
    pub folder: PathBuf,
    /// Longest time between checkpoints.
    pub checkpoint_every: Duration,
    pub loader_threads: usize,
}

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
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    /// No better validation AP for as many epochs as the recipe's patience.
    Patience,
    /// Asked to stop; resumable.
    Stopped,
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

impl Job {
    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("weights/last.ckpt")
    }

    pub fn best_path(&self) -> PathBuf {
        self.folder.join("weights/best.onnx")
    }

    fn anchors(&self, model: &SsdModel) -> Anchors {
        Anchors::tf_ssd(&model.specs().map_sizes(self.size))
    }

    /// What turns predictions of the trained network into detections.
    pub fn detector(&self, model: &SsdModel) -> Detector {
        let mode = match self.recipe.loss {
            LossKind::Mining => ScoreMode::Softmax,
            LossKind::Focal => ScoreMode::Sigmoid,
        };
        Detector::new(self.anchors(model), mode)
    }
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
    let loss = job.recipe.ssd_loss(&job.class_names);
    let mut run = Run {
        job,
        schedule: job.recipe.schedule(training.len()),
        inside_loss: SsdLoss { box_weight: INSIDE_BOXES * loss.box_weight, ..loss.clone() },
        loss,
        training,
        encoder,
        held: None,
        saved: Instant::now(),
        began: Instant::now(),
        seen: 0,
    };
    if state.progress.step == 0 {
        // A run can be resumed from its first moment on, and a disk that refuses is known before the work.
        run.save(state, on)?;
    }
    while state.progress.epoch < job.recipe.epochs {
        let since = state.progress.epoch - state.progress.best.map_or(0, |b| b.epoch);
        if job.recipe.patience > 0 && since >= job.recipe.patience {
            run.save(state, on)?;
            return Ok(Ending::Patience);
        }
        if run.epoch(state, stop, on)? == Ending::Stopped {
            run.save(state, on)?;
            return Ok(Ending::Stopped);
        }
        run.judge(state, validation, on)?;
    }
    run.save(state, on)?;
    Ok(Ending::Finished)
}

/// What a run needs besides its state.
struct Run<'a> {
    job: &'a Job,
    schedule: Schedule,
    loss: SsdLoss,
    /// While anchors are assigned by place.
    inside_loss: SsdLoss,
    training: &'a Records,
    encoder: TargetEncoder,
    /// Whether the backbone is held; `None` before the first step of this call.
    held: Option<bool>,
    saved: Instant,
    began: Instant,
    /// Images trained on since `began`.
    seen: usize,
}

impl Run<'_> {
    fn loader(&self, epoch: u64) -> Loader {
        let options = LoaderOptions {
            size: self.job.size,
            micro_batch: self.job.recipe.micro_batch,
            threads: self.job.loader_threads,
            queue: loader_queue(self.job.recipe.micro_batch),
            augment: Some(self.job.recipe.augmentation(epoch)),
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
        let plan = EpochPlan::shuffled(self.training.len(), recipe.seed, state.progress.epoch);
        let mut window = Window::default();
        let batches = self.loader(state.progress.epoch).epoch(plan, state.progress.position);
        for batch in batches {
            if window.images == 0 {
                self.hold(state);
            }
            self.micro_batch(state, batch?, &mut window);
            let at = state.progress.position + window.images;
            if window.images < recipe.batch && at < self.training.len() {
                continue;
            }
            self.step(state, &mut window, on)?;
            window.clear();
            state.progress.position = at;
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Stopped);
            }
            if self.saved.elapsed() >= self.job.checkpoint_every {
                self.save(state, on)?;
            }
        }
        Ok(Ending::Finished)
    }

    /// Holds the backbone or lets it go, where the step that begins changes that.
    fn hold(&mut self, state: &mut TrainState) {
        let held = state.progress.step < self.job.recipe.held_steps(&self.schedule);
        if self.held != Some(held) {
            state.model.hold_backbone(held);
            self.held = Some(held);
        }
    }

    fn micro_batch(&self, state: &TrainState, batch: Batch, window: &mut Window) {
        let inside = self.job.recipe.is_inside(state.progress.epoch);
        let loss = if inside { &self.inside_loss } else { &self.loss };
        let targets = batch.objects.iter().map(|objects| {
            let columns: Vec<u32> = objects.iter().map(|o| o.class as u32 + 1).collect();
            let boxes: Vec<CornerBox> = objects.iter().map(|o| o.bbox).collect();
            if !inside {
                return self.encoder.encode(&columns, &boxes);
            }
            self.encoder.encode_assigned(&assign_inside(&self.encoder.anchors, &boxes), &columns, &boxes)
        });
        let targets = targets.collect();
        let batch = TrainBatch { images: batch.images, size: batch.size, targets };
        let step = state.progress.step;
        let due = step < OBSERVE_FIRST || step.is_multiple_of(OBSERVE_EVERY);
        // Over the whole window, so that the step does not depend on how it was cut into micro-batches.
        let observe = if self.job.recipe.centred && due { Observe::Inputs } else { Observe::Nothing };
        micro_step(&state.model, loss, batch, window, observe);
    }

    fn step(
        &mut self,
        state: &mut TrainState,
        window: &mut Window,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        self.seen += window.images;
        let (step, loss) = (state.progress.step, (window.class + window.boxes) / window.normaliser());
        let stats = apply(state, window, &self.job.recipe, &self.schedule);
        if !(loss.is_finite() && stats.grad_norm.is_finite()) {
            return Err(TrainError::Diverged { step, loss, grad_norm: stats.grad_norm, lr: stats.lr });
        }
        let sums = &mut state.progress.sums;
        sums.steps += 1;
        sums.class += stats.class;
        sums.boxes += stats.boxes;
        sums.grad_norm += stats.grad_norm;
        on(Event::Step(StepReport {
            stats,
            step: state.progress.step,
            total: self.schedule.total,
            epoch: state.progress.epoch + 1,
            images_per_second: self.seen as f64 / self.began.elapsed().as_secs_f64(),
        }));
        Ok(())
    }

    /// Ends the epoch: validation figures, the best so far, results.csv.
    fn judge(
        &mut self,
        state: &mut TrainState,
        validation: &Records,
        on: &mut dyn FnMut(Event),
    ) -> Result<(), TrainError> {
        // What the epoch's steps left in the allocator is of other sizes than what is asked for now.
        release_freed_memory();
        let mut averaged = state.averaged();
        // Judged is what will be exported, to the last bit.
        averaged.convs_mut().into_iter().for_each(|(_, conv)| conv.fold());
        let model = SsdModel::into_inference(averaged);
        let job = self.job;
        let evaluation = evaluate(&model, validation, job.size, &job.detector(&model), &job.class_names)?;
        let progress = &mut state.progress;
        progress.epoch += 1;
        progress.position = 0;
        let sums = std::mem::take(&mut progress.sums);
        let metrics = &evaluation.metrics;
        let record = EpochRecord {
            epoch: progress.epoch,
            step: progress.step,
            class_loss: sums.mean(sums.class),
            box_loss: sums.mean(sums.boxes),
            grad_norm: sums.mean(sums.grad_norm),
            lr: job.recipe.lr * self.schedule.factor(progress.step.saturating_sub(1)),
            ap: metrics.ap,
            ap50: metrics.ap50,
            ap75: metrics.ap75,
        };
        progress.history.push(record.clone());
        // Without a validation figure the latest weights are the best there are.
        let ap = metrics.ap.unwrap_or(0.0);
        let best = metrics.ap.is_none() || progress.best.is_none_or(|b| ap > b.ap);
        if best {
            progress.best = Some(Best { epoch: progress.epoch, ap });
            // One copy of the numbers after the other: a small board has no room for all at once.
            let network = model.weights();
            drop(model);
            let file = self.document(&network)?;
            drop(network);
            release_freed_memory();
            file.write()?;
        }
        release_freed_memory();
        write_results(&job.folder.join("results.csv"), &state.progress.history)?;
        on(Event::Epoch { record: &record, evaluation: &evaluation, best });
        Ok(())
    }

    fn document(&self, network: &Ssd<ConvWeights>) -> Result<Document, TrainError> {
        let options = ExportOptions {
            size: self.job.size,
            images: Images::Any,
            class_names: &self.job.class_names,
            coder: BoxCoder::default(),
            anchors: "tf-ssd",
            scores: self.job.recipe.loss.scores(),
            form: Form::RawHeads,
        };
        Ok(Document::new(network, &self.job.best_path(), &options)?)
    }

    fn save(&mut self, state: &TrainState, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
        let job = self.job;
        let training = TrainingData { images: self.training.len(), crc32: self.training.crc32() };
        let header = Header::of(state.model.specs(), job.size, &job.class_names, &job.recipe, training);
        Checkpoint::save(&job.checkpoint_path(), state, header)?;
        self.saved = Instant::now();
        on(Event::Checkpoint { step: state.progress.step });
        Ok(())
    }
}

/// Mean loss so far, for progress lines.
impl LossSums {
    pub fn mean_class(&self) -> f64 {
        self.mean(self.class)
    }

    pub fn mean_boxes(&self) -> f64 {
        self.mean(self.boxes)
    }
}
