//! The time of the last checkpoint, and whether the next is due.

use std::time::{Duration, Instant};

/// Time between two tries.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// When it was saved last, and how often it could not be since.
#[derive(Clone, Copy, Debug)]
pub struct SaveClock {
    saved: Instant,
    tried: Instant,
    refused: u32,
}

impl SaveClock {
    pub fn new() -> Self {
        Self { saved: Instant::now(), tried: Instant::now(), refused: 0 }
    }

    /// A try begins.
    pub fn tried(&mut self) {
        self.tried = Instant::now();
    }

    /// The storage refused.
    pub fn refuse(&mut self) {
        self.refused += 1;
    }

    /// How often it has refused since something was saved.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// True if to save now, where `every` lies between two checkpoints.
    pub fn is_due(&self, every: Duration) -> bool {
        match self.refused {
            0 => self.saved.elapsed() >= every,
            _ => self.tried.elapsed() >= every.clamp(SHORTEST, LONGEST),
        }
    }
}
