//! Messages about a run to a web address (`--notify URL`): a POST with JSON at its start, its best epochs, trouble, and
//! its end.
//!
//! A thread of its own sends them. A listener that is dead or slow costs messages, and the run nothing.

use super::run_status::words;
use crate::session::{Onlooker, RunEnd};
use crate::train::{Ending, Event, Job};
use crate::watchdog::JournalEntry;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

/// Messages that wait; what comes when they do not go is dropped.
const WAITING: usize = 16;

/// Time for one try, and waits before the next ones.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN_S: [u64; 2] = [2, 10];

/// Longest wait at a run's end for the last message to go.
const FAREWELL: Duration = Duration::from_secs(10);

/// Onlooker that leaves messages to a sending thread.
pub struct Notifier {
    messages: SyncSender<Value>,
    /// Tells that a run's last message went, or was given up.
    gone: Receiver<()>,
    run: String,
    epochs: u64,
    /// Of the last step.
    epoch: u64,
    step: u64,
    best: Option<f64>,
    dropped: u64,
}

impl Notifier {
    /// Starts the sending thread.
    ///
    /// # Errors
    /// If the address is none that can be sent to.
    pub fn start(url: &str) -> Result<Self> {
        check(url)?;
        let (messages, receiver) = sync_channel::<Value>(WAITING);
        let (said, gone) = sync_channel(WAITING);
        let url = url.to_string();
        let send = move || {
            let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
            let agent = ureq::Agent::new_with_config(config);
            let mut healthy = true;
            for message in receiver {
                let sent = deliver(&agent, &url, &message, if healthy { &AGAIN_S } else { &[] });
                if let (Err(error), true) = (&sent, healthy) {
                    log::warn!("the notification could not be sent: {error}");
                }
                healthy = sent.is_ok();
                if message["event"] == "end" {
                    let _ = said.try_send(());
                }
            }
        };
        let started = thread::Builder::new().name("notifications".into()).spawn(send);
        started.context("cannot start a thread")?;
        Ok(Self { messages, gone, run: String::new(), epochs: 0, epoch: 0, step: 0, best: None, dropped: 0 })
    }

    fn send(&mut self, event: &str, title: &str, message: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let (title, message) = (format!("{}: {title}", self.run), message);
        let value = json!({
            "event": event, "run": self.run, "title": title, "message": message, "epoch": self.epoch,
            "epochs": self.epochs, "step": self.step, "best_ap": self.best, "time": now,
        });
        if self.messages.try_send(value).is_err() {
            self.dropped += 1;
        }
    }
}

/// # Errors
/// If no message could be sent to such an address.
fn check(url: &str) -> Result<()> {
    let parsed = url.parse::<ureq::http::Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match parsed.as_ref().and_then(|uri| uri.scheme_str()) {
        Some("http" | "https") => Ok(()),
        _ => bail!(
            "--notify: found no address of the web\nhelp: expected such as http://homeassistant.local:8123/api/webhook/NAME"
        ),
    }
}

/// Sends a message, some times if it does not go.
fn deliver(agent: &ureq::Agent, url: &str, message: &Value, again_s: &[u64]) -> Result<(), ureq::Error> {
    let send = || agent.post(url).content_type("application/json").send(message.to_string().as_bytes()).map(drop);
    let mut sent = send();
    for seconds in again_s {
        if sent.is_ok() {
            break;
        }
        thread::sleep(Duration::from_secs(*seconds));
        sent = send();
    }
    sent
}

impl Onlooker for Notifier {
    fn began(&mut self, job: &Job, best: Option<f64>, _stop: &Arc<AtomicBool>) {
        self.run = job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (self.epochs, self.best) = (job.recipe.epochs, best);
        let classes = job.class_names.len();
        self.send("start", "training", &format!("{} epochs, {classes} classes", job.recipe.epochs));
    }

    fn saw(&mut self, event: &Event, _notes: &str) {
        match event {
            Event::Step(report) => (self.epoch, self.step) = (report.epoch, report.step),
            Event::Epoch { record, best: true, .. } => {
                self.best = record.ap;
                let ap = record.ap.map_or("-".into(), |ap| format!("{ap:.3}"));
                self.send("best", "better", &format!("epoch {} of {}: AP {ap}", record.epoch, self.epochs));
            }
            Event::Refused { error, .. } => {
                let text = error.to_string();
                self.send("trouble", "storage", text.lines().next().unwrap_or_default());
            }
            Event::Watchdog(entry @ (JournalEntry::Diagnosis(_) | JournalEntry::GaveUp { .. })) => {
                if let Some((_, text)) = words(entry) {
                    self.send("trouble", "learning", &text);
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, end: &RunEnd) {
        let best = self.best.map_or("-".into(), |ap| format!("{ap:.3}"));
        let (title, message) = match end {
            RunEnd::Ended(Ending::Finished) => ("done", format!("best AP {best}")),
            RunEnd::Ended(Ending::Patience) => ("done", format!("no better for long; best AP {best}")),
            RunEnd::Ended(Ending::Reached) => ("done", format!("the AP that was asked for is reached: {best}")),
            RunEnd::Ended(Ending::GivenUp) => ("done", format!("ended early by the watchdog; best AP {best}")),
            RunEnd::Ended(Ending::Stopped) => ("stopped", format!("it can be resumed; best AP {best}")),
            RunEnd::Ended(Ending::Refused) => ("stopped", "the storage refuses; it can be resumed".into()),
            RunEnd::Failed(error) => ("failed", error.lines().next().unwrap_or_default().into()),
        };
        // An end that was given up in an earlier run is no answer to this one.
        while self.gone.try_recv().is_ok() {}
        self.send("end", title, &message);
        if self.gone.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) || self.dropped > 0 {
            log::warn!("notifications: {} were dropped, nobody took them", self.dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_reached_are_refused_before_the_run() {
        assert!(check("http://ha.local:8123/api/webhook/x?y=1").is_ok());
        assert!(check("https://ntfy.sh/x").is_ok());
        for url in ["ftp://a/", "photos", "", "http://", "http:///x", "http://a b/"] {
            let error = check(url).expect_err(url).to_string();
            assert!(error.starts_with("--notify: ") && error.contains("\nhelp: "), "{error}");
        }
    }
}
