//! Run-time controls for the supervisor and for a person who watches: smaller micro-batch, longer checkpoint interval,
//! pause, checkpoint at once. Results change only by floating-point rounding.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Zero where nothing is asked for.
#[derive(Debug, Default)]
pub struct Requests {
    micro_batch: AtomicUsize,
    checkpoint_every_ms: AtomicU64,
    save: AtomicBool,
    pause: AtomicBool,
}

impl Requests {
    /// Asks for micro-batches of at most so many images, from the next step on.
    pub fn ask_micro_batch(&self, most: usize) {
        self.micro_batch.store(most, Ordering::Relaxed);
    }

    /// The largest divisor of `batch` that is neither larger than `wanted` nor than what was asked for.
    pub fn micro_batch(&self, batch: usize, wanted: usize) -> usize {
        let asked = Some(self.micro_batch.load(Ordering::Relaxed)).filter(|&n| n > 0);
        let most = asked.map_or(wanted, |n| n.min(wanted));
        if most == wanted {
            return wanted;
        }
        (1..=most).rev().find(|&n| batch.is_multiple_of(n)).unwrap_or(1)
    }

    /// Asks for another time between checkpoints.
    pub fn ask_checkpoint_every(&self, time: Duration) {
        self.checkpoint_every_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// The value that was asked for, or `wanted`.
    pub fn checkpoint_every(&self, wanted: Duration) -> Duration {
        Some(self.checkpoint_every_ms.load(Ordering::Relaxed))
            .filter(|&ms| ms > 0)
            .map_or(wanted, Duration::from_millis)
    }

    /// Asks for a checkpoint after the step under way.
    pub fn ask_save(&self) {
        self.save.store(true, Ordering::Relaxed);
    }

    /// True if a checkpoint was asked for since the last call.
    pub fn take_save(&self) -> bool {
        self.save.swap(false, Ordering::Relaxed)
    }

    /// Asks to wait after the micro-batch under way, or to go on.
    pub fn ask_pause(&self, pause: bool) {
        self.pause.store(pause, Ordering::Relaxed);
    }

    pub fn is_paused(&self) -> bool {
        self.pause.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_shrink_to_divisors_and_never_grow() {
        let requests = Requests::default();
        assert_eq!(requests.micro_batch(12, 6), 6);
        for (most, found) in [(5, 4), (4, 4), (1, 1), (9, 6), (0, 6)] {
            requests.ask_micro_batch(most);
            assert_eq!(requests.micro_batch(12, 6), found, "at most {most}");
        }
    }

    #[test]
    fn a_save_is_asked_for_once_and_a_pause_until_it_is_over() {
        let requests = Requests::default();
        assert!(!requests.take_save() && !requests.is_paused());
        requests.ask_save();
        requests.ask_pause(true);
        assert_eq!([requests.take_save(), requests.take_save(), requests.is_paused()], [true, false, true]);
        requests.ask_pause(false);
        assert!(!requests.is_paused());
    }

    #[test]
    fn the_time_between_checkpoints_is_as_asked() {
        let requests = Requests::default();
        let [minute, hour] = [60, 3600].map(Duration::from_secs);
        assert_eq!(requests.checkpoint_every(minute), minute);
        requests.ask_checkpoint_every(hour);
        assert_eq!(requests.checkpoint_every(minute), hour);
    }
}
