//! A detector from an ONNX file, ready to look at photos.

use crate::boxes::Anchors;
use crate::eval::{Detector, ScoreMode};
use crate::model::SsdModel;
use crate::onnx::{Metadata, Scope, import};
use anyhow::{Result, bail};
use std::path::Path;

/// The input size of the standard network.
pub const DEFAULT_SIZE: usize = 300;

pub struct LoadedDetector {
    pub model: SsdModel,
    pub detector: Detector,
    pub size: usize,
    /// Without the background; `class 1`, `class 2`, ... where the file names none.
    pub class_names: Vec<String>,
    pub metadata: Metadata,
}

impl LoadedDetector {
    /// # Errors
    /// If the file is no whole SSDLite-MobileNet-V2.
    pub fn open(path: &Path) -> Result<Self> {
        let imported = import(path)?;
        imported.warnings.iter().for_each(|w| log::warn!("{}: {w}", path.display()));
        if let Scope::Backbone { why } = imported.scope {
            bail!("{}: a backbone without heads ({why}), expected a detector\nhelp: train one first", path.display());
        }
        let size = imported.input_size.unwrap_or(DEFAULT_SIZE);
        let anchors = Anchors::tf_ssd(&imported.network.map(|_, w| w.spec).map_sizes(size));
        let sigmoid = imported.metadata.scores.as_deref() == Some("sigmoid");
        let detector = Detector::new(anchors, if sigmoid { ScoreMode::Sigmoid } else { ScoreMode::Softmax });
        let classes = imported.network.classes - 1;
        let names = imported.metadata.class_names.clone().filter(|n| n.len() == classes);
        let class_names = names.unwrap_or_else(|| (1..=classes).map(|i| format!("class {i}")).collect());
        let (model, metadata) = (SsdModel::into_inference(imported.network), imported.metadata);
        Ok(Self { model, detector, size, class_names, metadata })
    }
}
