//! `fieldtune service`: labelled photos in, `best.onnx` out, for as long as the board runs.
//!
//! It waits for photos and weights, trains on them, publishes, and waits for other photos. A run that was interrupted,
//! by whatever, is gone on with first. The service works on a snapshot: photos that arrive meanwhile are for the next run.
//! The state between two lines of `Service::turn` is always one that a start can go on from.

mod inputs;
mod job;
mod membership;
mod note;
mod shelf;
mod vital;

use crate::board::limits_are_enforced;
use crate::config::{JobFile, ServiceFile};
use crate::data::{DataError, DataSet};
use crate::serve::{LiveMeans, LiveOptions};
use crate::session::{
    Busy, NoSoundCheckpoint, Overrides, PackChoice, Preflight, RunOutcome, Supervisor, USAGE, bound_photos, free_name,
    log_file, new_training, pack_photos, refuse_unless_accepted, resume, set_threads, tell_notes,
};
use crate::train::{Ending, PREVIOUS, Requests, TrainError};
use crate::weights::{Store, VARIABLE, resolve};
use anyhow::{Context, Result};
use clap::Args;
use inputs::{Inputs, Settling};
use job::read_job;
use membership::Membership;
use note::{Note, ServiceStage};
use shelf::{Shelf, state_directory};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vital::Death;

/// The folder of the state unless systemd or the job file say otherwise.
const STATE: &str = "/var/lib/fieldtune";

/// Linux's number of "Input/output error".
const EIO: i32 = 5;

/// Time before a storage that refused is tried again.
const REFUSED: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// Job file (TOML)
    #[arg(long, default_value = "/etc/fieldtune/job.toml")]
    pub config: PathBuf,
}

pub fn run(arguments: ServiceArguments) -> Result<u8> {
    let mut supervisor = Supervisor::of_service()?;
    let job = match read_job(&arguments.config).and_then(|job| Ok((LiveMeans::start(&LiveOptions::of(&job))?, job))) {
        Ok((live, job)) => {
            supervisor.onlookers = live.onlookers();
            job
        }
        Err(error) => {
            // systemd keeps the last status of a service that has failed: whoever asks it finds the reason there.
            supervisor.say(&format!("failed: {}", one_line(&error)));
            log::error!("{error:#}");
            return Ok(USAGE);
        }
    };
    let mut service = Service::open(job)?;
    supervisor.ready();
    service.look_back();
    while !supervisor.is_stopping() {
        let wait = match service.turn(&mut supervisor) {
            Ok(wait) => wait,
            Err(error) => {
                log::error!("{error:#}");
                supervisor.say(&format!("storage: {}; trying again", first_line(&error)));
                REFUSED
            }
        };
        log_file::leave();
        supervisor.wait(wait);
    }
    supervisor.ping();
    log::info!("stopped");
    Ok(0)
}

/// A service between two runs.
struct Service {
    job: JobFile,
    /// The job as text: another text is another job.
    text: String,
    settings: ServiceFile,
    shelf: Shelf,
    inbox: PathBuf,
    settling: Settling,
    /// How the last start ended, if not by itself.
    death: Option<Death>,
}

impl Service {
    /// # Errors
    /// If the state folder cannot be written.
    fn open(job: JobFile) -> Result<Self> {
        let settings = job.service.clone().unwrap_or_default();
        let state = settings.state.clone().or_else(state_directory).unwrap_or_else(|| STATE.into());
        let shelf = Shelf::open(&state)?;
        let inbox = settings.inbox.clone().unwrap_or_else(|| shelf.state.join("inbox"));
        // One that cannot be made is waited for: it may be a drive that is still to come.
        let _ = fs::create_dir_all(&inbox);
        let text = JobFile { service: None, ..job.unobserved() }.to_toml();
        Ok(Self { job, text, settings, shelf, inbox, settling: Settling::default(), death: None })
    }

