//! The time that pictures took, and the age of a live picture when its detections were there.

use super::finder::SearchedPicture;
use std::fmt;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Timing {
    began: Instant,
    pub count: u64,
    decoding: Duration,
    finding: Duration,
    writing: Duration,
    /// From the last byte of a frame to its detections.
    latency: Duration,
    largest_latency: Duration,
}

impl Timing {
    pub fn begin() -> Self {
        let none = Duration::ZERO;
        let began = Instant::now();
        Self { began, count: 0, decoding: none, finding: none, writing: none, latency: none, largest_latency: none }
    }

    /// A picture was read in so much time, and looked at.
    pub fn looked(&mut self, decoding: Duration, sighting: &SearchedPicture) {
        self.count += 1;
        self.decoding += decoding;
        self.finding += sighting.took;
    }

    pub fn wrote(&mut self, time: Duration) {
        self.writing += time;
    }

    /// The detections of a frame that arrived then are there.
    pub fn answered(&mut self, arrived: Instant) {
        let latency = arrived.elapsed();
        self.latency += latency;
        self.largest_latency = self.largest_latency.max(latency);
    }

    /// Figures that only a stream has: frames per second and latency.
    pub fn live(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        format!(
            "{:.1} frames per second; latency {:.1} ms, at most {:.1} ms",
            self.count as f64 / seconds,
            self.mean_ms(self.latency),
            self.largest_latency.as_secs_f64() * 1e3
        )
    }

    fn mean_ms(&self, sum: Duration) -> f64 {
        sum.as_secs_f64() * 1e3 / (self.count.max(1) as f64)
    }
}

/// Means per picture.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [all, decoding, finding, writing] =
            [self.decoding + self.finding + self.writing, self.decoding, self.finding, self.writing]
                .map(|sum| self.mean_ms(sum));
        write!(f, "{all:.1} ms a photo (reading {decoding:.1}, finding {finding:.1}, writing {writing:.1})")
    }
}
