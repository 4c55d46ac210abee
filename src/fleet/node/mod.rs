//! A node: a board with its photos, which trains a server's network a little and says what has changed.
//!
//! A round is a part of one long run of all rounds' local epochs: schedule, order and augmentation go on from round to round.
//! Optimizer and mean inputs start anew each round, on the weights that all nodes share.

mod answer;
mod labels;
mod opening;
mod round_start;
mod settings;
mod start;
mod verdict;

pub use labels::count_objects;
pub use opening::{NodeOptions, SimulatedNode};
pub use round_start::is_head;
pub use settings::RoundSettings;
pub use start::{StartOf, StoredStart, fresh_layers};

use super::array::ArrayRecord;
use super::chance::Chance;
use super::participant::{Participant, RoundId, Settings, Update};
use super::privacy::Privacy;
use super::update::{Budget, byte_len};
use crate::board::release_freed_memory;
use crate::boxes::InputSize;
use crate::interchange::{ExportOptions, NamedArray, export};
use crate::model::{ConvWeights, LayerTraining, Ssd, SsdModel};
use crate::train::{
    Checkpoint, Ending, Job, Pull, Recipe, Records, RunPart, TrainError, TrainState, held_out, replace_file, train_part,
};
use crate::watchdog::{Mode, Watchdog};
use anyhow::{Context, Result, bail};
use labels::ClassPlaces;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 24 * 60 * 60;

/// All that a node has between rounds.
pub struct FleetNode {
    /// The node's own files: run folder of its rounds, what is left of updates, bytes of the day.
    folder: PathBuf,
    start: Arc<StoredStart>,
    /// The settings that a server leaves open.
    recipe: Recipe,
    /// The node's own classes; records count them so.
    class_names: Vec<String>,
    training: Records,
    validation: Records,
    watch: Mode,
    checkpoint_every: Duration,
    loader_threads: usize,
    privacy: Option<Privacy>,
    budget: Budget,
    /// Draws the noise of privacy.
    chance: Chance,
    stop: Arc<AtomicBool>,
    watchdog: Option<Watchdog>,
}

/// The message whose round the checkpoint is of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RoundFile {
    run: u64,
    message: String,
}

/// A round about to be trained.
struct Round {
    settings: RoundSettings,
    places: ClassPlaces,
    layout: Vec<NamedArray>,
    /// The arrays that came, in the network's order.
    came: Vec<String>,
    bytes_down: u64,
}

impl Round {
    fn is_trained(&self, array: &NamedArray) -> bool {
        self.settings.recipe.training(array.stage) == LayerTraining::Trained
    }

    /// True where the array is part of the answer.
    fn is_sent(&self, array: &NamedArray) -> bool {
        let stays = self.settings.personal_heads && is_head(array.stage);
        let asked = if self.settings.encoding.is_difference() {
            self.is_trained(array)
        } else {
            // As other nodes of a plain federation do: all that came goes back.
            self.came.contains(&array.name)
        };
        asked && !stays
    }

    fn bytes_up(&self) -> u64 {
        let sent = self.layout.iter().filter(|a| self.is_sent(a));
        sent.map(|a| self.settings.encoding.byte_len(&a.dims) as u64).sum()
    }
}

impl FleetNode {
    /// The network of a message, folded, with what there is to know of the round.
    fn begin(&self, arrays: ArrayRecord, config: &Settings, trains: bool) -> Result<(Round, Ssd<ConvWeights>)> {
        let settings = RoundSettings::of(config, &self.recipe)?;
        let names = settings.class_names.as_ref().unwrap_or(&self.start.class_names);
        let places = ClassPlaces::new(&self.class_names, names)?;
        let personal = self.folder.join("personal.onnx");
        let mut network = match settings.personal_heads && personal.is_file() {
            true => start::network_of(&personal, names, names)?,
            false => self.start.network(names)?,
        };
        let layout = NamedArray::all(&network, self.start.size)?;
        let bytes_down = byte_len(&arrays) as u64;
        let stays = |a: &NamedArray| settings.personal_heads && is_head(a.stage);
        let must_come =
            |a: &NamedArray| trains && settings.recipe.training(a.stage) == LayerTraining::Trained && !stays(a);
        let came = round_start::take(&mut network, &layout, arrays, settings.personal_heads, must_come)?;
        Ok((Round { settings, places, layout, came, bytes_down }, network))
    }

    fn job(&self, round: &Round) -> Job {
        Job {
            recipe: round.settings.recipe.clone(),
            size: self.start.size,
            class_names: round.places.names.clone(),
            folder: self.folder.clone(),
            checkpoint_every: self.checkpoint_every,
            loader_threads: self.loader_threads,
            watchdog: self.watch,
            schedule: None,
            requests: Arc::default(),
            trained_on: None,
            mishap: None,
        }
    }

