//! The setting of the stagnation bench: generated scenes with the demo's small network, or photos with a pretrained
//! file.

use super::fault::Fault;
use super::{SIZE, StagnationArguments, VALIDATION};
use crate::bench::bench_job::bench_job;
use crate::bench::spread_photos::spread_photos;
use crate::boxes::{BoxCoder, CornerBox, Matcher};
use crate::data::{AugmentOptions, Pack, Record, SceneOptions, scene};
use crate::loss::TargetEncoder;
use crate::model::{ConvWeights, Ssd, SsdModel};
use crate::session::{PRETRAINED, open_source};
use crate::train::{Job, Recipe, Records, WantedClasses, start};
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};

/// The common ground of all runs.
pub struct Setting {
    /// The pretrained file; extras and heads are renewed for every run.
    base: Ssd<ConvWeights>,
    pub class_names: Vec<String>,
    pub size: usize,
    epochs: u64,
    images: usize,
    /// Training and validation photos; scenes are drawn for every seed.
    photos: Option<[Vec<Record>; 2]>,
    /// The feature map that most objects match.
    pub map: usize,
    /// Folder for the runs' journals.
    pub keep: Option<PathBuf>,
}

fn options(seed: u64) -> SceneOptions {
    SceneOptions { size: SIZE, classes: 3, max_objects: 2, min_object_px: 28, seed, ..SceneOptions::default() }
}

fn scenes(count: usize, seed: u64) -> Vec<Record> {
    let options = options(seed);
    (0..count).map(|i| scene(options.seed_of(i), &options)).collect()
}

/// Scenes are small and clean: what is cut off or recoloured is not what is to be found here.
fn scene_recipe(epochs: u64, seed: u64) -> Recipe {
    let augment = AugmentOptions {
        zoom_out_probability: 0.0,
        crops: Vec::new(),
        color_probability: 0.0,
        ..AugmentOptions::default()
    };
    Recipe { epochs, seed, augment, batch: 4, micro_batch: 4, ..Recipe::default() }
}

fn split(pack: &Pack, names: [&str; 2], most: usize) -> Result<Vec<Record>> {
    let known = names.iter().find(|n| pack.split_names().iter().any(|s| s == *n));
    let split = pack.split(known.ok_or_else(|| anyhow!("no split {}", names.join(" or ")))?)?;
    spread_photos(&split, most)
}

impl Setting {
    pub fn new(a: &StagnationArguments) -> Result<Self> {
        match (&a.data, &a.weights) {
            (Some(data), Some(weights)) => Self::photos(a, data, weights),
            (None, None) => Self::scenes(a),
            _ => Err(anyhow!("photos need a pretrained network\nhelp: give DATA and --weights FILE.onnx, or neither")),
        }
    }

    fn scenes(a: &StagnationArguments) -> Result<Self> {
        let class_names: Vec<String> = options(0).class_names().iter().map(|n| n.to_string()).collect();
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let file = folder.path().join("pretrained.onnx");
        std::fs::write(&file, PRETRAINED)?;
        let (recipe, records) = (scene_recipe(a.epochs, 0), Records::in_memory(scenes(a.images, 7)));
        let imported = crate::interchange::import(&file)?;
        let wanted = WantedClasses::all_new(class_names.clone());
        let base = start(imported.network, &wanted, &recipe, &records, SIZE.into())?.network;
        Self {
            base,
            class_names,
            size: SIZE,
            epochs: a.epochs,
            images: a.images,
            photos: None,
            map: 0,
            keep: a.keep.clone(),
        }
        .mapped()
    }

    fn photos(a: &StagnationArguments, data: &Path, weights: &Path) -> Result<Self> {
        let imported = crate::interchange::import(weights)?;
        let cache = tempfile::tempdir().context("a temporary folder")?;
        let pack = open_source(data, cache.path(), 0.2, 0)?.pack;
        let training = split(&pack, ["train", "trainval"], a.images)?;
        let validation = split(&pack, ["val", "test"], VALIDATION)?;
        let class_names = pack.classes().to_vec();
        let recipe = Recipe::default();
        let records = Records::in_memory(training.clone());
        let wanted = WantedClasses::all_new(class_names.clone());
        let base = start(imported.network, &wanted, &recipe, &records, a.imgsz.into())?.network;
        let photos = Some([training, validation]);
        Self {
            base,
            class_names,
            size: a.imgsz,
            epochs: a.epochs,
            images: a.images,
            photos,
            map: 0,
            keep: a.keep.clone(),
        }
        .mapped()
    }

    /// Finds the feature map that most objects match.
    fn mapped(mut self) -> Result<Self> {
        let model = SsdModel::for_inference(&self.base);
        let anchors = model.specs().anchors([self.size; 2])?;
        let matcher = Matcher { iou_threshold: 0.5, min_anchors_per_object: 4 };
        let encoder = TargetEncoder { anchors, coder: BoxCoder::default(), matcher };
        let mut matched = vec![0usize; encoder.anchors.maps().len()];
        for record in self.training(0) {
            let boxes: Vec<CornerBox> = record.objects.iter().map(|o| o.bbox).collect();
            for (anchor, _) in encoder.encode(&vec![1; boxes.len()], &boxes).positives {
                matched[encoder.anchors.map_of(anchor)] += 1;
            }
        }
        self.map = (0..matched.len()).max_by_key(|&m| matched[m]).unwrap_or(0);
        Ok(self)
    }

    pub fn training(&self, seed: u64) -> Vec<Record> {
        self.photos.as_ref().map_or_else(|| scenes(self.images, 7 + 100 * seed), |[training, _]| training.clone())
    }

    /// More than a training set: what a selection is made from, where there are more.
    pub fn many(&self, seed: u64) -> Vec<Record> {
        self.photos.as_ref().map_or_else(|| scenes(4 * self.images, 7 + 100 * seed), |[training, _]| training.clone())
    }

    pub fn validation(&self, seed: u64) -> Vec<Record> {
        self.photos.as_ref().map_or_else(|| scenes(VALIDATION, 8 + 100 * seed), |[_, validation]| validation.clone())
    }

    fn recipe(&self, seed: u64) -> Recipe {
        match self.photos {
            Some(_) => Recipe { epochs: self.epochs, seed, ..Recipe::default() },
            None => scene_recipe(self.epochs, seed),
        }
    }

    /// The start of a run.
    pub fn network(&self, seed: u64) -> Ssd<ConvWeights> {
        let mut network = self.base.clone();
        network.renew_extras_and_heads(self.class_names.len() + 1, &mut Pcg64Mcg::seed_from_u64(seed));
        network.set_background_prior(0.75);
        network
    }

    pub fn job(&self, seed: u64, folder: &Path, watchdog: Mode) -> Result<Job> {
        bench_job(self.recipe(seed), folder, watchdog, self.size.into(), &self.class_names)
    }

    /// True if a fault can be shown here.
    pub fn suits(&self, fault: Fault) -> bool {
        self.class_names.len() > 2 || !matches!(fault, Fault::LabelsSwapped | Fault::RareClass)
    }
}
