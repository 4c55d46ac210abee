//! Waits between tries: longer each time, and by chance, so that many nodes do not come back at the same moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait, before chance.
const LONGEST: Duration = Duration::from_secs(300);

/// Time that a wait goes on before it looks at the stop flag.
const SLICE: Duration = Duration::from_millis(100);

/// Doubles its waits up to five minutes; each is between a half and one and a half of that.
#[derive(Debug)]
pub struct Patience {
    first: Duration,
    next: Duration,
}

impl Patience {
    pub fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        scattered(wait)
    }

    /// It worked: the next wait is the first again.
    pub fn rest(&mut self) {
        self.next = self.first;
    }
}

/// Between a half and one and a half of a time.
pub fn scattered(time: Duration) -> Duration {
    // Without random numbers all nodes wait equally long, which is no reason to stop.
    let chance = getrandom::u64().unwrap_or(u64::MAX / 2) as f64 / u64::MAX as f64;
    time.mul_f64(0.5 + chance)
}

/// Waits, and ends early when it has to stop.
pub fn sleep(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut patience = Patience::new(Duration::from_secs(1));
        let waits: Vec<f64> = (0..20).map(|_| patience.wait().as_secs_f64()).collect();
        assert!((0.5..=1.5).contains(&waits[0]) && waits.iter().all(|w| *w <= 450.0), "{waits:?}");
        assert!(waits[12..].iter().all(|w| *w >= 150.0), "{waits:?}");
        patience.rest();
        assert!(patience.wait() <= Duration::from_millis(1500));
    }
}
