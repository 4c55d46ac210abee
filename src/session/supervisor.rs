//! Supervises a run: reports progress to systemd, forwards stop signals, throttles for heat, memory pressure and card
//! wear.

use super::heat::HeatKeeper;
use super::memory_guard::MemoryGuard;
use super::onlooker::{Onlooker, RunEnd};
use super::process::{Audience, stop_on_signal};
use super::progress::eta;
use super::systemd::Systemd;
use crate::board::{BoardConfig, Wear, written_bytes};
use crate::train::{Event, Job};
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a wait goes on before looking whether to stop.
const SLICE: Duration = Duration::from_millis(200);

pub struct Supervisor {
    /// The board whose settings hold, if any; set before a run.
    pub board: Option<BoardConfig>,
    stop: Option<Arc<AtomicBool>>,
    /// `None` where nobody is told.
    systemd: Option<Systemd>,
    /// The beginning of the status lines.
    name: String,
    best: Option<f64>,
    heat: Option<HeatKeeper>,
    memory: Option<MemoryGuard>,
    wear: Option<Wear>,
    /// When the run under way began.
    began: Instant,
    /// Hears every event of a run, where a program of its own trains.
    pub listener: Option<Listener>,
    /// Follow every run from outside.
    pub onlookers: Vec<Box<dyn Onlooker>>,
    /// True if progress is shown on the terminal.
    shows_progress: bool,
}

/// See [`Supervisor::listener`].
pub type Listener = Box<dyn FnMut(&Event)>;

impl Supervisor {
    /// For a command on a terminal.
    pub fn of_command() -> Self {
        Self {
            board: None,
            stop: None,
            systemd: None,
            name: String::new(),
            best: None,
            heat: None,
            memory: None,
            wear: None,
            began: Instant::now(),
            listener: None,
            onlookers: Vec::new(),
            shows_progress: true,
        }
    }

