//! Opens a node: its photos, its start, its folder.

use super::{FleetNode, StartOf, StoredStart};
use crate::boxes::InputSize;
use crate::config::{JobFile, PackWish};
use crate::fleet::chance::Chance;
use crate::fleet::privacy::Privacy;
use crate::fleet::update::Budget;
use crate::session::{
    PackChoice, loader_threads, open_sources, refuse_unless_accepted, set_threads, starting_weights, tell_notes,
};
use crate::train::{Recipe, Records};
use crate::watchdog::Mode;
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The choices that make a node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Data sets, joined by the names of their classes.
    pub data: Vec<PathBuf>,
    /// File of pretrained weights or the name of kept ones; the kept default if absent.
    pub weights: Option<PathBuf>,
    /// Names of the classes of the weights file, where it has none.
    pub names: Option<String>,
    /// Folder of the node's files, which outlast the program.
    pub folder: PathBuf,
    pub imgsz: Option<InputSize>,
    pub threads: Option<usize>,
    pub train_split: Option<String>,
    pub val_split: Option<String>,
    pub val_share: f64,
    /// Kinds of errors of a data set that are accepted.
    pub accept: Vec<String>,
    pub pack_as: PackWish,
    pub recipe: Recipe,
    pub privacy: Option<Privacy>,
    pub mb_per_day: Option<f64>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        let job = JobFile::default();
        Self {
            data: Vec::new(),
            weights: None,
            names: None,
            folder: "runs/fleet".into(),
            imgsz: None,
            threads: None,
            train_split: None,
            val_split: None,
            val_share: job.val_share,
            accept: Vec::new(),
            pack_as: job.pack_as,
            recipe: job.recipe,
            privacy: None,
            mb_per_day: None,
        }
    }
}

/// The parts that a node of a simulation has of its own; start and recipe are all nodes'.
pub struct SimulatedNode {
    pub folder: PathBuf,
    pub training: Records,
    pub validation: Records,
    pub privacy: Option<Privacy>,
    pub seed: u64,
}

impl FleetNode {
    /// Opens the node's data and start.
    ///
    /// # Errors
    /// If data or weights cannot be used, or the disk refuses.
    pub fn open(options: &NodeOptions, stop: Arc<AtomicBool>) -> Result<Self> {
        options.recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
        let threads = set_threads(options.threads)?;
        let weights = starting_weights(options.weights.as_deref())?;
        let weights = weights.canonicalize().unwrap_or(weights);
        make_folder(&options.folder)?;
        let choice = PackChoice { wish: options.pack_as, val_share: options.val_share, seed: options.recipe.seed };
        let source = open_sources(&options.data, &options.folder, &choice)?;
        tell_notes(&source.pack.notes());
        refuse_unless_accepted(&source.pack.notes(), &options.accept)?;
        let roles = source.pack.roles();
        let training = source.pack.split(options.train_split.as_deref().unwrap_or(&roles.train))?;
        let validation = options.val_split.as_deref().or(roles.val.as_deref());
        let validation = validation.map(|name| source.pack.split(name)).transpose()?;
        if training.is_empty() {
            bail!("split {}: no photo to train on\nhelp: check the data set with `fieldtune check`", training.name());
        }
        let class_names = source.pack.classes().to_vec();
        let training = Records::of_split(&training);
        let validation = validation.map_or_else(|| training.chosen(Vec::new()), |split| Records::of_split(&split));
        let of = StartOf {
            weights: &weights,
            names: options.names.as_deref(),
            size: options.imgsz,
            class_names: &class_names,
        };
        let start = StoredStart::of(&options.folder, &of, &options.recipe, &training)?;
        Ok(Self {
            budget: Budget::open(&options.folder, options.mb_per_day)?,
            folder: options.folder.clone(),
            start: Arc::new(start),
            recipe: options.recipe.clone(),
            class_names,
            training,
            validation,
            watch: Mode::Advise,
            checkpoint_every: Duration::from_secs(JobFile::default().checkpoint_every_s),
            loader_threads: loader_threads(threads),
            privacy: options.privacy,
            chance: Chance::of_system()?,
            stop,
            watchdog: None,
        })
    }

    /// A node of a simulation: one of many that are trained in turn. It keeps its folder and nothing else between rounds.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn simulated(
        of: SimulatedNode,
        start: &Arc<StoredStart>,
        recipe: &Recipe,
        loader_threads: usize,
    ) -> Result<Self> {
        make_folder(&of.folder)?;
        Ok(Self {
            budget: Budget::open(&of.folder, None)?,
            folder: of.folder,
            start: Arc::clone(start),
            recipe: recipe.clone(),
            class_names: start.class_names.clone(),
            training: of.training,
            validation: of.validation,
            watch: Mode::Off,
            checkpoint_every: Duration::MAX,
            loader_threads,
            privacy: of.privacy,
            chance: Chance::of_seed(of.seed),
            stop: Arc::default(),
            watchdog: None,
        })
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("weights"))
        .with_context(|| format!("{}: cannot make the node's folder", folder.display()))
}
