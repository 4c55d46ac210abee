//! Messages to systemd while the program runs as its service (sd_notify(3), `Type=notify`): ready, status, watchdog
//! ping, stopping. Without systemd nothing is sent.

use super::terminal::escaped;
use sd_notify::{NotifyState, notify};
use std::time::{Duration, Instant};

/// Longest time between signs of life, whatever the watchdog allows.
const SLOWEST: Duration = Duration::from_secs(20);

/// Signs of life in the time that the watchdog allows without one.
const SIGNS: u32 = 4;

/// Shortest time between status lines that only count on.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Time asked for at once while the last checkpoint is written.
const EXTENSION: Duration = Duration::from_secs(60);

/// The way to the service manager.
#[derive(Debug)]
pub struct Systemd {
    every: Option<Duration>,
    pinged: Instant,
    status: String,
    said: Instant,
    stopping: bool,
    warned: bool,
}

impl Systemd {
    /// Reads `WATCHDOG_USEC` and `WATCHDOG_PID`; the first sign of life is due at once.
    pub fn from_environment() -> Self {
        let long_ago = Instant::now().checked_sub(SLOWEST).unwrap_or_else(Instant::now);
        let every = sd_notify::watchdog_enabled().map(|limit| (limit / SIGNS).min(SLOWEST));
        Self { every, pinged: long_ago, status: String::new(), said: long_ago, stopping: false, warned: false }
    }

    fn tell(&mut self, states: &[NotifyState]) {
        if let Err(error) = notify(states)
            && !std::mem::replace(&mut self.warned, true)
        {
            log::warn!("cannot reach systemd's notification socket: {error}");
        }
    }

    /// The job was read and the state folder is writable.
    pub fn ready(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// Something was done just now. Call after each piece of work: a program that hangs falls silent, and the watchdog
    /// ends it.
    pub fn alive(&mut self) {
        if self.every.is_some_and(|every| self.pinged.elapsed() >= every) {
            self.pinged = Instant::now();
            self.tell(&[NotifyState::Watchdog]);
        }
        if self.stopping {
            self.tell(&[extension()]);
        }
    }

    /// Says a new thing. Returns whether it was another than before.
    pub fn status(&mut self, text: &str) -> bool {
        let line = &*escaped(text.lines().next().unwrap_or_default());
        if line == self.status {
            return false;
        }
        self.status = line.to_string();
        self.said = Instant::now();
        self.tell(&[NotifyState::Status(line)]);
        true
    }

    /// Says how far it is, now and then.
    pub fn progress(&mut self, text: impl FnOnce() -> String) {
        if self.said.elapsed() >= STATUS_EVERY {
            self.status(&text());
        }
    }

    /// The program is about to end; more time is asked for with every sign of life from here.
    pub fn stopping(&mut self, why: &str) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.tell(&[NotifyState::Stopping, extension()]);
            self.status(why);
        }
    }
}

fn extension() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(EXTENSION.as_micros() as u32)
}
