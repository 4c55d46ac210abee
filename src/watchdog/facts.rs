//! What the watchdog is told about a run before its first step.

use super::appearance::Appearance;
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
}

/// Everything that holds for the whole run. What is not known stays at its default.
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
    /// Those of them that were looked at, by index.
    pub empty: Vec<u32>,
    /// Images that show a class, by class; none for a class that many images show.
    pub shown_in: Vec<Vec<u32>>,
    /// Training images most of whose objects no anchor overlaps well enough, by index.
    pub unmatched: Vec<u32>,
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
    /// What the recipe would use by itself.
    pub usual_weight_decay: f64,
    /// Largest gradient norm, 0 for none.
    pub clip: f64,
    /// Negatives per positive that the class loss is over; `None` where the loss takes all anchors.
    pub negatives_per_positive: Option<f64>,
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
    /// Whether photos could be changed more than they are before they are shown.
    pub may_augment: bool,
    /// Deviation over images divided by root mean square of the backbone's output at the start.
    pub response: Option<f64>,
    /// Share of the backbone's last channels that are zero on all photos looked at.
    pub dead: Option<f64>,
    /// Of every stage before the first step: the largest share, over its layers, of channels that are zero on all photos
    /// looked at, and of channels at ReLU6's upper bound.
    pub silent: Vec<[f32; 2]>,
    /// Whether labels agree with what their objects look like, where there is more than one class.
    pub appearance: Option<Appearance>,
    /// Whether something is where the labels are, where photos are not full of objects.
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
    /// Steps that one digest covers: eight, more in a long run, so that a journal stays near two thousand lines.
    pub fn span(&self) -> u32 {
        (self.total_steps / 2000).clamp(8, 512) as u32
    }

    /// Of the training images that have any.
    pub fn objects_per_image(&self) -> f64 {
        let images = self.images.saturating_sub(self.empty_images).max(1);
        self.objects.iter().sum::<u64>() as f64 / images as f64
    }

    /// Whether photos hold so many objects that something lies beside every label: then it tells nothing what is seen
    /// there.
    pub fn is_crowded(&self) -> bool {
        self.objects_per_image() >= CROWDED
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
