//! The content of a run's report: plain figures, words and photos, built from what the run records. The live page reads
//! the same struct.

use super::photo::{BoxedPhoto, ExamplePhoto};
use crate::eval::{Confusion, ScorePoint, Threshold};

/// A run at one moment.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Name of the run's folder.
    pub name: String,
    pub verdict: RunVerdict,
    pub curves: RunCurves,
    pub classes: Vec<ClassFigures>,
    /// Of the weights with the best AP; `None` before the first validation.
    pub judged: Option<BestFigures>,
    pub data: DataAccount,
    pub suspicious: Vec<Suspicious>,
    pub machine: MachineFigures,
    pub plan: Plan,
}

/// Better or not, by how much, and what stood in the way.
#[derive(Clone, Debug, Default)]
pub struct RunVerdict {
    /// One sentence.
    pub headline: String,
    pub tone: Tone,
    /// Figures under the headline: what it is, and how much.
    pub figures: Vec<(String, String)>,
    /// The conclusions for a person.
    pub notes: Vec<String>,
    /// The watchdog's story, a sentence a line; lines that belong to the one above begin with blanks.
    pub story: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Neutral,
    Good,
    Bad,
}

/// Everything that is drawn over steps or epochs.
#[derive(Clone, Debug, Default)]
pub struct RunCurves {
    /// Means over neighbouring steps, by rising step.
    pub steps: Vec<StepFigures>,
    pub epochs: Vec<ReportEpoch>,
    /// The watchdog's findings and cures, by rising step.
    pub marks: Vec<WatchdogMark>,
    /// Steps of the whole run, 0 where it is not known.
    pub total_steps: u64,
}

/// Means over some steps that end at `step`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepFigures {
    pub step: u64,
    pub class_loss: f64,
    pub box_loss: f64,
    pub lr: f64,
}

/// An epoch's figures; `None` where one is undefined or not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportEpoch {
    pub epoch: u64,
    /// Steps done at its end.
    pub step: u64,
    pub class_loss: f64,
    pub box_loss: f64,
    pub lr: f64,
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    pub ap75: Option<f64>,
    /// Class and box loss on the validation images.
    pub held_out: Option<[f64; 2]>,
    pub images_per_second: Option<f64>,
    /// Seconds of work until its end.
    pub seconds: Option<f64>,
    /// In the order of the classes; may be empty.
    pub class_ap: Vec<Option<f64>>,
}

/// The kind of an event of the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    Diagnosis,
    Cure,
    /// A cure that is only advised.
    Advice,
    Verdict,
    End,
}

impl MarkKind {
    pub fn words(self) -> &'static str {
        match self {
            Self::Diagnosis => "diagnosis",
            Self::Cure => "cure",
            Self::Advice => "advice",
            Self::Verdict => "verdict",
            Self::End => "end",
        }
    }
}

/// An event of the watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogMark {
    pub step: u64,
    pub kind: MarkKind,
    pub words: String,
}

/// One class over the whole run.
#[derive(Clone, Debug, Default)]
pub struct ClassFigures {
    pub name: String,
    /// Objects to train on.
    pub training: usize,
    /// Objects to validate on; `None` before the first validation.
    pub validation: Option<usize>,
    /// Of the best weights.
    pub ap: Option<f64>,
    pub ap50: Option<f64>,
    /// Its own score of best F1.
    pub threshold: Option<f64>,
}

/// The figures of the best weights on the validation images.
#[derive(Clone, Debug, Default)]
pub struct BestFigures {
    pub epoch: u64,
    pub images: usize,
    pub objects: usize,
    /// The recommended threshold; `None` where nothing is right at any score.
    pub threshold: Option<Threshold>,
    /// Precision and recall over all classes by rising score.
    pub scores: Vec<ScorePoint>,
    /// Names of the rows; the background is not among them.
    pub rows: Vec<String>,
    pub confusion: Option<Confusion>,
    /// The score from which detections count in the matrix and the examples.
    pub score: f64,
    pub best: Vec<ExamplePhoto>,
    pub worst: Vec<ExamplePhoto>,
}

/// The data set.
#[derive(Clone, Debug, Default)]
pub struct DataAccount {
    /// Images to train on and to validate on.
    pub images: [usize; 2],
    /// Lines of the account of files.
    pub lines: Vec<String>,
    /// Sentences about errors in the set.
    pub errors: Vec<String>,
    pub photos: Vec<BoxedPhoto>,
}

/// A training image in doubt.
#[derive(Clone, Debug)]
pub struct Suspicious {
    pub photo: BoxedPhoto,
    pub why: String,
}

/// The machine that the run is on.
#[derive(Clone, Debug, Default)]
pub struct MachineFigures {
    /// Its name, and the figure.
    pub facts: Vec<(String, String)>,
    /// Hottest temperature in °C by epoch.
    pub temperatures: Vec<(u64, f64)>,
}

/// How the run goes about it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub facts: Vec<(String, String)>,
    /// The text of config.toml.
    pub settings: String,
    /// How to use the result: a purpose, and a command or a file.
    pub deploy: Vec<(String, String)>,
}
