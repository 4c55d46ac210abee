//! Thermal throttling by pauses between micro-batches, so that the board stays below the temperature at which its
//! firmware would slow it down.

use crate::board::{BoardConfig, BoardPace, Heat, HeatLimits, Pacer, Sensors};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a pause goes on before looking again.
const SLICE: Duration = Duration::from_millis(500);

/// Longest pause for one micro-batch: a sensor that is stuck must not end a run.
const LONGEST: Duration = Duration::from_secs(600);

/// The longest time of a micro-batch; what is longer was something else (an epoch judged, a checkpoint written).
const LONGEST_WORK_S: f64 = 20.0;

/// Below this share of the time it is worth a line, and above it no more.
const SLOW: f64 = 0.95;

/// Time between lines about the same thing.
const SAY_EVERY: Duration = Duration::from_secs(600);

/// Seconds over which the share of working time is averaged.
const AVERAGED_S: f64 = 60.0;

#[derive(Debug)]
pub struct HeatKeeper {
    sensors: Sensors,
    pacer: Pacer,
    limits: HeatLimits,
    began: Instant,
    /// When the work under way began.
    working: Instant,
    /// Share of the time worked, averaged.
    share: f64,
    heat: Heat,
    said_slow: Option<Instant>,
    said_power: Option<Instant>,
}

impl HeatKeeper {
    pub fn new(board: &BoardConfig, root: &Path) -> Self {
        let sensors = Sensors::find(root);
        let heat = sensors.read();
        if heat.hottest.is_none() {
            log::warn!(
                "no temperature can be read on this board: training does not slow down before its firmware does"
            );
        }
        Self {
            sensors,
            pacer: Pacer::new(board.heat),
            limits: board.heat,
            began: Instant::now(),
            working: Instant::now(),
            share: 1.0,
            heat,
            said_slow: None,
            said_power: None,
        }
    }

    /// A micro-batch or an image is done: pauses as long as it is too hot. `alive` is called now and then and says
    /// whether to go on waiting.
    pub fn rest(&mut self, alive: &mut dyn FnMut() -> bool) {
        let work = self.working.elapsed().as_secs_f64().min(LONGEST_WORK_S);
        let paused = Instant::now();
        loop {
            self.heat = self.sensors.read();
            let hot = self.heat.throttling.is_some_and(|t| t.is_hot());
            let temp_c = self.heat.hottest.as_ref().map(|(_, c)| *c);
            let pace = self.pacer.update(self.began.elapsed().as_secs_f64(), temp_c, work, hot);
            let left = match pace {
                BoardPace::Rest => SLICE,
                BoardPace::Work(share) => {
                    Duration::from_secs_f64(work * (1.0 / share - 1.0)).saturating_sub(paused.elapsed())
                }
            };
            if left.is_zero() || paused.elapsed() >= LONGEST || !alive() {
                break;
            }
            std::thread::sleep(left.min(SLICE));
        }
        let pause = paused.elapsed().as_secs_f64();
        let weight = 1.0 - (-(work + pause) / AVERAGED_S).exp();
        self.share += weight * (work / (work + pause).max(1e-9) - self.share);
        self.working = Instant::now();
        self.tell();
    }

    /// Work goes on after a time that was neither work nor a pause for heat.
    pub fn resume(&mut self) {
        self.working = Instant::now();
    }

    fn tell(&mut self) {
        let due = |said: &Option<Instant>| said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
        if self.share < SLOW && due(&self.said_slow) {
            self.said_slow = Some(Instant::now());
            log::warn!("{}; better cooling makes it faster", self.sentence());
        } else if self.share > 1.0 - (1.0 - SLOW) / 4.0 && self.said_slow.take().is_some() {
            log::info!("cool enough again: full speed");
        }
        let Some(throttling) = self.heat.throttling else { return };
        if (throttling.undervoltage || throttling.is_hot()) && due(&self.said_power) {
            self.said_power = Some(Instant::now());
            if throttling.undervoltage {
                log::warn!(
                    "undervoltage: the power supply or its cable is too weak, the firmware slows the processor down; this \
                     is not a learning fault"
                );
            } else {
                log::warn!("the firmware slows the processor down because of its heat; this is not a learning fault");
            }
        }
    }

    fn sentence(&self) -> String {
        let at = self.heat.hottest.as_ref().map_or("unknown".into(), |(name, c)| format!("{c:.0} °C at {name}"));
        format!(
            "heat: {at}, working {:.0} % of the time to stay below {:.0} °C; this is not a learning fault",
            self.share * 100.0,
            self.limits.stop_c
        )
    }

    /// For a status line, if there is something to say.
    pub fn note(&self) -> Option<String> {
        if self.heat.throttling.is_some_and(|t| t.undervoltage) {
            return Some("undervoltage (not a learning fault)".into());
        }
        (self.share < SLOW).then(|| self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_pauses_while_it_is_too_hot_and_says_that_nobody_learns_worse() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("sys/class/thermal/thermal_zone0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("type"), "cpu-thermal").unwrap();
        fs::write(zone.join("temp"), "50000").unwrap();
        let board = BoardConfig::named("rpi4-2gb").unwrap();
        let mut keeper = HeatKeeper::new(&board, root.path());
        let mut asked = 0;
        keeper.rest(&mut || {
            asked += 1;
            true
        });
        assert!(asked == 0 && keeper.note().is_none(), "cool: no pause");
        fs::write(zone.join("temp"), "84000").unwrap();
        let mut keeper = HeatKeeper::new(&board, root.path());
        std::thread::sleep(Duration::from_millis(50));
        keeper.rest(&mut || {
            asked += 1;
            asked < 3
        });
        assert_eq!(asked, 3, "it rests until it is told not to");
        keeper.share = 0.4;
        let note = keeper.note().unwrap();
        assert!(note.contains("84 °C at cpu-thermal, working 40 %") && note.contains("not a learning fault"), "{note}");
    }
}