    /// Says how the last start ended, and about limits that are none.
    fn look_back(&mut self) {
        self.death = vital::autopsy(&self.shelf.state, Path::new("/"));
        if let Some(death) = self.death {
            log::warn!("{}", death.sentence());
        }
        vital::end(&self.shelf.state);
        if limits_are_enforced(Path::new("/")) == Some(false) {
            log::warn!(
                "this system counts no memory by control group: systemd shows MemoryMax but does not enforce it; \
                 cgroup_enable=memory on the kernel's command line changes that"
            );
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_secs(self.settings.poll_s.max(1))
    }

    fn data(&self) -> &Path {
        self.job.data.as_deref().unwrap_or(&self.inbox)
    }

    /// The weights to start from: as the job file says, else `weights.onnx` in the state folder, else the default of the weights
    /// that are kept there. The file need not exist.
    fn weights(&self) -> PathBuf {
        let (store, file) = (self.store(), self.shelf.state.join("weights.onnx"));
        match &self.job.weights {
            Some(given) => resolve(given, Some(&store)).unwrap_or_else(|_| given.clone()),
            None if file.is_file() => file,
            None => store.default().ok().flatten().map_or(file, |record| store.path(&record)),
        }
    }

    /// Kept weights, `weights` in the state folder unless the environment names another.
    fn store(&self) -> Store {
        let named = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty());
        Store::at(named.map_or_else(|| self.shelf.state.join("weights"), PathBuf::from))
    }

    /// The necessary input that is not there.
    fn missing(&self) -> Option<String> {
        let (data, weights) = (self.data(), self.weights());
        if !weights.is_file() {
            return Some(format!(
                "waiting for pretrained weights: put an SSD-MobileNet-V2 or MobileNetV2 ONNX file at {}, or keep one: \
                 fieldtune weights add FILE --folder {}",
                weights.display(),
                self.store().folder().display()
            ));
        }
        (Inputs::look(data, &weights, "").files == 0)
            .then(|| format!("waiting for labelled photos in {}", data.display()))
    }

    /// Does what is to be done now, if anything. Returns how long to wait before the next turn.
    ///
    /// # Errors
    /// If the state folder cannot be written.
    fn turn(&mut self, supervisor: &mut Supervisor) -> Result<Duration> {
        let note = Note::read(&self.shelf.state);
        if let Some(note) = note.as_ref().filter(|n| n.stage == ServiceStage::Training) {
            return self.go_on(note.clone(), supervisor);
        }
        if let Some(missing) = self.missing() {
            supervisor.say(&missing);
            return Ok(self.poll());
        }
        let inputs = Inputs::look(self.data(), &self.weights(), &self.text);
        if let Some(note) = note.as_ref().filter(|n| n.inputs == inputs.sum) {
            supervisor.say(&note.message);
            return Ok(self.poll());
        }
        if !self.settling.is_settled(&inputs, Duration::from_secs(self.settings.settle_s)) {
            supervisor.say(&format!("{} files in {}, waiting for more", inputs.files, self.data().display()));
            return Ok(self.poll());
        }
        match &self.job.fleet {
            Some(fleet) => self.take_part(&fleet.superlink.clone().unwrap_or_default(), supervisor),
            None => self.begin(&inputs, note.and_then(|n| n.micro_batch), supervisor),
        }
    }

    /// Works as a node of a fleet until the service stops or its photos change.
    fn take_part(&self, server: &str, supervisor: &mut Supervisor) -> Result<Duration> {
        let membership = Membership {
            job: self.job.clone(),
            data: self.data().to_path_buf(),
            weights: self.weights(),
            folder: self.shelf.state.join("fleet"),
            text: self.text.clone(),
            poll: self.poll(),
            settle: Duration::from_secs(self.settings.settle_s),
        };
        supervisor.say(&format!("a node of the fleet at {server}"));
        match membership.run(&supervisor.listen()?) {
            Ok(()) => Ok(Duration::ZERO),
            Err(error) => {
                log::error!("{error:#}");
                supervisor.say(&format!("fleet: {}; trying again", first_line(&error)));
                Ok(REFUSED)
            }
        }
    }

