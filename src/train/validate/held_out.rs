//! A network's figures on held-back photos, without a run around it.

use super::evaluation::{Evaluation, evaluate_seen};
use crate::loss::{ImageGradients, ImageLoss};
use crate::model::SsdModel;
use crate::train::error::TrainError;
use crate::train::job::Job;
use crate::train::records::Records;
use crate::train::step::targets::columns_and_boxes;
use std::ops::ControlFlow;

/// A network's worth on photos that it was not trained on.
#[derive(Clone, Debug)]
pub struct HeldOut {
    pub evaluation: Evaluation,
    /// Class and box loss per matched anchor.
    pub losses: [f64; 2],
}

/// Runs the network over the records and judges it by a job's recipe.
///
/// # Errors
/// If a record cannot be read, or the network's heads have other anchors than its rule.
pub fn held_out(job: &Job, model: SsdModel, records: &Records) -> Result<HeldOut, TrainError> {
    let (encoder, detector) = (job.recipe.encoder(&model, job.size)?, job.detector(&model)?);
    let loss = job.recipe.ssd_loss(&job.class_names, model.convention().scores);
    let mut sum = ImageLoss::default();
    let seen =
        evaluate_seen(&model, records, job.size, &detector, &job.class_names, &mut |objects, logits, deltas| {
            let (columns, boxes) = columns_and_boxes(objects.iter().filter(|o| !o.crowd));
            let (mut dl, mut dd) = (vec![0.0; logits.len()], vec![0.0; deltas.len()]);
            let gradients = ImageGradients { logits: &mut dl, deltas: &mut dd };
            let of_image = loss.image(logits, deltas, &encoder.encode(&columns, &boxes), gradients);
            sum.class += of_image.class;
            sum.boxes += of_image.boxes;
            sum.positives += of_image.positives;
            ControlFlow::Continue(())
        })?;
    let positives = sum.positives.max(1) as f64;
    let evaluation = seen.expect("this witness never has enough");
    Ok(HeldOut { evaluation, losses: [sum.class / positives, sum.boxes / positives] })
}
