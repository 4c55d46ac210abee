//! A run as threads share it: the training thread leaves figures, others read them and ask for things.

use super::run_status::{RunState, RunStatus};
use crate::train::Requests;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A wish that a person may have of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunWish {
    Pause,
    Resume,
    /// Stop after the step under way, as SIGTERM does.
    Stop,
    /// Write a checkpoint after the step under way.
    Save,
}

/// The way to the training thread, which looks at these between two micro-batches.
struct Controls {
    requests: Arc<Requests>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
pub struct LiveRun {
    status: Mutex<RunStatus>,
    /// Counts changes of the status.
    version: AtomicU64,
    /// While a run of this process is under way.
    controls: Mutex<Option<Controls>>,
    /// The folder whose files are shown.
    folder: Mutex<Option<PathBuf>>,
    /// Signalled at the end of a run.
    ended: Condvar,
}

/// Nothing is left half done where a thread ended with the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveRun {
    /// The state of the run now.
    pub fn status(&self) -> RunStatus {
        let mut status = locked(&self.status).clone();
        let paused = locked(&self.controls).as_ref().is_some_and(|c| c.requests.is_paused());
        let stopping = locked(&self.controls).as_ref().is_some_and(|c| c.stop.load(Ordering::Relaxed));
        match status.state {
            RunState::Training | RunState::Validating if stopping => status.state = RunState::Stopping,
            RunState::Training | RunState::Validating if paused => status.state = RunState::Paused,
            _ => {}
        }
        status
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn folder(&self) -> Option<PathBuf> {
        locked(&self.folder).clone()
    }

    /// Shows the files of this folder from now on.
    pub fn show(&self, folder: PathBuf) {
        *locked(&self.folder) = Some(folder);
    }

    /// A run of this process begins, and hears wishes.
    pub fn attach(&self, requests: &Arc<Requests>, stop: &Arc<AtomicBool>) {
        *locked(&self.controls) = Some(Controls { requests: Arc::clone(requests), stop: Arc::clone(stop) });
    }

    /// The run is over; whoever waits is woken.
    pub fn detach(&self, change: impl FnOnce(&mut RunStatus)) {
        *locked(&self.controls) = None;
        self.change(change);
        self.ended.notify_all();
    }

    /// True if a run of this process is under way, which wishes can reach.
    pub fn is_controlled(&self) -> bool {
        locked(&self.controls).is_some()
    }

    /// Passes a wish on; returns whether there is a run to hear it.
    pub fn wish(&self, wish: RunWish) -> bool {
        let controls = locked(&self.controls);
        let Some(Controls { requests, stop }) = controls.as_ref() else { return false };
        match wish {
            RunWish::Pause => requests.ask_pause(true),
            RunWish::Resume => requests.ask_pause(false),
            RunWish::Stop => stop.store(true, Ordering::Relaxed),
            RunWish::Save => requests.ask_save(),
        }
        drop(controls);
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    /// Changes the status.
    pub fn change(&self, change: impl FnOnce(&mut RunStatus)) {
        let mut status = locked(&self.status);
        change(&mut status);
        status.touch();
        drop(status);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Waits so long, or until a run ends.
    pub fn wait(&self, time: Duration) {
        let status = locked(&self.status);
        drop(self.ended.wait_timeout(status, time));
    }
}
