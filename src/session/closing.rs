//! The last lines of a finished run: its figures, the time that it took, its files, and the next command.

use super::run_outcome::RunOutcome;
use super::shell_word::shell_word;
use crate::report::page::duration;
use crate::train::{Best, Job};
use std::time::Duration;

/// Pictures of a finished run that are named, in the order in which they are worth looking at.
const PICTURES: [&str; 5] = ["val_pred.png", "results.png", "confusion_matrix.png", "pr_curve.png", "f1_curve.png"];

/// The facts at the end of a run besides its outcome.
pub struct Closing {
    /// The table of the classes; see [`super::reporting::class_table`].
    pub classes: Vec<String>,
    /// 95 % interval of the best AP.
    pub interval: Option<[f64; 2]>,
    /// Images that AP was measured on.
    pub images: usize,
    /// Time of the whole command.
    pub took: Duration,
}

impl Closing {
    /// The lines, for the log and the terminal.
    pub fn lines(&self, job: &Job, outcome: &RunOutcome) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(best) = outcome.best {
            lines.push(self.best(best));
        }
        lines.extend(self.classes.iter().cloned());
        let epochs = if outcome.epochs == 1 { "1 epoch".into() } else { format!("{} epochs", outcome.epochs) };
        lines.push(format!("{epochs} done; the command took {}", duration(self.took.as_secs_f64())));
        let name = |file: &str| job.folder.join(file).exists().then(|| file.to_string());
        let pictures: Vec<String> = PICTURES.iter().filter_map(|file| name(file)).collect();
        let folder = job.folder.display();
        lines.push(format!("detector: {}", job.best_path().display()));
        lines.push(format!("report: {}", job.folder.join("report.html").display()));
        if !pictures.is_empty() {
            lines.push(format!("pictures in {folder}: {}", pictures.join(", ")));
        }
        lines.push(format!("next: fieldtune predict {} NEW_PHOTOS", shell_word(&job.folder)));
        lines
    }

    /// Of some epochs the highest is chosen, so that it is a little too high: other photos will tell.
    fn best(&self, best: Best) -> String {
        let interval = self.interval.map_or(String::new(), |[low, high]| {
            format!(", 95 % interval {low:.3} to {high:.3} over {} images", self.images)
        });
        format!("best epoch {} with AP {:.3}{interval}", best.epoch, best.ap)
    }
}
