//! The facts about a run that the watchdog knows before its first step.

use super::appearance::Appearance;
use super::plausible::{
    MOST_BATCH, MOST_CLASSES, MOST_COUNT, MOST_INDEX, MOST_STAGES, at_most, count, finite, indices,
};
use super::presence::Presence;
use serde::{Deserialize, Serialize};

/// Objects per image from which on photos are crowded.
const CROWDED: f64 = 4.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    Backbone,
    Extra,
    BoxHead,
    ClassHead,
}

/// A group of layers that is watched as one, in the order of the forward pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageFacts {
    pub name: String,
    pub kind: StageKind,
    pub trained: bool,
    /// True if it is a predictor alone with fresh weights: nothing else builds on it, and there is nothing in it to be
    /// lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_predictor: bool,
}

impl StageFacts {
    /// True if the length of its steps against its weights tells anything.
    pub fn is_gauge(&self) -> bool {
        self.trained && !self.fresh_predictor
    }
}

/// Sizes of the labelled training objects as the network sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectSides {
    /// Shorter side of the network's input in pixels.
    pub input: u32,
    /// Side in pixels of a cell of the finest feature map with anchors.
    pub cell: u32,
    /// Side of the median object in pixels: the root of its area.
    pub median: f32,
    /// Share of the objects whose side is below a cell's.
    pub below: f32,
    /// Shorter side of an input, a multiple of 32, at which three quarters of the objects have at least a cell's side.
    pub enough: u32,
}

impl ObjectSides {
    /// The median object's side in cells of the finest feature map.
    pub fn cells(&self) -> f64 {
        f64::from(self.median) / f64::from(self.cell.max(1))
    }

    /// Shorter side of the next input to try: the one that is enough, and at least half as many pixels more, in
    /// multiples of 32.
    pub fn larger_input(&self) -> u32 {
        self.enough.max(larger_side(self.input as usize) as u32)
    }
}

/// Side of the next larger input to try, in pixels: half as much again, in multiples of 32.
pub fn larger_side(side: usize) -> usize {
    (side + side / 2).next_multiple_of(32)
}

/// Everything that holds for the whole run. Unknown fields stay at their default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    pub stages: Vec<StageFacts>,
    /// Without the background.
    pub classes: Vec<String>,
    /// Training objects by class.
    pub objects: Vec<u64>,
    /// Anchors matched to plain training images, by feature map, largest first.
    pub map_positives: Vec<u64>,
    /// Training images.
    pub images: u64,
    /// Training images without any object.
    pub empty_images: u64,
    /// The empty images that were looked at, by index.
    pub empty: Vec<u32>,
    /// Images that show a class, by class; none for a class that many images show.
    pub shown_in: Vec<Vec<u32>>,
    /// Training images most of whose objects no anchor overlaps well enough, by index.
    pub unmatched: Vec<u32>,
    /// The largest coordinate of any box of each of these images, in fractions of the image.
    pub extents: Vec<f32>,
    pub sides: Option<ObjectSides>,
    /// Validation images that look almost the same as a training image; `None` where that was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twins: Option<u32>,
    /// Validation images.
    pub judged_images: u64,
    /// Validation objects by class; empty where that is not known.
    pub judged_objects: Vec<u64>,
    pub steps_per_epoch: u64,
    pub total_steps: u64,
    /// Weights that are trained.
    pub weights: u64,
    pub batch: u32,
    pub micro_batch: u32,
    /// Steps at the start in which the backbone is held.
    pub held_steps: u64,
    /// The schedule's factor at evenly spaced steps from the first to the last.
    pub factors: Vec<f32>,
    pub lr: f64,
    pub weight_decay: f64,
    /// The value that the recipe would use by itself.
    pub usual_weight_decay: f64,
    /// Largest gradient norm, 0 for none.
    pub clip: f64,
    /// Negatives per positive that the class loss is over; `None` where the loss takes all anchors.
    pub negatives_per_positive: Option<f64>,
    /// True if the class loss is that of a sigmoid for each class, not of the softmax.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sigmoids: bool,
    /// Box loss of the best constant predictor.
    pub blind_box_loss: Option<f64>,
    /// Share of the backbone's parameters that came from a file.
    pub loaded: Option<f64>,
    /// How far the norms of a layer's output channels spread around their mean, as a share of it; median of the
    /// backbone's large layers. Below 0.1 for fresh random numbers, several times that for trained ones.
    pub spread: Option<f64>,
    /// Multiplies the update ratios that count as hot: 1 for plain updates, more for centred ones, which move weights
    /// farther without shifting channels.
    pub tolerance: f64,
    /// True if photos could be changed more than they are before they are shown.
    pub may_augment: bool,
    /// Deviation over images divided by root mean square of the backbone's output at the start.
    pub response: Option<f64>,
    /// Share of the backbone's last channels that are zero on all photos looked at.
    pub dead: Option<f64>,
    /// Of every stage before the first step: the largest share, over its layers, of channels that are zero on all
    /// photos looked at, and of channels at ReLU6's upper bound.
    pub silent: Vec<[f32; 2]>,
    /// How well labels agree with what their objects look like, where there is more than one class.
    pub appearance: Option<Appearance>,
    /// How surely something is where the labels are, on photos that are not full of objects.
    pub presence: Option<Presence>,
}

