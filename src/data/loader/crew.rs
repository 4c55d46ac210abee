//! The threads that make batches, and the tickets that bound how far ahead they work.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::Work;
use crate::data::{Batch, DataError};

/// A batch or why there is none; on the outside, what a worker panicked with.
pub(super) type Made = thread::Result<Result<Batch, DataError>>;

/// The worker threads of one epoch and the two channels to and from them.
pub(super) struct Crew {
    /// `None` once the crew is dismissed.
    tickets: Option<Sender<usize>>,
    made: Receiver<(usize, Made)>,
    /// Batches that were finished before their turn.
    early: BTreeMap<usize, Made>,
    issued: usize,
    workers: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts the workers. `None` where none are wanted, or the system gives no thread.
    pub(super) fn hire(work: &Arc<Work>, batches: usize) -> Option<Self> {
        let threads = work.options.threads.min(batches);
        if threads == 0 {
            return None;
        }
        let in_flight = threads + work.options.queue;
        let (tickets, waiting) = bounded(in_flight);
        let (done, made) = bounded(in_flight);
        let start = |i| {
            let (work, waiting, done) = (Arc::clone(work), waiting.clone(), done.clone());
            thread::Builder::new().name(format!("loader-{i}")).spawn(move || labour(&work, &waiting, &done))
        };
        let workers: Vec<JoinHandle<()>> = (0..threads).map_while(|i| start(i).ok()).collect();
        if workers.len() < threads {
            log::warn!("the system gives {} of {threads} loader threads", workers.len());
        }
        if workers.is_empty() {
            return None;
        }
        let mut crew = Self { tickets: Some(tickets), made, early: BTreeMap::new(), issued: 0, workers };
        (0..in_flight).for_each(|_| crew.issue(batches));
        Some(crew)
    }

    fn issue(&mut self, batches: usize) {
        if self.issued < batches
            && let Some(tickets) = &self.tickets
        {
            // fails only if no worker is left, which the next receive reports
            let _ = tickets.send(self.issued);
            self.issued += 1;
        }
    }

    /// The result for `number`, waiting for it if need be, and one more ticket to the workers.
    pub(super) fn hand_out(&mut self, number: usize, batches: usize) -> Made {
        let made = loop {
            if let Some(made) = self.early.remove(&number) {
                break made;
            }
            match self.made.recv() {
                Ok((number, made)) => self.early.insert(number, made),
                Err(_) => return Err(Box::new("all loader threads ended early") as Box<dyn Any + Send>),
            };
        };
        self.issue(batches);
        made
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.tickets = None;
        for worker in self.workers.drain(..) {
            // its panics were caught and sent; there is nothing to learn from how it ended
            let _ = worker.join();
        }
    }
}

fn labour(work: &Work, tickets: &Receiver<usize>, done: &Sender<(usize, Made)>) {
    for number in tickets {
        // nothing outlives the closure that a panic could leave half changed
        let made = match catch_unwind(AssertUnwindSafe(|| work.batch(number))) {
            Ok(None) => return,
            Ok(Some(batch)) => Ok(batch),
            Err(panic) => Err(panic),
        };
        if done.send((number, made)).is_err() {
            return;
        }
    }
}
