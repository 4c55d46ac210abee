//! A node's membership: it joins, and asks its SuperLink again and again until there is an answer or no use in one.

use super::heartbeat::Heartbeat;
use super::patience::{Patience, sleep};
use super::wire::{MessageMetadata, RUN_NOT_RUNNING, SuperLink, WireError, now};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest wait between two questions for an object that the server waits for, too.
const LONGEST_ABSENCE: Duration = Duration::from_secs(5);

/// The outcome of a step.
#[derive(Debug)]
pub enum FederationStep<T> {
    Done(T),
    /// The message is of no use any more, for this reason.
    Over(String),
    /// The program has to end.
    Stopped,
}

impl<T> FederationStep<T> {
    pub fn map<U>(self, then: impl FnOnce(T) -> U) -> FederationStep<U> {
        match self {
            Self::Done(value) => FederationStep::Done(then(value)),
            Self::Over(reason) => FederationStep::Over(reason),
            Self::Stopped => FederationStep::Stopped,
        }
    }
}

/// Membership of one node.
pub struct Federation {
    superlink: Arc<SuperLink>,
    heartbeat: Heartbeat,
    stop: Arc<AtomicBool>,
    /// 0 before it joined.
    node: u64,
    /// The first wait after a failure.
    pace: Duration,
    /// The last reason that nothing goes on, to say it once.
    complaint: String,
}

impl Federation {
    /// A node that has not joined; after a failure it waits for `pace` at first.
    ///
    /// # Errors
    /// If there can be no thread for its heartbeat.
    pub fn new(superlink: SuperLink, stop: Arc<AtomicBool>, pace: Duration) -> Result<Self> {
        let superlink = Arc::new(superlink);
        let heartbeat = Heartbeat::start(Arc::clone(&superlink))?;
        Ok(Self { superlink, heartbeat, stop, node: 0, pace, complaint: String::new() })
    }

    pub fn server(&self) -> &str {
        self.superlink.server()
    }

    /// The node's number; 0 before it joined.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// Bytes sent and received so far, heads about.
    pub fn traffic(&self) -> (u64, u64) {
        self.superlink.traffic()
    }

    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// True if the server does not know the node any more, as a heartbeat heard.
    pub fn is_lost(&self) -> bool {
        self.heartbeat.is_lost()
    }

    /// Joins, as the node of this number if the server still knows it; `false` if the program has to end first.
    ///
    /// # Errors
    /// If the server cannot be trusted. One that is down is waited for.
    pub fn join(&mut self, mut known: Option<u64>) -> Result<bool> {
        let mut patience = Patience::new(self.pace);
        while !self.is_stopping() {
            match self.try_to_join(&mut known) {
                Ok(Some(node)) => {
                    self.settle();
                    self.node = node;
                    self.heartbeat.set_node(node);
                    log::info!("{}: joined as node {node}", self.server());
                    return Ok(true);
                }
                Ok(None) => self.complain(format!(
                    "{}: it does not let this node come online yet\nhelp: after a crash it counts as online for up to two \
                     minutes; if the SuperLink takes registered keys only, register the public key there with \
                     `flwr supernode register`",
                    self.server()
                )),
                Err(error @ WireError::Certificate { .. }) => return Err(error.into()),
                Err(error) => self.complain(error.to_string()),
            }
            sleep(patience.wait(), &self.stop);
        }
        Ok(false)
    }

    fn try_to_join(&self, known: &mut Option<u64>) -> Result<Option<u64>, WireError> {
        *known = self.superlink.register()?.or(*known);
        if let Some(node) = self.superlink.activate()? {
            return Ok(Some(node));
        }
        // Since before a crash it counts as online, and only who is offline can come online.
        match known.map(|node| self.superlink.deactivate(node)) {
            Some(Ok(())) => self.superlink.activate(),
            _ => Ok(None),
        }
    }

    /// Leaves, if the server hears it.
    pub fn leave(&mut self) {
        if self.node != 0
            && let Err(error) = self.superlink.deactivate(self.node)
        {
            log::debug!("could not leave: {error}");
        }
    }

    /// A request that is tried until it is answered, or the message it is about is of no use any more. The request gets the
    /// node's number.
    ///
    /// # Errors
    /// If the server cannot be trusted.
    pub fn ask<T>(
        &mut self,
        message: Option<&MessageMetadata>,
        mut request: impl FnMut(&SuperLink, u64) -> Result<T, WireError>,
    ) -> Result<FederationStep<T>> {
        let mut patience = Patience::new(self.pace);
        while !self.is_stopping() {
            if let Some(message) = message
                && message.created_at + message.ttl <= now()
            {
                return Ok(FederationStep::Over("its time is over".into()));
            }
            match request(&self.superlink, self.node) {
                Ok(answer) => {
                    self.settle();
                    return Ok(FederationStep::Done(answer));
                }
                // The server itself waits for it; nothing is wrong.
                Err(error @ WireError::Absent { .. }) => {
                    log::debug!("{error}");
                    sleep(patience.wait().min(LONGEST_ABSENCE), &self.stop);
                }
                Err(error) if error.is_passing() || error.is_clock() => {
                    self.complain(error.to_string());
                    sleep(patience.wait(), &self.stop);
                }
                Err(WireError::Unauthorised { .. }) => {
                    let node = self.node;
                    log::warn!("{}: it does not know node {node} any more, such as after a restart", self.server());
                    if !self.join(Some(node))? {
                        return Ok(FederationStep::Stopped);
                    }
                    if message.is_some() && self.node != node {
                        return Ok(FederationStep::Over("the server that asked for it has forgotten it".into()));
                    }
                    sleep(patience.wait(), &self.stop);
                }
                Err(error @ WireError::Certificate { .. }) => return Err(error.into()),
                Err(error) if error.code() == Some(RUN_NOT_RUNNING) => {
                    return Ok(FederationStep::Over("its run is over".into()));
                }
                Err(error) => return Ok(FederationStep::Over(error.to_string())),
            }
        }
        Ok(FederationStep::Stopped)
    }

    /// Says why nothing goes on, once for each reason.
    fn complain(&mut self, text: String) {
        if self.complaint == text {
            log::debug!("{text}");
        } else {
            log::warn!("{text}; tried again until it works");
            self.complaint = text;
        }
    }

    /// It goes on.
    fn settle(&mut self) {
        if !self.complaint.is_empty() {
            log::info!("{}: it answers again", self.server());
            self.complaint.clear();
        }
    }
}
