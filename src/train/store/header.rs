//! The header of a checkpoint: all of a run but its tensors.

use crate::boxes::InputSize;
use crate::kernel::Isa;
use crate::model::{ConvSpec, Ssd};
use crate::optim::Schedule;
use crate::train::progress::RunProgress;
use crate::train::recipe::Recipe;
use crate::watchdog::Watchdog;
use serde::{Deserialize, Serialize};

/// Raised whenever an older program could not read what this one writes.
pub const VERSION: u32 = 2;

/// The header of a checkpoint: all but its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub version: u32,
    pub network: Ssd<ConvSpec>,
    pub size: InputSize,
    pub class_names: Vec<String>,
    pub recipe: Recipe,
    pub progress: RunProgress,
    /// Optimizer steps that each layer took part in.
    pub layer_steps: Vec<u64>,
    /// The schedule, the order and the position depend on it.
    pub training: TrainingData,
    /// CRC-32 over the bytes of all tensors in the order of their names.
    pub crc32: u32,
    /// The instruction set that saved it: another one rounds otherwise. Empty in files of older programs.
    #[serde(default)]
    pub isa: String,
    /// In the place of the recipe's, where the run was extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
}

/// Tells whether a run goes on with the data it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingData {
    /// Training images per epoch.
    pub images: usize,
    /// CRC-32 over the training images and their labels; 0 where they are generated.
    pub crc32: u32,
}

impl Header {
    /// The settings that stay the same over a run.
    pub fn of(
        network: Ssd<ConvSpec>,
        size: InputSize,
        class_names: &[String],
        recipe: &Recipe,
        training: TrainingData,
        schedule: Option<Schedule>,
    ) -> Self {
        Self {
            version: VERSION,
            network,
            size,
            class_names: class_names.to_vec(),
            recipe: recipe.clone(),
            progress: RunProgress::default(),
            layer_steps: Vec::new(),
            training,
            crc32: 0,
            isa: Isa::best().name().into(),
            schedule,
            watchdog: None,
        }
    }
}
