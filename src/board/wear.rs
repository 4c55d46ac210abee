//! Wear of the storage card: bytes written stay inside a budget by saving less often.
//!
//! With `B` bytes an hour allowed, `r` of them written by everything else and `s` bytes a checkpoint, checkpoints may
//! lie
//! `s / (B - r)` hours apart and no closer. A run begins with more than that, and the first hour pays for it: with `h` hours
//! of it left and `w` bytes written, `h s / (B - w - h r)`. Never more than the stated longest time.

use super::config::WriteLimits;
use std::fs;
use std::path::Path;
use std::time::Duration;

const HOUR_S: f64 = 3600.0;

/// Other writes are not projected from less time than this.
const SETTLED_S: f64 = 60.0;

/// Share of the budget that is aimed at.
const AIM: f64 = 0.99;

/// Share of the budget that everything but checkpoints may take into account.
const MOST_ELSEWHERE: f64 = 0.5;

/// Bytes that this process had written to storage by now, as the kernel counts them; `None` where it does not.
pub fn written_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/io")).ok()?;
    let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(value("write_bytes:")?.saturating_sub(value("cancelled_write_bytes:").unwrap_or(0)))
}

/// The bytes written since a run began.
#[derive(Clone, Debug)]
pub struct Wear {
    limits: WriteLimits,
    /// Bytes in checkpoints, and their number.
    checkpoints: (u64, u64),
    /// By the kernel's count at the beginning.
    began: Option<u64>,
    all: u64,
    elapsed_s: f64,
}

impl Wear {
    pub fn new(limits: WriteLimits, written: Option<u64>) -> Self {
        Self { limits, checkpoints: (0, 0), began: written, all: 0, elapsed_s: 0.0 }
    }

    /// Takes in a checkpoint of so many bytes, and the kernel's count `elapsed_s` seconds after the beginning.
    pub fn checkpoint(&mut self, bytes: u64, written: Option<u64>, elapsed_s: f64) {
        self.checkpoints = (self.checkpoints.0 + bytes, self.checkpoints.1 + 1);
        self.look(written, elapsed_s);
    }

    /// Takes in the kernel's count.
    pub fn look(&mut self, written: Option<u64>, elapsed_s: f64) {
        let counted = written.zip(self.began).map_or(0, |(now, began)| now.saturating_sub(began));
        // On a file system in memory the kernel counts nothing; what was saved was written all the same.
        self.all = counted.max(self.checkpoints.0);
        self.elapsed_s = elapsed_s;
    }

    /// Time between checkpoints that keeps to the budget, at least `wanted`.
    pub fn interval(&self, wanted: Duration) -> Duration {
        let (bytes, count) = self.checkpoints;
        if count == 0 {
            return wanted;
        }
        let budget = AIM * (self.limits.mb_per_hour << 20) as f64;
        let elsewhere = self.all.saturating_sub(bytes) as f64 * HOUR_S / self.elapsed_s.max(SETTLED_S);
        let elsewhere = elsewhere.min(MOST_ELSEWHERE * budget);
        let size = bytes as f64 / count as f64;
        let first_hour = (1.0 - self.elapsed_s / HOUR_S).max(0.0);
        let left = budget - self.all as f64 - first_hour * elsewhere;
        let paying = if left > 0.0 { first_hour * size / left } else { first_hour };
        let seconds = HOUR_S * paying.max(size / (budget - elsewhere));
        let longest = Duration::from_secs(self.limits.checkpoint_longest_s).max(wanted);
        Duration::from_secs_f64(seconds).clamp(wanted, longest)
    }

    pub fn written_mb(&self) -> f64 {
        self.all as f64 / f64::from(1 << 20)
    }

    /// MB an hour so far; `None` before the first is over.
    pub fn mb_per_hour(&self) -> Option<f64> {
        (self.elapsed_s >= HOUR_S).then(|| self.written_mb() * HOUR_S / self.elapsed_s)
    }

    /// One sentence.
    pub fn account(&self) -> String {
        let rate = self.mb_per_hour();
        // A shorter run may write an hour's share.
        let kept = if rate.unwrap_or(self.written_mb()) <= self.limits.mb_per_hour as f64 { "within" } else { "above" };
        format!(
            "{:.0} MB written to storage, {} checkpoints{}, {kept} the board's budget of {} MB an hour",
            self.written_mb(),
            self.checkpoints.1,
            rate.map_or(String::new(), |rate| format!(", {rate:.0} MB an hour")),
            self.limits.mb_per_hour
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::memory::tests::tree;

    const LIMITS: WriteLimits = WriteLimits { mb_per_hour: 300, checkpoint_every_s: 60, checkpoint_longest_s: 1800 };
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_budget_is_kept_by_saving_less_often() {
        // A day of training: a checkpoint of 50 MB whenever one is due, and 10 MB an hour of other things.
        let mut wear = Wear::new(LIMITS, Some(7 << 20));
        let (mut now, mut written) = (0.0, (7 + 50) << 20);
        wear.checkpoint(50 << 20, Some(written), now);
        while now < 24.0 * HOUR_S {
            let wait = wear.interval(MINUTE).as_secs_f64();
            now += wait;
            written += (50 << 20) + (wait / HOUR_S * 10.0 * f64::from(1 << 20)) as u64;
            wear.checkpoint(50 << 20, Some(written), now);
            let rate = wear.mb_per_hour();
            assert!(rate.is_none_or(|rate| (200.0..=300.0).contains(&rate)), "{rate:?} after {now} s");
        }
        let rate = wear.mb_per_hour().unwrap();
        assert!((270.0..=300.0).contains(&rate), "{rate}");
        assert!(wear.account().contains("MB an hour, within the board's budget of 300"), "{}", wear.account());
    }

    #[test]
    fn a_run_shorter_than_an_hour_may_write_an_hours_share() {
        let account = |mb: u64| {
            let mut wear = Wear::new(LIMITS, None);
            wear.checkpoint(mb << 20, None, 90.0);
            wear.account()
        };
        let small = "40 MB written to storage, 1 checkpoints, within the board's budget of 300 MB an hour";
        assert_eq!(account(40), small, "and no rate: 1600 MB an hour would be true and mean nothing");
        assert!(account(301).contains("above the board's budget"), "{}", account(301));
    }

    #[test]
    fn small_checkpoints_are_not_delayed_and_large_ones_not_for_ever() {
        let interval = |mb: u64| {
            let mut wear = Wear::new(LIMITS, None);
            wear.checkpoint(mb << 20, None, 10.0);
            wear.interval(MINUTE).as_secs()
        };
        assert_eq!([interval(1), interval(5), interval(10), interval(1000)], [60, 61, 125, 1800]);
        assert_eq!(Wear::new(LIMITS, None).interval(MINUTE), MINUTE);
        let hour = 2 * Duration::from_secs(1800);
        let mut wear = Wear::new(LIMITS, None);
        wear.checkpoint(1000 << 20, None, 1.0);
        assert_eq!(wear.interval(hour), hour, "whoever wants longer times has them");
    }

    #[test]
    fn the_kernel_counts_what_reached_the_card() {
        let io = "rchar: 9\nwchar: 8\nsyscr: 7\nread_bytes: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 96\n";
        assert_eq!(written_bytes(tree(&[("proc/self/io", io)]).path()), Some(4000));
        assert_eq!(written_bytes(tree(&[]).path()), None);
    }
}
