//! The training thread's side of a live run.

use super::events::Events;
use super::live_run::LiveRun;
use super::metrics_file::write_metrics;
use super::run_status::{RunState, RunStatus};
use crate::session::{Onlooker, RunEnd};
use crate::train::{Ending, Event, Job};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub struct LiveOnlooker {
    pub live: Arc<LiveRun>,
    pub metrics_file: Option<PathBuf>,
    pub events: Option<Arc<Events>>,
}

impl Onlooker for LiveOnlooker {
    fn began(&mut self, job: &Job, best: Option<f64>, stop: &Arc<AtomicBool>) {
        let run = job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let epochs = job.recipe.epochs;
        self.live.show(job.folder.clone());
        self.live.attach(&job.requests, stop);
        let state = RunState::Training;
        self.live.change(|status| *status = RunStatus { run, state, epochs, best_ap: best, ..RunStatus::default() });
    }

    fn saw(&mut self, event: &Event, notes: &str) {
        if !matches!(event, Event::MicroBatch) {
            self.live.change(|status| status.see(event, notes));
        }
    }

    fn ended(&mut self, end: &RunEnd) {
        self.live.detach(|status| match end {
            RunEnd::Ended(Ending::Stopped | Ending::Refused) => status.state = RunState::Stopped,
            RunEnd::Ended(Ending::Finished | Ending::Reached | Ending::Patience | Ending::GivenUp) => {
                status.state = RunState::Finished
            }
            RunEnd::Failed(error) => {
                status.state = RunState::Failed;
                status.say(status.step, error.clone());
            }
        });
        if let Some(path) = &self.metrics_file
            && let Err(error) = write_metrics(&self.live, path)
        {
            log::warn!("{error:#}");
        }
        if let Some(events) = &self.events {
            events.settle(&self.live);
        }
    }

    fn waits(&mut self, sentence: &str) {
        if !self.live.is_controlled() {
            self.live.change(|status| status.note = sentence.into());
        }
    }
}