    /// The state that the round begins with, or had when the program was cut off in the midst of it.
    fn state(&mut self, id: &RoundId, round: &Round, job: &Job, network: Ssd<ConvWeights>) -> Result<TrainState> {
        let (settings, path) = (&round.settings, self.folder.join("round.toml"));
        let now = RoundFile { run: id.run, message: id.message.clone() };
        let before = fs::read_to_string(&path).ok().and_then(|text| toml::from_str::<RoundFile>(&text).ok());
        if before.as_ref() == Some(&now)
            && let Ok(checkpoint) = Checkpoint::load(&job.checkpoint_path())
            && checkpoint.header.recipe == job.recipe
            && checkpoint.header.class_names == job.class_names
            && checkpoint.header.progress.epoch >= settings.epochs_before()
        {
            log::info!("round {}: going on at step {}", settings.round, checkpoint.header.progress.step);
            drop(network);
            return Ok(checkpoint.restore(&job.checkpoint_path())?);
        }
        if self.watchdog.is_none()
            && before.is_some_and(|before| before.run == id.run)
            && let Ok(checkpoint) = Checkpoint::load(&job.checkpoint_path())
        {
            self.watchdog = checkpoint.header.watchdog;
        }
        let mut state = TrainState::new(&network, &settings.recipe);
        state.progress.epoch = settings.epochs_before();
        state.progress.step = settings.recipe.steps_per_epoch(self.training.len()) * state.progress.epoch;
        state.watchdog = self.watchdog.take();
        // A checkpoint of another round must not be taken for this one's.
        fs::remove_file(job.checkpoint_path()).ok();
        let text = toml::to_string(&now).context("cannot write round.toml")?;
        replace_file(&path, |path| fs::write(path, &text), |_| Ok(()))?;
        Ok(state)
    }

    fn today() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY_S)
    }

    /// Input size of the network in pixels.
    pub fn size(&self) -> InputSize {
        self.start.size
    }

    /// The node's own classes.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Photos to train on.
    pub fn photos(&self) -> usize {
        self.training.len()
    }

    /// Clipping and noise of what leaves the node.
    pub fn privacy(&self) -> Option<Privacy> {
        self.privacy
    }

    /// Keeps the network as the node's own detector.
    fn keep_personal(&self, state: &TrainState, class_names: &[String]) -> Result<()> {
        let options = ExportOptions::raw(self.start.size, class_names);
        export(&state.model.weights(), &self.folder.join("personal.onnx"), &options)?;
        Ok(())
    }
}

impl Participant for FleetNode {
    fn train(&mut self, id: &RoundId, arrays: ArrayRecord, config: &Settings) -> Result<Update> {
        let (round, mut network) = self.begin(arrays, config, true)?;
        let (settings, job) = (&round.settings, self.job(&round));
        let fresh = settings.fresh.as_ref().unwrap_or(&self.start.fresh);
        log::info!(
            "round {} of {}: {} photos; {} kB came, {} kB will go as {}",
            settings.round,
            settings.rounds,
            self.training.len(),
            round.bytes_down.div_ceil(1000),
            round.bytes_up().div_ceil(1000),
            settings.encoding.name()
        );
        let spill = self.folder.join("round-start.bin");
        // Folded, as it came: what is frozen goes back with the same bits.
        round_start::Spill::write(&spill, &network, round.layout.iter().filter(|a| round.is_sent(a)))?;
        round_start::unfold(&mut network, &round.layout, fresh)?;
        self.budget.spend(Self::today(), round.bytes_down + round.bytes_up())?;
        let pull = (settings.pull > 0.0).then(|| Pull::new(settings.pull, &network, &job.recipe));
        let mut state = self.state(id, &round, &job, network)?;
        // A small board has no room for what reading the message left in the allocator.
        release_freed_memory();
        let until = settings.epochs_before() + settings.local_epochs;
        let first_step = settings.epochs_before() * settings.recipe.steps_per_epoch(self.training.len());
        let part = RunPart { first_step, until, judged: settings.measure, pull };
        let (training, validation) = (round.places.records(&self.training), round.places.records(&self.validation));
        let ending = train_part(&job, &part, &mut state, [&training, &validation], &self.stop, &mut |_| ())?;
        match ending {
            Ending::Finished | Ending::Reached | Ending::Patience | Ending::GivenUp => {}
            Ending::Stopped => bail!("stopped in the midst of round {}: it goes on when asked again", settings.round),
            Ending::Refused => bail!("the storage refuses: round {} was not finished", settings.round),
        }
        if settings.personal_heads {
            self.keep_personal(&state, &round.places.names)?;
        }
        let mut metrics = answer::figures(&state, &round, &training)?;
        verdict::tell(&self.folder, &mut metrics)?;
        let TrainState { model, watchdog, .. } = state;
        self.watchdog = watchdog;
        release_freed_memory();
        let arrays = self.answer(id, &round, &model, &spill, &mut metrics)?;
        Ok(Update { arrays, metrics })
    }

    fn evaluate(&mut self, _: &RoundId, arrays: ArrayRecord, config: &Settings) -> Result<Settings> {
        let bytes = byte_len(&arrays) as u64;
        let (round, network) = self.begin(arrays, config, false)?;
        self.budget.spend(Self::today(), bytes)?;
        if self.validation.is_empty() {
            return Err(TrainError::Empty { split: "validation split".into(), found: "no image".into() }.into());
        }
        let options = ExportOptions::raw(self.start.size, &round.places.names);
        // The board runs the federation's network as of this round.
        export(&network, &self.folder.join("global.onnx"), &options)?;
        let job = self.job(&round);
        let found = held_out(&job, SsdModel::into_inference(network), &round.places.records(&self.validation))?;
        Ok(answer::judged(&found, self.validation.len()))
    }
}
