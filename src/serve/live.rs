//! The means to follow a run: live page, metrics file, notifications, each only where it was asked for.

use super::access::Access;
use super::events::Events;
use super::listener::{Bounds, bind, listen};
use super::live_onlooker::LiveOnlooker;
use super::live_run::LiveRun;
use super::metrics_file::keep_metrics;
use super::notification::Notifier;
use super::run_page::RunPage;
use crate::config::{JobFile, ServeAddress};
use crate::session::{Onlooker, terminal};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Pages are small and few; 48 connections sleep in some hundred kilobytes.
const BOUNDS: Bounds = Bounds { connections: 48, body_bytes: 4096, patience: Duration::from_secs(10) };

/// Stack of threads that only tell figures.
const STACK: usize = 256 << 10;

/// The means that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveOptions {
    pub serve: Option<ServeAddress>,
    pub metrics_file: Option<PathBuf>,
    pub notify: Option<String>,
}

impl LiveOptions {
    pub fn of(job: &JobFile) -> Self {
        Self { serve: job.serve, metrics_file: job.metrics_file.clone(), notify: job.notify.clone() }
    }
}

/// The means that have been started.
pub struct LiveMeans {
    pub run: Arc<LiveRun>,
    notifier: Option<Notifier>,
    metrics_file: Option<PathBuf>,
    events: Option<Arc<Events>>,
}

impl LiveMeans {
    /// Starts what was asked for, and no thread otherwise.
    ///
    /// # Errors
    /// If the address is in use, or the notifications' address is none.
    pub fn start(options: &LiveOptions) -> Result<Self> {
        let run = Arc::<LiveRun>::default();
        let notifier = options.notify.as_deref().map(Notifier::start).transpose()?;
        let events = options.serve.map(|address| serve(address, &run)).transpose()?;
        if let Some(path) = options.metrics_file.clone() {
            let live = Arc::clone(&run);
            spawn("metrics", move || keep_metrics(&live, &path))?;
        }
        Ok(Self { run, notifier, metrics_file: options.metrics_file.clone(), events })
    }

    /// The onlookers that the started means have.
    pub fn onlookers(self) -> Vec<Box<dyn Onlooker>> {
        let mut all: Vec<Box<dyn Onlooker>> = Vec::new();
        if self.events.is_some() || self.metrics_file.is_some() {
            let (live, file) = (self.run, self.metrics_file);
            all.push(Box::new(LiveOnlooker { live, metrics_file: file, events: self.events }));
        }
        if let Some(notifier) = self.notifier {
            all.push(Box::new(notifier));
        }
        all
    }
}

/// Starts a small thread.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work);
    started.context("cannot start a thread").map(drop)
}

/// Serves the page of a run.
///
/// # Errors
/// If the address is in use, or no thread can be started.
pub fn serve(address: ServeAddress, live: &Arc<LiveRun>) -> Result<Arc<Events>> {
    let listener = bind(address.0)?;
    let address = listener.local_addr().context("the listener has no address")?;
    let access = Access::at(address)?;
    let events = Arc::<Events>::default();
    let (told, seen) = (Arc::clone(&events), Arc::clone(live));
    spawn("events", move || told.run(&seen))?;
    // Not through the log, which is kept in the run folder: the address may hold the token.
    terminal::complain(format_args!("live page: {}", access.url(address)));
    let page = RunPage { live: Arc::clone(live), events: Arc::clone(&events), access };
    listen(listener, BOUNDS, Arc::new(move |request, stream| page.answer(request, stream)))?;
    Ok(events)
}