    /// Trains on what is there now.
    fn begin(&mut self, inputs: &Inputs, micro_batch: Option<usize>, supervisor: &mut Supervisor) -> Result<Duration> {
        let stem = self.job.name.clone().unwrap_or_else(|| "photos".into());
        let name = free_name(&self.shelf.runs(), &stem);
        let inputs = inputs.sum.clone();
        let note = Note { stage: ServiceStage::Training, run: name, inputs, message: String::new(), micro_batch };
        note.write(&self.shelf.state)?;
        vital::begin(&self.shelf.state, Path::new("/"))?;
        supervisor.say(&format!("preparing {}", note.run));
        let outcome = self.snapshot(&note.run, supervisor).and_then(|data| {
            let mut job = JobFile {
                data: Some(data),
                weights: Some(self.weights()),
                out: self.shelf.runs(),
                name: Some(note.run.clone()),
                service: None,
                ..self.job.clone()
            };
            if let Some(most) = micro_batch {
                let recipe = &mut job.recipe;
                recipe.micro_batch = smaller(recipe.batch, recipe.micro_batch, most);
            }
            new_training(job, Preflight::default(), supervisor)
        });
        self.end(note, outcome, supervisor)
    }

    /// The photos as they are now, as a pack in the run's folder.
    fn snapshot(&self, run: &str, supervisor: &mut Supervisor) -> Result<PathBuf> {
        let data = self.data();
        if data.extension().is_some_and(|e| e == "pack") {
            return Ok(data.to_path_buf());
        }
        bound_photos(self.job.memory_mb, set_threads(self.job.threads)?);
        let folder = self.shelf.run(run);
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot make the run folder", folder.display()))?;
        let pack = folder.join("photos.pack");
        let choice = PackChoice { wish: self.job.pack_as, val_share: self.job.val_share, seed: self.job.recipe.seed };
        let (packed, _) = pack_photos(&DataSet::open(data)?, &pack, &choice, &mut |done, total| {
            supervisor.progress(|| format!("packing photo {done} of {total}"));
            if supervisor.is_stopping() {
                // The next start goes on with the photos that were packed.
                log::info!("stopped while packing");
                vital::end(&self.shelf.state);
                std::process::exit(0);
            }
        })?;
        tell_notes(&packed.notes());
        refuse_unless_accepted(&packed.notes(), &self.job.accept)?;
        Ok(pack)
    }

    /// Goes on with a run that was interrupted.
    fn go_on(&mut self, mut note: Note, supervisor: &mut Supervisor) -> Result<Duration> {
        if self.death.take() == Some(Death::Memory) {
            self.shrink(&mut note);
            note.write(&self.shelf.state)?;
        }
        let folder = self.shelf.run(&note.run);
        let [last, previous] = ["last.ckpt", PREVIOUS].map(|name| folder.join("weights").join(name));
        if !last.exists() && !previous.exists() {
            log::info!("{}: interrupted before its first checkpoint, beginning anew", folder.display());
            let _ = fs::remove_dir_all(&folder);
            self.forget(note)?;
            return Ok(Duration::ZERO);
        }
        supervisor.say(&format!("going on with {}", note.run));
        vital::begin(&self.shelf.state, Path::new("/"))?;
        let overrides = Overrides { micro_batch: note.micro_batch, ..Overrides::default() };
        let outcome = resume(&folder, &overrides, supervisor).or_else(|error| {
            if !is_damage(&error) || !previous.exists() {
                return Err(error);
            }
            log::warn!("{error:#}");
            log_file::leave();
            resume(&previous, &overrides, supervisor)
        });
        self.end(note, outcome, supervisor)
    }

