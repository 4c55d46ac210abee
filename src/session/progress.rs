//! Progress of training for a person: bars and a table of the epochs on a terminal, plain lines elsewhere.

use super::epoch_table::EpochTable;
use super::log_file;
use super::screen::{Bar, is_watched};
use super::terminal::complain;
use crate::train::{EpochRow, Event, StepReport};
use std::time::{Duration, Instant};

/// Longest silence where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows a training run.
pub struct TrainingProgress {
    /// The steps, or the images of a validation.
    bar: Option<Bar>,
    validating: bool,
    epochs: u64,
    table: EpochTable,
    said: Instant,
    /// Best validation AP so far, for the line.
    best: Option<f64>,
}

impl TrainingProgress {
    pub fn new(epochs: u64) -> Self {
        let table = EpochTable::new(epochs);
        Self { bar: None, validating: false, epochs, table, said: Instant::now(), best: None }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Step(report) => self.step(report),
            Event::Judging { done, total } => self.validation(*done, *total),
            Event::Epoch { rows, best, .. } => rows.last().into_iter().for_each(|row| self.epoch(row, *best)),
            Event::Checkpoint { step } => log::debug!("checkpoint at step {step}"),
            Event::Refused { error, goes_on: true } => {
                log::warn!("{error}\nthe last good state is kept, training goes on")
            }
            Event::Refused { error, goes_on: false } => log::error!("{error}"),
            Event::Watchdog(_) | Event::MicroBatch => {}
        }
    }

    fn step(&mut self, report: &StepReport) {
        let loss = report.stats.class + report.stats.boxes;
        let (speed, left) = (report.images_per_second, eta(report));
        if is_watched() {
            if std::mem::take(&mut self.validating) {
                self.bar = None;
            }
            let bar = self.bar.get_or_insert_with(|| Bar::begin("training", 0));
            bar.say(
                format!("epoch {}/{}", report.epoch, self.epochs),
                format!("  loss {loss:.2}  {speed:.1} images/s  {left} left"),
            );
            bar.at(report.step as usize, report.total as usize);
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let best = self.best.map_or("-".to_string(), |v| format!("{v:.3}"));
            log::info!(
                "epoch {}  step {}/{}  loss {loss:.2}  best AP {best}  {speed:.1} images/s  ETA {left}",
                report.epoch,
                report.step,
                report.total,
            );
        }
    }

    /// Another bar, until the next step.
    fn validation(&mut self, done: usize, total: usize) {
        if !is_watched() {
            return;
        }
        if !std::mem::replace(&mut self.validating, true) {
            self.bar = None;
        }
        self.bar.get_or_insert_with(|| Bar::begin("validating", total)).at(done, total);
    }

    fn epoch(&mut self, row: &EpochRow, best: bool) {
        self.said = Instant::now();
        self.bar = None;
        if best {
            self.best = row.record.ap;
        }
        let sentence = self.table.sentence(&row.record, best);
        if is_watched() {
            // Line by line: the second line of a text would be indented.
            self.table.row(row, best).lines().for_each(complain);
            log_file::note(log::Level::Info, sentence);
        } else {
            log::info!("{sentence}");
        }
    }
}

/// Time left at the pace so far, validation not counted.
pub fn eta(report: &StepReport) -> String {
    let images = (report.total - report.step) as f64 * report.stats.images as f64;
    let seconds = (images / report.images_per_second.max(1e-9)) as u64;
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}
