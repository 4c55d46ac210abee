//! Progress for a person: a bar on a terminal, plain lines elsewhere.

use crate::train::{Event, StepReport};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Longest silence where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// A bar that counts to a length set later; hidden where there is no terminal.
pub fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar
}

/// Shows a training run.
pub struct TrainingProgress {
    bar: Option<ProgressBar>,
    epochs: u64,
    said: Instant,
    /// Best validation AP so far, for the line.
    best: Option<f64>,
}

impl TrainingProgress {
    pub fn new(epochs: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar("training"));
        Self { bar, epochs, said: Instant::now(), best: None }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Step(report) => self.step(report),
            Event::Epoch { record, best, .. } => {
                if *best {
                    self.best = record.ap;
                }
                let figure = |v: Option<f64>| v.map_or("-".to_string(), |v| format!("{v:.3}"));
                let error = record.ap_interval.map_or(String::new(), |[low, high]| format!(" ({low:.2} to {high:.2})"));
                self.line(&format!(
                    "epoch {}/{}  loss {:.3} (class {:.3}, box {:.3})  AP {}{error}  AP50 {}  AP75 {}{}",
                    record.epoch,
                    self.epochs,
                    record.class_loss + record.box_loss,
                    record.class_loss,
                    record.box_loss,
                    figure(record.ap),
                    figure(record.ap50),
                    figure(record.ap75),
                    if *best { "  best so far" } else { "" }
                ));
            }
            Event::Checkpoint { step } => log::debug!("checkpoint at step {step}"),
            Event::Refused { error, goes_on: true } => {
                log::warn!("{error}\nthe last good state is kept, training goes on")
            }
            Event::Refused { error, goes_on: false } => log::error!("{error}"),
            Event::Watchdog(_) | Event::MicroBatch | Event::Judging => {}
        }
    }

    fn step(&mut self, report: &StepReport) {
        let stats = report.stats;
        let text = format!(
            "loss {:.2}  best AP {}  {:.1} images/s  ETA {}",
            stats.class + stats.boxes,
            self.best.map_or("-".to_string(), |v| format!("{v:.3}")),
            report.images_per_second,
            eta(report)
        );
        if let Some(bar) = &self.bar {
            bar.set_length(report.total);
            bar.set_position(report.step);
            bar.set_message(text);
        } else if self.said.elapsed() >= LINE_EVERY {
            self.line(&format!("epoch {}  step {}/{}  {text}", report.epoch, report.step, report.total));
        }
    }

    /// One line that stays.
    fn line(&mut self, text: &str) {
        self.said = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| log::info!("{text}")),
            None => log::info!("{text}"),
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
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