    /// After a kill for want of memory: the next smaller micro-batch.
    fn shrink(&self, note: &mut Note) {
        let began = JobFile::read(&self.shelf.run(&note.run).join("config.toml")).unwrap_or_else(|_| self.job.clone());
        let recipe = began.recipe;
        let last = note.micro_batch.map_or(recipe.micro_batch, |most| smaller(recipe.batch, recipe.micro_batch, most));
        if last <= 1 {
            log::warn!("the micro-batch was 1 already: raise MemoryMax, end other programs, or use a smaller imgsz");
            return;
        }
        let next = smaller(recipe.batch, last, last - 1);
        log::warn!("going on with micro-batch {next} instead of {last}; the result differs by rounding only");
        note.micro_batch = Some(next);
    }

    /// Remembers that no run is under way, and how large a micro-batch may be.
    fn forget(&self, note: Note) -> Result<()> {
        Note { stage: ServiceStage::Failed, inputs: String::new(), ..note }.write(&self.shelf.state)
    }

    /// Publishes, or says why there is nothing to publish.
    fn end(&self, note: Note, outcome: Result<RunOutcome>, supervisor: &mut Supervisor) -> Result<Duration> {
        vital::end(&self.shelf.state);
        let published = outcome.and_then(|outcome| {
            if !outcome.is_resumable() {
                self.shelf.publish(&outcome)?;
            }
            Ok(outcome)
        });
        let note = match published {
            Ok(outcome) if outcome.ending == Ending::Refused => return Ok(REFUSED),
            Ok(outcome) if outcome.ending == Ending::Stopped => return Ok(self.poll()),
            Err(error) if error.is::<Busy>() => {
                supervisor.say(&format!("waiting: {}", first_line(&error)));
                return Ok(REFUSED);
            }
            Err(error) if error.is::<NoSoundCheckpoint>() => {
                log::error!("{error:#}");
                supervisor.say("both checkpoints are damaged: beginning anew");
                self.forget(note)?;
                return Ok(Duration::ZERO);
            }
            Err(error) if is_storage(&error) => {
                log::error!("{}: {error:#}", note.run);
                supervisor.say(&format!("storage: {}; the last good state is kept, trying again", first_line(&error)));
                return Ok(REFUSED);
            }
            Ok(outcome) => {
                self.shelf.tidy(&note.run, self.settings.keep_runs);
                let ap = outcome.best.map_or(String::new(), |b| format!(" with AP {:.3}", b.ap));
                let message =
                    format!("done: {}{ap} from {}, waiting for other photos", self.shelf.best().display(), note.run);
                Note { stage: ServiceStage::Done, message, ..note }
            }
            Err(error) => {
                log::error!("{}: {error:#}", note.run);
                let message = format!("failed: {}", one_line(&error));
                Note { stage: ServiceStage::Failed, message, ..note }
            }
        };
        note.write(&self.shelf.state)?;
        supervisor.say(&note.message);
        Ok(self.poll())
    }
}

/// The largest divisor of `batch` that is neither larger than `wanted` nor than `most`.
fn smaller(batch: usize, wanted: usize, most: usize) -> usize {
    let requests = Requests::default();
    requests.ask_micro_batch(most.max(1));
    requests.micro_batch(batch, wanted)
}

/// All of it in one line, but for drawings of the place in a file.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.contains('|')).collect();
    lines.join("; ")
}

fn first_line(error: &anyhow::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

/// True if the storage did not take something: another time it may.
fn is_storage(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let refused = |e: &std::io::Error| {
        // A failing card's own error, which has no kind.
        matches!(e.kind(), StorageFull | ReadOnlyFilesystem | QuotaExceeded) || e.raw_os_error() == Some(EIO)
    };
    let data = |e: &DataError| matches!(e, DataError::Io { error, .. } if refused(error));
    error.downcast_ref::<TrainError>().is_some_and(TrainError::is_storage)
        || error.downcast_ref::<DataError>().is_some_and(data)
        || error.chain().any(|e| e.downcast_ref::<std::io::Error>().is_some_and(refused))
}

/// True if a checkpoint cannot be gone on from, but the one before it may.
fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::Checkpoint { .. }))
}
