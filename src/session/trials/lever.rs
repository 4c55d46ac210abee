//! A change of a job that may lift its result.

use crate::boxes::InputSize;
use crate::config::JobFile;
use crate::data::AugmentOptions;
use crate::watchdog::{Change, larger_side};
use std::path::PathBuf;

/// Longest side of an input that is tried, in pixels: beyond, the finest feature map is not what is short.
const LONGEST_SIDE: usize = 640;

#[derive(Clone, Debug, PartialEq)]
pub enum Lever {
    /// An input of this size.
    LargerInput(InputSize),
    /// Half of the training photos: what is lost by it is about what twice as many would bring.
    MorePhotos,
    /// The photos as they are.
    NoAugmentation,
    /// Other kept weights, by their name.
    OtherStart { name: String, file: PathBuf },
}

impl Lever {
    /// The next larger input, if there is one worth a trial.
    pub fn larger_input(size: InputSize) -> Option<Self> {
        let size = InputSize::new(larger_side(size.height), larger_side(size.width));
        (size.longer() <= LONGEST_SIDE).then_some(Self::LargerInput(size))
    }

    /// Time that its trial takes, in times of the trial without a change at an input of `size`.
    pub fn cost(&self, size: InputSize) -> f64 {
        match self {
            Self::LargerInput(larger) => larger.pixels() as f64 / size.pixels() as f64,
            Self::MorePhotos => 0.5,
            Self::NoAugmentation | Self::OtherStart { .. } => 1.0,
        }
    }

    /// The job of its trial.
    pub fn applied(&self, job: &JobFile) -> JobFile {
        let mut job = job.clone();
        match self {
            Self::LargerInput(size) => job.imgsz = Some(*size),
            Self::MorePhotos => job.train_share /= 2.0,
            Self::NoAugmentation => job.recipe.augment = AugmentOptions::none(),
            Self::OtherStart { file, .. } => job.weights = Some(file.clone()),
        }
        job
    }

    /// True if somebody who has these photos alone can pull it.
    pub fn is_at_hand(&self) -> bool {
        !matches!(self, Self::MorePhotos)
    }

    /// True if the change is for the worse in its trial where it would be for the better in a run.
    pub fn is_reversed(&self) -> bool {
        matches!(self, Self::MorePhotos)
    }

    /// In a word, for file names and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LargerInput(_) => "larger-input",
            Self::MorePhotos => "more-photos",
            Self::NoAugmentation => "no-augmentation",
            Self::OtherStart { .. } => "other-start",
        }
    }

    /// The flag of `fieldtune train`, or what else is to be done.
    pub fn words(&self) -> String {
        match self {
            Self::LargerInput(size) => format!("--imgsz {size}"),
            Self::MorePhotos => "twice as many photos".into(),
            Self::NoAugmentation => "--no-augment".into(),
            Self::OtherStart { name, .. } => format!("--weights {name}"),
        }
    }
}

/// The job with a change that a run's records ask for.
pub fn changed(job: &JobFile, change: Change, size: InputSize) -> JobFile {
    let mut job = job.clone();
    match change {
        Change::Epochs(epochs) => {
            job.minutes = None;
            job.recipe.epochs = epochs;
        }
        Change::InputSide(side) => {
            let shorter = size.height.min(size.width).max(1);
            let scaled = |n: usize| (n * side as usize / shorter).max(side as usize);
            job.imgsz = Some(InputSize::new(scaled(size.height), scaled(size.width)));
        }
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levers_change_one_thing_each_and_large_inputs_stay_as_they_are() {
        let job = JobFile::default();
        let larger = Lever::larger_input(300.into()).expect("there is one");
        assert_eq!(larger, Lever::LargerInput(480.into()));
        assert_eq!(larger.applied(&job), JobFile { imgsz: Some(480.into()), ..job.clone() });
        assert_eq!((larger.cost(300.into()), larger.words()), (2.56, "--imgsz 480".into()));
        assert_eq!(Lever::larger_input(448.into()), None);
        assert_eq!(Lever::MorePhotos.applied(&job).train_share, 0.5);
        assert_ne!(Lever::NoAugmentation.applied(&job).recipe, job.recipe);
    }

    #[test]
    fn changes_of_records_keep_the_shape_of_the_input() {
        let job = JobFile { minutes: Some(3.0), ..JobFile::default() };
        let wide = InputSize::new(240, 320);
        assert_eq!(changed(&job, Change::InputSide(480), wide).imgsz, Some(InputSize::new(480, 640)));
        let longer = changed(&job, Change::Epochs(60), wide);
        assert_eq!((longer.recipe.epochs, longer.minutes), (60, None));
    }
}
