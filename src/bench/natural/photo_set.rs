//! The photos and weights of the bench: generated scenes with the demo's network, or a data set with pretrained weights.

use super::begin::Begin;
use crate::bench::spread_photos::spread_photos;
use crate::boxes::InputSize;
use crate::data::{Record, SceneOptions, scene};
use crate::interchange::{ExportOptions, export};
use crate::model::{initialise_network, ssdlite_mobilenet_v2};
use crate::session::{PRETRAINED, open_source};
use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Side of a scene in pixels.
const SCENE: usize = 224;

/// Scenes to train on, and to validate on.
const SCENES: [usize; 2] = [160, 60];

/// Most validation photos: more cost time and tell little more.
const JUDGED: usize = 80;

pub struct PhotoSet {
    pub name: String,
    pub class_names: Vec<String>,
    training: Vec<Record>,
    pub validation: Vec<Record>,
    good: PathBuf,
    weak: PathBuf,
    /// Keeps the files of its own weights.
    _files: TempDir,
}

impl PhotoSet {
    /// Generated scenes. The good start is the demo's network, the weak one random numbers.
    ///
    /// # Errors
    /// If a temporary file cannot be written.
    pub fn scenes(seed: u64) -> Result<Self> {
        let options = SceneOptions { size: SCENE, classes: 6, min_object_px: 16, seed, ..SceneOptions::default() };
        let class_names: Vec<String> = options.class_names().iter().map(|n| n.to_string()).collect();
        let [training, validation] = SCENES;
        let some = |from: usize, count: usize| -> Vec<Record> {
            (from..from + count).map(|i| scene(options.seed_of(i), &options)).collect()
        };
        let files = tempfile::tempdir().context("a temporary folder")?;
        let (good, weak) = (files.path().join("demo.onnx"), files.path().join("random.onnx"));
        std::fs::write(&good, PRETRAINED)?;
        let random = initialise_network(&ssdlite_mobilenet_v2(0.35, 2, false), &mut Pcg64Mcg::seed_from_u64(seed));
        let names = ["thing".to_string()];
        export(&random, &weak, &ExportOptions::raw(InputSize::square(SCENE), &names))?;
        Ok(Self {
            name: "scenes".into(),
            class_names,
            training: some(0, training),
            validation: some(training, validation),
            good,
            weak,
            _files: files,
        })
    }

    /// A data set with its weights. The weak start is the demo's network, which has seen drawings alone.
    ///
    /// # Errors
    /// If the data set cannot be read, or nothing is held back for validation.
    pub fn photos(data: &Path, weights: &Path, photos: usize) -> Result<Self> {
        let files = tempfile::tempdir().context("a temporary folder")?;
        let pack = open_source(data, files.path(), 0.25, 0)?.pack;
        let roles = pack.roles();
        let Some(val) = roles.val else {
            bail!("{}: no split to validate on\nhelp: give a data set with a split val", data.display());
        };
        let weak = files.path().join("demo.onnx");
        std::fs::write(&weak, PRETRAINED)?;
        Ok(Self {
            name: data.file_stem().and_then(|n| n.to_str()).unwrap_or("photos").into(),
            class_names: pack.classes().to_vec(),
            training: spread_photos(&pack.split(&roles.train)?, photos)?,
            validation: spread_photos(&pack.split(&val)?, JUDGED)?,
            good: weights.into(),
            weak,
            _files: files,
        })
    }

    /// All training photos that there are.
    pub fn len(&self) -> usize {
        self.training.len()
    }

    /// So many training photos, spread over all.
    pub fn training(&self, photos: usize, seed: u64) -> Vec<Record> {
        let (all, count) = (self.training.len(), photos.min(self.training.len()));
        let at = |i: usize| (i * all / count.max(1) + seed as usize) % all;
        (0..count).map(|i| self.training[at(i)].clone()).collect()
    }

    pub fn weights(&self, begin: Begin) -> &Path {
        match begin {
            Begin::Good => &self.good,
            Begin::Weak => &self.weak,
        }
    }
}
