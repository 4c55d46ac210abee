//! The end of an epoch: the averaged weights judged on the validation split, the best kept and exported.

use super::error::TrainError;
use super::evaluation::evaluate_seen;
use super::progress::{Best, EpochRecord};
use super::records::Records;
use super::results::write_results;
use super::run::{Event, Run};
use super::state::TrainState;
use crate::board::release_freed_memory;
use crate::boxes::{BoxCoder, CornerBox};
use crate::loss::{ImageGradients, ImageLoss, Targets};
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::onnx::{Document, ExportOptions, Form, Images};
use crate::watchdog::Mode;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fewest steps between states worth going back to.
const GOOD_EVERY: u64 = 64;

/// Whether an epoch was judged to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Whole,
    /// The run was asked to stop; it is judged when the run goes on.
    NotYet,
}

impl Run<'_> {
    /// Ends the epoch: validation figures, the best so far, results.csv. Asked to stop meanwhile, it leaves the epoch
    /// unjudged.
    pub(super) fn judge(
        &mut self,
        state: &mut TrainState,
        validation: &Records,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Judged, TrainError> {
        // What the epoch's steps left in the allocator is of other sizes than what is asked for now.
        release_freed_memory();
        let mut averaged = state.averaged();
        // Judged is what will be exported, to the last bit.
        averaged.convs_mut().into_iter().for_each(|(_, conv)| conv.fold());
        let model = SsdModel::into_inference(averaged);
        let job = self.job;
        let mut judged = ImageLoss::default();
        let encoder = &self.encoder;
        let loss = job.recipe.ssd_loss(&job.class_names);
        let watched = self.watching.is_on();
        let mut see = |objects: &[crate::data::Object], logits: &[f32], deltas: &[f32]| {
            on(Event::Judging);
            if stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if !watched {
                return ControlFlow::Continue(());
            }
            let known: Vec<_> = objects.iter().filter(|o| !o.crowd).collect();
            let columns: Vec<u32> = known.iter().map(|o| o.class as u32 + 1).collect();
            let boxes: Vec<CornerBox> = known.iter().map(|o| o.bbox).collect();
            let targets: Targets = encoder.encode(&columns, &boxes);
            let (mut dl, mut dd) = (vec![0.0; logits.len()], vec![0.0; deltas.len()]);
            let of_image = loss.image(logits, deltas, &targets, ImageGradients { logits: &mut dl, deltas: &mut dd });
            judged.class += of_image.class;
            judged.boxes += of_image.boxes;
            judged.positives += of_image.positives;
            ControlFlow::Continue(())
        };
        let detector = job.detector(&model);
        let seen = evaluate_seen(&model, validation, job.size, &detector, &job.class_names, &mut see)?;
        let Some(evaluation) = seen else { return Ok(Judged::NotYet) };
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
            lr: self.watching.recipe.lr * self.watching.schedule.factor(progress.step.saturating_sub(1)),
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
            let network = model.weights();
            drop(model);
            // One copy of the numbers after the other: a small board has no room for all at once.
            let file = self.document(&network)?;
            drop(network);
            release_freed_memory();
            file.write()?;
        }
        release_freed_memory();
        write_results(&job.folder.join("results.csv"), &state.progress.history)?;
        on(Event::Epoch { record: &record, evaluation: &evaluation, best });
        let positives = judged.positives.max(1) as f64;
        let held_out = [judged.class / positives, judged.boxes / positives];
        let said = self.watching.epoch(state, &record, metrics, Some(held_out))?;
        self.act(state, &said, on)?;
        // At the ends of epochs only: where to go back to must not depend on the clock.
        let watched = state.watchdog.as_ref().filter(|_| job.watchdog == Mode::Cure);
        let every = GOOD_EVERY.max(self.watching.schedule.total / 16);
        let before = state.progress.history.iter().rev().nth(1).map_or(0, |r| r.step);
        let due = record.step / every > before / every;
        if due && watched.is_some_and(|w| w.is_calm()) && record.epoch < job.recipe.epochs {
            self.save(state, on)?;
            self.keep_good(state)?;
        }
        Ok(Judged::Whole)
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
}
