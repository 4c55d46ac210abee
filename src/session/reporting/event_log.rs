//! A run as event files for TensorBoard. A storage that refuses ends the file, not the run.

use crate::report::tensorboard::{EventFile, Summary};
use crate::train::{EpochRow, Event, Job, StepReport};
use crate::watchdog::{Digest, JournalEntry};
use std::io;
use std::path::Path;

/// Events of single steps in a run; TensorBoard shows fewer.
const MOST_STEPS: u64 = 5000;

/// Pictures in the folder that are there before the first step and stay as they are.
const FIRST_PICTURES: [&str; 2] = ["labels", "train_batch0"];

/// Pictures in the folder that a finished run has.
const LAST_PICTURES: [&str; 5] = ["results", "val_pred", "pr_curve", "f1_curve", "confusion_matrix"];

/// Writes events until the storage refuses.
#[derive(Debug)]
pub struct EventLog {
    file: Option<EventFile>,
    class_names: Vec<String>,
    /// True if the first pictures are in the file.
    shown: bool,
}

impl EventLog {
    /// For a run that begins or goes on at `step`.
    pub fn begin(job: &Job, step: u64) -> Self {
        let file = EventFile::create(&job.folder, step);
        let file =
            file.map_err(|error| log::warn!("{}: no events for TensorBoard: {error}", job.folder.display())).ok();
        Self { file, class_names: job.class_names.clone(), shown: false }
    }

    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Step(report) => self.step(report),
            Event::Epoch { rows, .. } => rows.last().into_iter().for_each(|row| self.epoch(row)),
            Event::Watchdog(JournalEntry::Digest(digest)) => self.digest(digest),
            _ => {}
        }
    }

    fn step(&mut self, report: &StepReport) {
        let stride = report.total.div_ceil(MOST_STEPS).max(1);
        if !report.step.is_multiple_of(stride) {
            return;
        }
        let stats = &report.stats;
        let values = Summary::default()
            .scalar("loss/class", Some(stats.class))
            .scalar("loss/box", Some(stats.boxes))
            .scalar("learning_rate", Some(stats.lr))
            .scalar("gradient_norm", Some(stats.grad_norm));
        self.write(report.step, &values);
    }

    fn epoch(&mut self, row: &EpochRow) {
        let r = &row.record;
        let mut values = Summary::default()
            .scalar("AP/AP", r.ap)
            .scalar("AP/AP50", r.ap50)
            .scalar("AP/AP75", r.ap75)
            .scalar("validation_loss/class", row.held_out.map(|h| h[0]))
            .scalar("validation_loss/box", row.held_out.map(|h| h[1]))
            .scalar("images_per_second", row.images_per_second);
        for (name, ap) in self.class_names.iter().zip(&row.class_ap) {
            values = values.scalar(&format!("AP_by_class/{name}"), *ap);
        }
        self.write(r.step, &values);
        self.flush();
    }

    /// Update-to-weight ratios of the trained stages.
    fn digest(&mut self, digest: &Digest) {
        let trained = digest.stages.iter().map(|s| f64::from(s.update_ratio)).filter(|ratio| *ratio > 0.0);
        let ratios: Vec<f64> = trained.collect();
        self.write(digest.step, &Summary::default().histogram("update_ratio", &ratios));
    }

    /// Adds the pictures that are in `folder` by now.
    pub fn pictures(&mut self, folder: &Path, step: u64) {
        let first = if self.shown { &[][..] } else { &FIRST_PICTURES };
        for &name in first.iter().chain(&LAST_PICTURES) {
            // One that is not there yet comes with the end of the run.
            let Ok(bytes) = std::fs::read(folder.join(name).with_extension("png")) else { continue };
            self.write(step, &Summary::default().png(name, &bytes));
        }
        self.shown = true;
        self.flush();
    }

    fn write(&mut self, step: u64, values: &Summary) {
        self.attempt(|file| file.write(step, values));
    }

    fn flush(&mut self) {
        self.attempt(EventFile::flush);
    }

    fn attempt(&mut self, work: impl FnOnce(&mut EventFile) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = work(file) {
            log::warn!("{}: no more events for TensorBoard: {error}", file.path().display());
            self.file = None;
        }
    }
}
