//! Pace: what share of the time the processor works, so that it stays just below the temperature at which its firmware
//! would slow it down, and does not swing about it. Pauses between micro-batches never change a result.
//!
//! A proportional-integral controller of the temperature that is expected some seconds ahead:
//! `ahead = smooth + rate · (LEAD + work)`, `share = I + KP · (hold − ahead)`, `dI/dt = KI · (hold − ahead)`, the share kept in
//! [`LEAST`] to 1 and the integral with it, so that it does not wind up while the board is cool. The rise is foreseen
//! because sensors are late and a micro-batch, once begun, is finished. At `stop_c` all work rests until it is
//! `hysteresis_c` cooler. Sensors count in steps and round down: the next step is assumed.
//!
//! Gains were set on a simulated Raspberry Pi 4 (`tests/it/heat.rs`): die and board as two heat capacities.

use super::config::HeatLimits;

/// Smoothing of the sensor's steps, in seconds.
const SMOOTHING_S: f64 = 2.0;

/// How far ahead is looked besides the next micro-batch, in seconds: the smoothing's delay and the sensor's.
const LEAD_S: f64 = 5.0;

/// Share of the time per °C.
const KP: f64 = 0.2;

/// Share of the time per °C and second.
const KI: f64 = 0.004;

/// The integral's loss when work had to rest: it was too high.
const DROP: f64 = 0.8;

/// Least share of the time that is worked, short of resting.
pub const LEAST: f64 = 0.02;

/// How much cooler the board is held at most when the firmware throttles although the sensor says that it is cool
/// enough, and by how much at a time.
const MOST_DOUBT_C: f64 = 5.0;
const DOUBT_C: f64 = 0.5;

/// Seconds between two doubts.
const DOUBT_EVERY_S: f64 = 10.0;

/// Share worked where there was a temperature and there is none any more.
const BLIND: f64 = 0.5;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoardPace {
    /// Work this share of the time; 1 is full speed.
    Work(f64),
    /// Too hot: rest, and look again soon.
    Rest,
}

#[derive(Clone, Debug)]
pub struct Pacer {
    limits: HeatLimits,
    integral: f64,
    /// Time in seconds, smoothed temperature, its rate in °C per second.
    seen: Option<(f64, f64, f64)>,
    resting: bool,
    doubt_c: f64,
    doubted: f64,
}

impl Pacer {
    pub fn new(limits: HeatLimits) -> Self {
        Self { limits, integral: 1.0, seen: None, resting: false, doubt_c: 0.0, doubted: f64::NEG_INFINITY }
    }

    /// Takes in a reading at `now`, in seconds from any beginning, and says how to go on; `work` is how long the next
    /// piece of work takes, in seconds, and `hot` whether the firmware throttles because of heat.
    pub fn update(&mut self, now: f64, temp_c: Option<f64>, work: f64, hot: bool) -> BoardPace {
        let Some(temp_c) = temp_c else {
            self.resting = false;
            return BoardPace::Work(if self.seen.is_some() { BLIND } else { 1.0 });
        };
        if hot && now - self.doubted >= DOUBT_EVERY_S {
            self.doubted = now;
            self.doubt_c = (self.doubt_c + DOUBT_C).min(MOST_DOUBT_C);
        }
        let temp_c = temp_c + self.limits.sensor_step_c + self.doubt_c;
        let (before, smooth, rate) = self.seen.unwrap_or((now, temp_c, 0.0));
        let dt = (now - before).max(0.0);
        let weight = 1.0 - (-dt / SMOOTHING_S).exp();
        let next = smooth + weight * (temp_c - smooth);
        let rate = if dt > 0.0 { rate + weight * ((next - smooth) / dt - rate) } else { rate };
        self.seen = Some((now, next, rate));
        let ahead = next + rate * (LEAD_S + work);
        let HeatLimits { hold_c, stop_c, hysteresis_c, .. } = self.limits;
        if self.resting {
            self.resting = ahead > stop_c - hysteresis_c;
        } else if ahead >= stop_c {
            self.resting = true;
            self.integral *= DROP;
        }
        // A long silence (judging an epoch) is no reason to jump.
        self.integral = (self.integral + KI * (hold_c - ahead) * dt.min(5.0)).clamp(LEAST, 1.0);
        if self.resting {
            return BoardPace::Rest;
        }
        BoardPace::Work((self.integral + KP * (hold_c - ahead)).clamp(LEAST, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HeatLimits {
        HeatLimits { hold_c: 79.0, stop_c: 80.0, hysteresis_c: 1.0, sensor_step_c: 0.0 }
    }

    #[test]
    fn cool_is_full_speed_and_hot_is_rest_until_it_is_cooler() {
        let mut pacer = Pacer::new(limits());
        assert_eq!(pacer.update(0.0, Some(50.0), 1.0, false), BoardPace::Work(1.0));
        let mut pacer = Pacer::new(limits());
        assert_eq!(pacer.update(0.0, Some(80.0), 1.0, false), BoardPace::Rest);
        for second in 1..40 {
            assert_eq!(pacer.update(f64::from(second), Some(79.5), 1.0, false), BoardPace::Rest, "hysteresis");
        }
        let mut pace = BoardPace::Rest;
        for second in 40..80 {
            pace = pacer.update(f64::from(second), Some(77.0), 1.0, false);
        }
        assert!(matches!(pace, BoardPace::Work(share) if share > 0.5), "{pace:?}");
    }

    #[test]
    fn a_lost_sensor_is_not_cold_and_a_throttling_firmware_is_believed() {
        let mut pacer = Pacer::new(limits());
        assert_eq!(pacer.update(0.0, None, 1.0, false), BoardPace::Work(1.0), "there is nothing to go by");
        pacer.update(1.0, Some(70.0), 1.0, false);
        assert_eq!(pacer.update(2.0, None, 1.0, false), BoardPace::Work(BLIND));
        let held = |hot: bool| {
            let mut pacer = Pacer::new(limits());
            (0..300).map(|s| pacer.update(f64::from(s), Some(77.0), 1.0, hot)).last().unwrap()
        };
        assert_eq!(held(false), BoardPace::Work(1.0));
        assert_ne!(held(true), BoardPace::Work(1.0), "the firmware's sensor is hotter than ours");
    }
}
