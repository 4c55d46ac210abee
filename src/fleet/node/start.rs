//! The start of a node: the network of its weights file made ready for its photos, kept as `start.onnx` in the node's
//! folder, and which of its layers are fresh.
//!
//! Arrays that a server does not send (frozen ones, personal heads) come from here.

use crate::boxes::InputSize;
use crate::interchange::{ArrayNumbers, ExportOptions, NamedArray, export, import};
use crate::model::{ConvWeights, Ssd};
use crate::session::{DEFAULT_SIZE, check_size, wanted_classes};
use crate::train::{Recipe, Records, replace_file, start};
use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A start on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredStart {
    /// The folder that `start.onnx` lies in.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The weights file, and its bytes: another file makes another start.
    weights: PathBuf,
    bytes: u64,
    pub size: InputSize,
    pub class_names: Vec<String>,
    /// Weight arrays of the layers that start from random numbers.
    pub fresh: Vec<String>,
}

/// The inputs of a start.
#[derive(Clone, Copy, Debug)]
pub struct StartOf<'a> {
    pub weights: &'a Path,
    /// Names of the classes of the weights file, where it has none.
    pub names: Option<&'a str>,
    pub size: Option<InputSize>,
    pub class_names: &'a [String],
}

impl StoredStart {
    /// Makes the start in the folder, or finds it there.
    ///
    /// # Errors
    /// If the weights cannot be read or used, or the disk refuses.
    pub fn of(folder: &Path, of: &StartOf, recipe: &Recipe, training: &Records) -> Result<Self> {
        let bytes = fs::metadata(of.weights).map(|m| m.len()).unwrap_or(0);
        if let Some(found) = Self::found(folder)
            && found.weights == of.weights
            && found.bytes == bytes
            && of.size.is_none_or(|size| size == found.size)
            && found.class_names == of.class_names
        {
            return Ok(found);
        }
        let imported = import(of.weights)?;
        let size = of.size.or(imported.input_size.map(InputSize::from)).unwrap_or(DEFAULT_SIZE);
        check_size(size)?;
        let wanted = wanted_classes(of.weights, &imported, of.names, of.class_names)?;
        let begin = start(imported.network, &wanted, recipe, training, size)?;
        begin.notes.iter().for_each(|note| log::info!("{note}"));
        let fresh = fresh_layers(&begin.network, size)?;
        export(&begin.network, &folder.join("start.onnx"), &ExportOptions::raw(size, of.class_names))?;
        let made = Self {
            folder: folder.into(),
            weights: of.weights.into(),
            bytes,
            size,
            class_names: of.class_names.to_vec(),
            fresh,
        };
        let text = toml::to_string(&made).context("cannot write start.toml")?;
        replace_file(&folder.join("start.toml"), |path| fs::write(path, &text), |_| Ok(()))?;
        Ok(made)
    }

    fn found(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("start.toml")).ok()?;
        let found: Self = toml::from_str(&text).ok()?;
        folder.join("start.onnx").is_file().then(|| Self { folder: folder.into(), ..found })
    }

    /// The network, folded, with a column for each of these classes. Class predictors for other classes than the start's hold
    /// random numbers: they have to come from somewhere else.
    ///
    /// # Errors
    /// If the file is gone or damaged.
    pub fn network(&self, class_names: &[String]) -> Result<Ssd<ConvWeights>> {
        network_of(&self.folder.join("start.onnx"), class_names, &self.class_names)
    }
}

/// The network in a file of ours that has columns for `own` classes, with columns for `class_names`.
///
/// # Errors
/// If the file is gone or damaged.
pub fn network_of(path: &Path, class_names: &[String], own: &[String]) -> Result<Ssd<ConvWeights>> {
    let mut network = import(path)?.network;
    if network.heads.is_empty() || network.classes != own.len() + 1 {
        bail!(
            "{}: not the network that was written there\nhelp: remove the node's folder and join again",
            path.display()
        );
    }
    if class_names != own {
        network.renew_class_predictors(class_names.len() + 1, &mut rand_pcg::Pcg64Mcg::seed_from_u64(0));
    }
    Ok(network)
}

/// Names of the weight arrays of the layers that training started from random numbers: their scale is 1.
///
/// # Errors
/// If the network does not fit the input size.
pub fn fresh_layers(network: &Ssd<ConvWeights>, size: InputSize) -> Result<Vec<String>> {
    let convs = network.convs();
    let arrays = NamedArray::all(network, size)?;
    let is_fresh =
        |a: &NamedArray| a.numbers == ArrayNumbers::Weights && convs[a.position].1.scale.iter().all(|s| *s == 1.0);
    Ok(arrays.into_iter().filter(is_fresh).map(|a| a.name).collect())
}
