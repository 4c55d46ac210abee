//! Tells the server that the node is alive while it trains, from a thread of its own.

use super::patience::{Patience, scattered, sleep};
use super::wire::{HEARTBEAT_S, SuperLink, WireError};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A heartbeat comes after this part of the time that the server was told, by chance from a half to one and a half of it:
/// all of them before it is over.
const PART: f64 = 0.6;

/// Sends heartbeats until it is dropped.
pub struct Heartbeat {
    /// The node's number; 0 while there is none to send for.
    node: Arc<AtomicU64>,
    lost: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts the thread; nothing is sent before [`Self::set_node`].
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(superlink: Arc<SuperLink>) -> Result<Self> {
        let (node, lost, stop) =
            (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (own_node, own_lost, own_stop) = (Arc::clone(&node), Arc::clone(&lost), Arc::clone(&stop));
        let beat = move || {
            let mut patience = Patience::new(Duration::from_secs(1));
            while !own_stop.load(Ordering::Relaxed) {
                let number = own_node.load(Ordering::Relaxed);
                let every = scattered(Duration::from_secs_f64(HEARTBEAT_S * PART));
                let wait = match (number != 0).then(|| superlink.heartbeat(number)) {
                    Some(Ok(true)) => {
                        patience.rest();
                        every
                    }
                    Some(Ok(false) | Err(WireError::Unauthorised { .. })) => {
                        own_lost.store(true, Ordering::Relaxed);
                        every
                    }
                    Some(Err(error)) => {
                        log::debug!("no heartbeat: {error}");
                        patience.wait().min(every)
                    }
                    None => Duration::from_secs(1),
                };
                sleep(wait, &own_stop);
            }
        };
        let thread = thread::Builder::new().name("heartbeat".into()).spawn(beat).context("cannot start a thread")?;
        Ok(Self { node, lost, stop, thread: Some(thread) })
    }

    /// Heartbeats are of this node from now on.
    pub fn set_node(&self, node: u64) {
        self.node.store(node, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
    }

    /// True if the server said that it does not know the node.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said so; a request under way has a time limit.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
