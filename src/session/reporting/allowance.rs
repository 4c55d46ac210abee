//! The time that a report may take: one part in a hundred of the run's.

use std::time::{Duration, Instant};

/// A run works so many times as long between two reports as the last report took.
const TIMES: u32 = 100;

/// The time that the last report took, and since when the run has worked again.
#[derive(Debug, Default)]
pub struct Allowance {
    last: Option<(Instant, Duration)>,
}

impl Allowance {
    /// True if the run has worked long enough for another report. The first is for free.
    pub fn is_enough(&self) -> bool {
        self.last.is_none_or(|(since, took)| since.elapsed() >= took * TIMES)
    }

    /// A report that `began` is written now.
    pub fn spend(&mut self, began: Instant) {
        self.last = Some((Instant::now(), began.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_waits_until_its_share_of_the_time_is_earned() {
        let mut allowance = Allowance::default();
        assert!(allowance.is_enough());
        allowance.spend(Instant::now() - Duration::from_secs(5));
        assert!(!allowance.is_enough());
        allowance.spend(Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        assert!(allowance.is_enough());
    }
}