    /// For a program of its own: `stop` ends a run, no signal is listened to, and the terminal is left alone.
    pub fn of_library(stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), shows_progress: false, ..Self::of_command() }
    }

    pub fn shows_progress(&self) -> bool {
        self.shows_progress
    }

    /// For a service, which listens to signals from its first moment on.
    ///
    /// # Errors
    /// If it cannot.
    pub fn of_service() -> Result<Self> {
        let mut supervisor = Self { systemd: Some(Systemd::from_environment()), ..Self::of_command() };
        supervisor.listen()?;
        Ok(supervisor)
    }

    /// The flag that signals set from now on, see [`stop_on_signal`]: until it is asked for, they end the program.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen(&mut self) -> Result<Arc<AtomicBool>> {
        if let Some(stop) = &self.stop {
            return Ok(Arc::clone(stop));
        }
        let audience = if self.systemd.is_some() { Audience::Manager } else { Audience::Terminal };
        let stop = stop_on_signal(audience)?;
        self.stop = Some(Arc::clone(&stop));
        Ok(stop)
    }

    /// True if a signal asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// A piece of work was done.
    pub fn ping(&mut self) {
        let stopping = self.is_stopping();
        if let Some(systemd) = &mut self.systemd {
            if stopping {
                systemd.stopping("stopping: saving the state");
            }
            systemd.alive();
        }
    }

    /// Tells systemd, and the log where it is news.
    pub fn say(&mut self, text: &str) {
        if self.systemd.as_mut().is_some_and(|systemd| systemd.status(text)) {
            log::info!("{text}");
        }
        self.onlookers.iter_mut().for_each(|onlooker| onlooker.waits(text));
        self.ping();
    }

    /// Tells systemd how far it is, and nobody else.
    pub fn progress(&mut self, text: impl FnOnce() -> String) {
        if let Some(systemd) = &mut self.systemd {
            systemd.progress(text);
        }
        self.ping();
    }

    /// See [`Systemd::ready`].
    pub fn ready(&mut self) {
        if let Some(systemd) = &mut self.systemd {
            systemd.ready();
        }
    }

    /// Waits; ends early if asked to stop.
    pub fn wait(&mut self, time: Duration) {
        let began = Instant::now();
        self.ping();
        while began.elapsed() < time && !self.is_stopping() {
            std::thread::sleep(SLICE.min(time));
            self.ping();
        }
    }

    /// A run begins or goes on.
    pub fn run_started(&mut self, job: &Job, best: Option<f64>) {
        self.name = job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.best = best;
        let root = Path::new("/");
        self.heat = self.board.as_ref().map(|board| HeatKeeper::new(board, root));
        self.memory = Some(MemoryGuard::new(job, root.into()));
        self.wear = self.board.as_ref().map(|board| Wear::new(board.writes, written_bytes(root)));
        self.began = Instant::now();
        if let Some(stop) = &self.stop {
            self.onlookers.iter_mut().for_each(|onlooker| onlooker.began(job, best, stop));
        }
        self.ping();
    }

    /// The run is over, verified or failed.
    pub fn tell_end(&mut self, end: &RunEnd) {
        self.onlookers.iter_mut().for_each(|onlooker| onlooker.ended(end));
    }

    /// The run is over: what there is to say about the card.
    pub fn run_ended(&mut self) -> Option<String> {
        let mut wear = self.wear.take()?;
        wear.look(written_bytes(Path::new("/")), self.began.elapsed().as_secs_f64());
        Some(wear.account())
    }

    /// The reasons why the run is slow that are no fault of learning, for a status line.
    fn notes(&self) -> String {
        let heat = self.heat.as_ref().and_then(HeatKeeper::note);
        let memory = self.memory.as_ref().and_then(MemoryGuard::note);
        [heat, memory].into_iter().flatten().fold(String::new(), |notes, note| notes + "; " + &note)
    }

    /// Waits between two micro-batches while somebody asked for a pause.
    fn pause(&mut self, job: &Job) {
        if !job.requests.is_paused() {
            return;
        }
        log::info!("paused");
        let name = self.name.clone();
        while job.requests.is_paused() && !self.is_stopping() {
            self.progress(|| format!("training {name}: paused"));
            std::thread::sleep(SLICE);
        }
        if let Some(heat) = &mut self.heat {
            heat.resume();
        }
        log::info!("going on");
    }

    /// Pauses between two micro-batches if the board is too hot.
    fn rest(&mut self) {
        let Some(mut heat) = self.heat.take() else { return };
        heat.rest(&mut || {
            self.ping();
            !self.is_stopping()
        });
        self.heat = Some(heat);
    }

    /// A checkpoint was written: the next may have to wait for the card's sake.
    fn count_checkpoint(&mut self, job: &Job) {
        let Some(wear) = &mut self.wear else { return };
        let bytes = std::fs::metadata(job.checkpoint_path()).map_or(0, |m| m.len());
        wear.checkpoint(bytes, written_bytes(Path::new("/")), self.began.elapsed().as_secs_f64());
        job.requests.ask_checkpoint_every(wear.interval(job.checkpoint_every));
    }

    /// Passes on what happens in the run.
    pub fn on_event(&mut self, job: &Job, event: &Event) {
        if let Some(listener) = &mut self.listener {
            listener(event);
        }
        if !self.onlookers.is_empty() {
            let notes = self.notes();
            self.onlookers.iter_mut().for_each(|onlooker| onlooker.saw(event, &notes));
        }
        match event {
            Event::Step(report) => {
                if let Some(memory) = &mut self.memory {
                    memory.look(job);
                }
                let (name, best, epochs, notes) = (self.name.clone(), self.best, job.recipe.epochs, self.notes());
                self.progress(|| {
                    format!(
                        "training {name}: epoch {}/{epochs}, step {}/{}, loss {:.2}, best AP {}, {:.1} images/s, ETA {}{notes}",
                        report.epoch,
                        report.step,
                        report.total,
                        report.stats.class + report.stats.boxes,
                        figure(best),
                        report.images_per_second,
                        eta(report)
                    )
                });
            }
            Event::MicroBatch => {
                self.ping();
                self.pause(job);
                self.rest();
            }
            Event::Checkpoint { .. } => {
                self.count_checkpoint(job);
                self.ping();
            }
            Event::Refused { error, .. } => {
                let text = error.to_string();
                self.say(&format!("storage: {}; the last good state is kept", text.lines().next().unwrap_or_default()));
            }
            Event::Judging { .. } => {
                self.pause(job);
                self.rest();
                let name = self.name.clone();
                self.progress(|| format!("training {name}: judging the epoch on held-back photos"));
            }
            Event::Epoch { record, best: true, .. } => {
                self.best = record.ap;
                self.ping();
            }
            _ => self.ping(),
        }
    }
}

fn figure(ap: Option<f64>) -> String {
    ap.map_or("-".into(), |ap| format!("{ap:.3}"))
}
