//! Who is with a run while it goes on: passes its signs of life to systemd, and the wish to stop to it.

use super::process::stop_on_signal;
use super::progress::eta;
use super::systemd::Systemd;
use crate::train::{Event, Job};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a wait goes on before looking whether to stop.
const SLICE: Duration = Duration::from_millis(200);

pub struct Attendant {
    stop: Option<Arc<AtomicBool>>,
    /// `None` where nobody is told.
    systemd: Option<Systemd>,
    /// What the status lines begin with.
    name: String,
    best: Option<f64>,
}

impl Attendant {
    /// For a command on a terminal.
    pub fn of_command() -> Self {
        Self { stop: None, systemd: None, name: String::new(), best: None }
    }

    /// For a service, which listens to signals from its first moment on.
    ///
    /// # Errors
    /// If it cannot.
    pub fn of_service() -> Result<Self> {
        let mut attendant = Self { systemd: Some(Systemd::from_environment()), ..Self::of_command() };
        attendant.listen()?;
        Ok(attendant)
    }

    /// The flag that SIGTERM and SIGINT set from now on: until it is asked for, they end the program.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen(&mut self) -> Result<Arc<AtomicBool>> {
        if let Some(stop) = &self.stop {
            return Ok(Arc::clone(stop));
        }
        let stop = stop_on_signal()?;
        self.stop = Some(Arc::clone(&stop));
        Ok(stop)
    }

    /// Whether a signal asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// A piece of work was done.
    pub fn beat(&mut self) {
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
        self.beat();
    }

    /// Tells systemd how far it is, and nobody else.
    pub fn progress(&mut self, text: impl FnOnce() -> String) {
        if let Some(systemd) = &mut self.systemd {
            systemd.progress(text);
        }
        self.beat();
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
        self.beat();
        while began.elapsed() < time && !self.is_stopping() {
            std::thread::sleep(SLICE.min(time));
            self.beat();
        }
    }

    /// A run begins or goes on.
    pub fn meet(&mut self, job: &Job, best: Option<f64>) {
        self.name = job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.best = best;
        self.beat();
    }

    /// Passes on what happens in the run.
    pub fn attend(&mut self, job: &Job, event: &Event) {
        match event {
            Event::Step(report) => {
                let (name, best, epochs) = (self.name.clone(), self.best, job.recipe.epochs);
                self.progress(|| {
                    format!(
                        "training {name}: epoch {}/{epochs}, step {}/{}, loss {:.2}, best AP {}, {:.1} images/s, ETA {}",
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
            Event::Judging => {
                let name = self.name.clone();
                self.progress(|| format!("training {name}: judging the epoch on held-back photos"));
            }
            Event::Epoch { record, best: true, .. } => {
                self.best = record.ap;
                self.beat();
            }
            _ => self.beat(),
        }
    }
}

fn figure(ap: Option<f64>) -> String {
    ap.map_or("-".into(), |ap| format!("{ap:.3}"))
}
