//! Server-sent events: one thread tells every page that is open where the run stands, at most once a second.
//!
//! A page that does not take its events loses its connection; it asks anew, as browsers do.

use super::live_run::LiveRun;
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Pages at a time.
const MOST: usize = 32;

/// Shortest time between two events.
const EVERY: Duration = Duration::from_secs(1);

/// Longest wait for pages to hear of a run's end before the program may end.
const FAREWELL: Duration = Duration::from_secs(2);

/// A sign of life where nothing changes: a page that has gone is noticed.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nretry: 5000\n\n";

#[derive(Default)]
pub struct Events {
    pages: Mutex<Vec<TcpStream>>,
    /// Signalled when a page comes.
    came: Condvar,
    /// The version of the run that pages were told of last.
    told: AtomicU64,
}

impl Events {
    fn pages(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every page that is open was told of the run as it is now, but not long.
    pub fn settle(&self, live: &LiveRun) {
        let began = Instant::now();
        while !self.pages().is_empty()
            && self.told.load(Ordering::Acquire) < live.version()
            && began.elapsed() < FAREWELL
        {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes a page's connection over and tells it where the run stands. Returns whether there is room.
    pub fn add(&self, stream: &TcpStream, live: &LiveRun) -> bool {
        let Ok(mut stream) = stream.try_clone() else { return false };
        if self.pages().len() >= MOST || stream.set_nonblocking(true).is_err() {
            return false;
        }
        if stream.write_all(HEAD).is_ok() && stream.write_all(&event(live)).is_ok() {
            self.pages().push(stream);
            self.came.notify_one();
        }
        true
    }

    /// Tells the pages until the program ends; asleep while there are none.
    pub fn run(&self, live: &LiveRun) {
        let mut said = Instant::now();
        loop {
            let mut pages = self.pages();
            while pages.is_empty() {
                pages = self.came.wait(pages).unwrap_or_else(PoisonError::into_inner);
            }
            drop(pages);
            let now = live.version();
            if now != self.told.load(Ordering::Acquire) {
                let event = event(live);
                self.pages().retain_mut(|page| page.write_all(&event).is_ok());
                self.told.store(now, Ordering::Release);
                said = Instant::now();
            } else if said.elapsed() >= ALIVE_EVERY {
                self.pages().retain_mut(|page| page.write_all(b":\n\n").is_ok());
                said = Instant::now();
            }
            live.wait(EVERY);
        }
    }
}

/// The status as an event, with the time of the run's report if there is one. JSON has no line ends of its own, so it is one line.
fn event(live: &LiveRun) -> Vec<u8> {
    let mut value = json!(live.status());
    value["controls"] = live.is_controlled().into();
    let written = live.folder().and_then(|folder| folder.join("report.html").metadata().ok()?.modified().ok());
    let time = written.and_then(|time| Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis() as u64));
    value["report"] = time.into();
    format!("data: {value}\n\n").into_bytes()
}
