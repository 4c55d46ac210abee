//! What a finished run leaves besides weights: pictures of its labels, batches, predictions and curves, and the proof
//! that the exported file computes what was trained.

use super::loaded::LoadedDetector;
use crate::board::release_freed_memory;
use crate::data::{EpochPlan, Object, RgbImage, augment, normalise, normalised, plain};
use crate::eval::confusion;
use crate::onnx::verify;
use crate::report::{Marker, PrCurve, Tile, draw_confusion_matrix, draw_pr_curves, mosaic, write_png};
use crate::train::{Evaluation, Event, Job, Records, detect};
use anyhow::{Result, bail};

/// Largest difference between tract's logits and our own forward that passes.
const ALLOWED_DIFFERENCE: f32 = 1e-3;

/// Tiles per picture, and their side in pixels.
const TILES: usize = 12;
const COLUMNS: usize = 4;
const SIDE: usize = 240;

/// Remembers the best epoch's evaluation until the run is over.
pub struct Pictures<'a> {
    job: &'a Job,
    best: Option<Evaluation>,
}

impl<'a> Pictures<'a> {
    pub fn new(job: &'a Job) -> Self {
        Self { job, best: None }
    }

    pub fn collect(&mut self, event: &Event) {
        if let Event::Epoch { evaluation, best: true, .. } = event {
            self.best = Some((*evaluation).clone());
        }
    }

    /// Writes `labels.png`, `train_batch0.png`, and from the best epoch of this call `pr_curve.png` and
    /// `confusion_matrix.png`.
    ///
    /// # Errors
    /// If a record cannot be read or a picture cannot be written.
    pub fn write(&self, training: &Records) -> Result<()> {
        let (mut labels, mut batch) = (Vec::new(), Vec::new());
        let plan = EpochPlan::shuffled(training.len(), self.job.recipe.seed, 0);
        for position in 0..TILES.min(training.len()) {
            let record = training.get(plan.order()[position])?;
            let shown = augment(&record, self.job.size, &self.job.recipe.augment, &mut plan.generator(position));
            batch.push((shown.image, shown.objects, String::new()));
            labels.push((record.image, record.objects, record.source));
        }
        for (shown, name) in [(&labels, "labels.png"), (&batch, "train_batch0.png")] {
            let tiles: Vec<Tile> = shown.iter().map(|(i, o, caption)| self.tile(i, o, caption.clone())).collect();
            write_png(&mosaic(&tiles, COLUMNS, SIDE), &self.job.folder.join(name))?;
        }
        let Some(best) = &self.best else { return Ok(()) };
        let classes = best.metrics.classes.iter().enumerate();
        let curves: Vec<PrCurve> = classes
            .map(|(i, c)| PrCurve { name: c.name.clone(), points: best.metrics.pr_curve(i), ap: c.ap50 })
            .collect();
        write_png(&draw_pr_curves("Precision and recall at IoU 0.5", &curves), &self.job.folder.join("pr_curve.png"))?;
        let names = &self.job.class_names;
        let table = confusion(&best.truth, &best.detections, names.len(), 0.5, 0.4);
        let picture = draw_confusion_matrix("Confusion at IoU 0.5, score 0.4", names, &table.counts);
        write_png(&picture, &self.job.folder.join("confusion_matrix.png"))?;
        Ok(())
    }

    fn tile<'i>(&self, image: &'i RgbImage, objects: &[Object], caption: String) -> Tile<'i> {
        let marker = |o: &Object| Marker::object(o.bbox, o.class, &self.job.class_names[o.class]);
        Tile { image, markers: objects.iter().map(marker).collect(), caption }
    }
}

/// Runs the exported file with tract on validation images, compares with our own forward, and draws what it finds.
///
/// # Errors
/// If the file cannot be run, or computes something else than what was trained.
pub fn verify_export(job: &Job, validation: &Records) -> Result<()> {
    let path = job.best_path();
    let loaded = LoadedDetector::open(&path)?;
    let count = 4.min(validation.len());
    let size = job.size;
    let mut images = vec![0.0; count * size * size * 3];
    for (i, image) in images.chunks_exact_mut(size * size * 3).enumerate() {
        normalise(&plain(&validation.get(i)?, size).image, image);
    }
    let predictions = loaded.model.forward(crate::ops::tensor(images.clone(), [count, size, size, 3]));
    // Tract makes copies of its own; both together are too much for a small board.
    drop(loaded);
    release_freed_memory();
    let difference = crate::ops::read(&predictions.logits, |logits| {
        crate::ops::read(&predictions.deltas, |deltas| verify(&path, &images, count, size, logits, deltas))
    })?;
    log::info!(
        "{}: tract differs from our forward by at most {:.1e} (logits) and {:.1e} (boxes) on {count} images",
        path.display(),
        difference.logits,
        difference.deltas
    );
    if !(difference.logits <= ALLOWED_DIFFERENCE && difference.deltas <= ALLOWED_DIFFERENCE) {
        bail!("{}: the exported file computes something else than what was trained", path.display());
    }
    release_freed_memory();
    draw_predictions(job, &LoadedDetector::open(&path)?, validation)
}

fn draw_predictions(job: &Job, loaded: &LoadedDetector, validation: &Records) -> Result<()> {
    let mut shown = Vec::new();
    for i in 0..TILES.min(validation.len()) {
        let record = validation.get(i * validation.len() / TILES.min(validation.len()))?;
        let input = normalised(plain(&record, job.size).image.pixels);
        let found = detect(&loaded.model, input, 1, job.size, &loaded.detector).pop().unwrap_or_default();
        let sure = found.iter().filter(|d| d.score >= 0.4);
        let markers: Vec<Marker> =
            sure.map(|d| Marker::detection(d.bbox, d.class, &loaded.class_names[d.class], d.score)).collect();
        shown.push((record.image, markers, record.source));
    }
    let tiles: Vec<Tile> = shown
        .iter()
        .map(|(image, markers, source)| Tile { image, markers: markers.clone(), caption: source.clone() })
        .collect();
    write_png(&mosaic(&tiles, COLUMNS, SIDE), &job.folder.join("val_pred.png"))?;
    Ok(())
}