impl Default for RunFacts {
    fn default() -> Self {
        Self {
            stages: Vec::new(),
            classes: Vec::new(),
            objects: Vec::new(),
            map_positives: Vec::new(),
            images: 0,
            empty_images: 0,
            empty: Vec::new(),
            shown_in: Vec::new(),
            unmatched: Vec::new(),
            extents: Vec::new(),
            sides: None,
            twins: None,
            judged_images: 0,
            judged_objects: Vec::new(),
            steps_per_epoch: 1,
            total_steps: 1,
            weights: 0,
            batch: 1,
            micro_batch: 1,
            held_steps: 0,
            factors: Vec::new(),
            lr: 0.0,
            weight_decay: 0.0,
            usual_weight_decay: 4e-5,
            clip: 0.0,
            negatives_per_positive: Some(3.0),
            sigmoids: false,
            blind_box_loss: None,
            loaded: None,
            spread: None,
            tolerance: 1.0,
            may_augment: false,
            response: None,
            dead: None,
            silent: Vec::new(),
            appearance: None,
            presence: None,
        }
    }
}

impl RunFacts {
    /// # Errors
    /// If a count, a list or an index is beyond any run's.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("images", self.images),
            ("judged_images", self.judged_images),
            ("empty_images", self.empty_images),
            ("steps_per_epoch", self.steps_per_epoch),
            ("total_steps", self.total_steps),
            ("held_steps", self.held_steps),
            ("weights", self.weights),
        ] {
            count(name, value)?;
        }
        at_most("batch", self.batch, MOST_BATCH)?;
        at_most("micro_batch", self.micro_batch, MOST_BATCH)?;
        at_most("stages", self.stages.len().max(self.silent.len()).max(self.map_positives.len()), MOST_STAGES)?;
        at_most("silent", self.silent.len(), self.stages.len())?;
        at_most("classes", self.classes.len().max(self.objects.len()).max(self.shown_in.len()), MOST_CLASSES)?;
        self.objects.iter().chain(&self.map_positives).try_for_each(|n| at_most("objects", *n, MOST_COUNT >> 16))?;
        let shown = self.shown_in.iter().flatten();
        indices("facts", self.empty.iter().chain(&self.unmatched).chain(shown), MOST_INDEX)?;
        finite("factors", &self.factors)?;
        finite("extents", &self.extents)?;
        at_most("extents", self.extents.len(), self.unmatched.len())?;
        at_most("judged_objects", self.judged_objects.len(), MOST_CLASSES)?;
        self.judged_objects.iter().try_for_each(|n| at_most("judged_objects", *n, MOST_COUNT >> 16))?;
        let seen = self.appearance.as_ref().map(|a| (&a.images, &a.margins));
        for (images, margins) in seen.into_iter().chain(self.presence.as_ref().map(|p| (&p.images, &p.margins))) {
            if images.len() != margins.len() || !images.is_sorted() {
                return Err(format!("{} images with {} margins", images.len(), margins.len()));
            }
            indices("facts", images, MOST_INDEX)?;
        }
        Ok(())
    }

    /// Steps that one digest covers: eight, more in a long run, so that a journal stays near two thousand lines.
    pub fn span(&self) -> u32 {
        (self.total_steps / 2000).clamp(8, 512) as u32
    }

    /// Of the training images that have any.
    pub fn objects_per_image(&self) -> f64 {
        let images = self.images.saturating_sub(self.empty_images).max(1);
        self.objects.iter().map(|n| *n as f64).sum::<f64>() / images as f64
    }

    /// True if photos hold so many objects that something lies beside every label: then it tells nothing what is seen
    /// there.
    pub fn is_crowded(&self) -> bool {
        self.objects_per_image() >= CROWDED
    }

    /// True if so few objects of a class are there, or none to judge it by, that AP shows next to nothing of it.
    pub fn is_stray(&self, class: usize) -> bool {
        const STRAY: u64 = 3;
        let trained = self.objects.get(class).copied().unwrap_or(0);
        match self.judged_objects.get(class) {
            Some(judged) => *judged == 0 || trained + judged < STRAY,
            None => trained == 1,
        }
    }

    /// Positions of the stages of a kind.
    pub fn of_kind(&self, kind: StageKind) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.stages.iter().enumerate().filter(move |(_, s)| s.kind == kind).map(|(i, _)| i)
    }

    pub fn stage_name(&self, stage: usize) -> &str {
        self.stages.get(stage).map_or("an unknown stage", |s| &s.name)
    }

    pub fn class_name(&self, class: usize) -> &str {
        self.classes.get(class).map_or("an unknown class", String::as_str)
    }
}
