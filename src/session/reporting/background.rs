//! A report's part about the data and the plan, known before the first step.

use crate::board::Processor;
use crate::boxes::CornerBox;
use crate::data::{EpochPlan, PackNotes};
use crate::report::page::{BoxMark, BoxedPhoto, DataAccount, MarkedBox};
use crate::train::{Job, Records, TrainError};
use std::path::Path;
use std::time::Instant;

/// Training photos shown, and their longer side in pixels.
const PHOTOS: usize = 12;
const SIDE: usize = 360;

/// The facts that a run is begun with besides its job.
#[derive(Clone, Debug)]
pub struct Background {
    /// When the command began.
    pub begun: Instant,
    /// The findings of packing.
    pub notes: PackNotes,
    /// Objects to train on, by class.
    pub objects: Vec<usize>,
    /// The memory plan in words.
    pub memory: String,
}

impl Background {
    /// `objects` are class and box of every object to train on.
    pub fn new(begun: Instant, notes: PackNotes, objects: &[(usize, CornerBox)], classes: usize) -> Self {
        let mut counts = vec![0; classes];
        for (class, _) in objects {
            counts[*class] += 1;
        }
        Self { begun, notes, objects: counts, memory: String::new() }
    }

    /// The account of the data set with some of its photos.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn data(&self, job: &Job, training: &Records, validation: &Records) -> Result<DataAccount, TrainError> {
        let plan = EpochPlan::shuffled(training.len(), job.recipe.seed, 0);
        let mut photos = Vec::new();
        for &index in plan.order().iter().take(PHOTOS) {
            photos.extend(labelled(job, training, index, SIDE)?);
        }
        Ok(DataAccount {
            images: [training.len(), validation.len()],
            lines: self.notes.account.clone(),
            errors: self.notes.errors.iter().map(|e| e.sentence.clone()).collect(),
            photos,
        })
    }

    /// The plan as a table.
    pub fn plan(&self, job: &Job) -> Vec<(String, String)> {
        let r = &job.recipe;
        let threads = rayon::current_num_threads();
        let cores = Processor::read(Path::new("/")).cores;
        let facts = [
            ("epochs", r.epochs.to_string()),
            ("batch", format!("{} images, {} at a time", r.batch, r.micro_batch)),
            ("input", format!("{} pixels", job.size)),
            ("learning rate", format!("{:.1e} at most", r.lr)),
            ("watchdog", format!("{:?}", job.watchdog).to_lowercase()),
            ("threads", format!("{threads} of {cores} cores")),
            ("memory", self.memory.clone()),
        ];
        facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(what, value)| (what.into(), value)).collect()
    }
}

/// A record's photo with its labels; `None` where it has no pixels.
///
/// # Errors
/// If the record cannot be read.
pub fn labelled(job: &Job, records: &Records, index: usize, side: usize) -> Result<Option<BoxedPhoto>, TrainError> {
    let record = records.get(index)?;
    let name = |class: usize| job.class_names.get(class).cloned().unwrap_or_default();
    let boxes = record.objects.iter().map(|o| MarkedBox { bbox: o.bbox, mark: BoxMark::Label, label: name(o.class) });
    let boxes = boxes.collect();
    Ok(BoxedPhoto::new(&record.image, side, record.source, boxes))
}
