//! A detector loaded from a file, ready to run on photos.

use crate::boxes::InputSize;
use crate::eval::PostProcessor;
use crate::interchange::{Scope, TrainedOn, import};
use crate::model::SsdModel;
use crate::weights::{Store, class_names, resolve};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// The input size of the standard network.
pub const DEFAULT_SIZE: InputSize = InputSize::square(300);

pub struct LoadedDetector {
    pub model: SsdModel,
    pub detector: PostProcessor,
    pub size: InputSize,
    /// Without the background; `class 1`, `class 2`, ... where nothing names them.
    pub class_names: Vec<String>,
    /// True if anything names the classes.
    pub is_named: bool,
    /// The data set that it was trained on, where the file says it.
    pub trained_on: Option<TrainedOn>,
    /// The scores of best F1, overall and for each class, if the file says.
    pub thresholds: Option<(f64, Vec<Option<f64>>)>,
}

impl LoadedDetector {
    /// Opens a detector, by path or by the name of kept weights; `names` is what was given for its class names.
    ///
    /// # Errors
    /// If the file is no whole SSDLite-MobileNet-V2, or class names do not fit it.
    pub fn open(path: &Path, names: Option<&str>) -> Result<Self> {
        let path = &resolve(path, Store::of_user().as_ref())?;
        let imported = import(path)?;
        imported.warnings.iter().for_each(|w| log::warn!("{}: {w}", path.display()));
        if let Scope::Backbone { why } = imported.scope {
            bail!("{}: a backbone without heads ({why}), expected a detector\nhelp: train one first", path.display());
        }
        let size = imported.input_size.map_or(DEFAULT_SIZE, InputSize::from);
        let anchors = imported.network.specs().anchors(size.dims());
        let anchors = anchors.with_context(|| format!("{}: cannot place its anchors", path.display()))?;
        let detector = PostProcessor::new(anchors, imported.network.convention.scores);
        let classes = imported.network.classes - 1;
        let named = class_names(path, &imported, names)?;
        let is_named = named.is_some();
        let class_names = match named {
            Some(named) => {
                log::debug!("{}: class names from {}", path.display(), named.source);
                named.names
            }
            None => (1..=classes).map(|i| format!("class {i}")).collect(),
        };
        let trained_on = imported.metadata.trained_on;
        let of_classes = imported.metadata.class_thresholds.filter(|t| t.len() == classes);
        let thresholds = imported.metadata.threshold.map(|t| (t, of_classes.unwrap_or_else(|| vec![None; classes])));
        let model = SsdModel::into_inference(imported.network);
        Ok(Self { model, detector, size, class_names, is_named, trained_on, thresholds })
    }
}
