//! A report's part about the machine: board, temperature, firmware's limits, memory.

use crate::board::{Processor, Sensors, Throttling, model, total_memory};
use crate::report::page::MachineFigures;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two looks at sensors.
const EVERY: Duration = Duration::from_secs(20);

/// Remembers what sensors said over the run.
#[derive(Debug)]
pub struct MachineLog {
    root: PathBuf,
    sensors: Sensors,
    looked: Option<Instant>,
    /// Name of the hottest part and its temperature in °C, now and at its highest.
    now: Option<(String, f64)>,
    highest: Option<f64>,
    /// Highest since the last epoch.
    of_epoch: Option<f64>,
    epochs: Vec<(u64, f64)>,
    /// The firmware's limits at any time of the run; `None` where it tells nothing.
    throttling: Option<Throttling>,
}

impl MachineLog {
    /// `root` is `/` on a board and a fixture tree in tests.
    pub fn new(root: &Path) -> Self {
        let mut log = Self {
            root: root.into(),
            sensors: Sensors::find(root),
            looked: None,
            now: None,
            highest: None,
            of_epoch: None,
            epochs: Vec::new(),
            throttling: None,
        };
        log.look();
        log
    }

    /// Reads the sensors if it is time.
    pub fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let heat = self.sensors.read();
        let higher = |known: Option<f64>| {
            let now = heat.hottest.as_ref().map(|(_, celsius)| *celsius);
            known.into_iter().chain(now).reduce(f64::max)
        };
        (self.highest, self.of_epoch) = (higher(self.highest), higher(self.of_epoch));
        self.now = heat.hottest.or(self.now.take());
        if let Some(t) = heat.throttling {
            let seen = self.throttling.get_or_insert_default();
            seen.undervoltage |= t.undervoltage;
            seen.capped |= t.capped;
            seen.throttled |= t.throttled;
            seen.soft_limit |= t.soft_limit;
        }
    }

    pub fn epoch_ended(&mut self, epoch: u64) {
        self.epochs.extend(self.of_epoch.take().map(|celsius| (epoch, celsius)));
    }

    /// Its value by now.
    pub fn machine(&self) -> MachineFigures {
        let mut facts = Vec::new();
        let mut say = |what: &str, value: Option<String>| facts.extend(value.map(|value| (what.to_string(), value)));
        say("board", model(&self.root));
        let processor = Processor::read(&self.root);
        let features =
            if processor.features.is_empty() { String::new() } else { format!(" ({})", processor.features.join(", ")) };
        say("processor", processor.core.map(|core| format!("{} × {core}{features}", processor.cores)));
        say("memory", total_memory(&self.root).map(|bytes| format!("{} MB", bytes >> 20)));
        let [now, most] = memory_of_process(&self.root);
        let of_process = now.zip(most).map(|(now, most)| format!("{now:.0} MB now, {most:.0} MB at most"));
        say("memory of this process", of_process);
        let heat = self.now.as_ref().zip(self.highest);
        say("temperature", heat.map(|((name, now), most)| format!("{now:.0} °C now, {most:.0} °C at most ({name})")));
        say("firmware", self.throttling.map(throttling));
        MachineFigures { facts, temperatures: self.epochs.clone() }
    }
}

/// The firmware's limits while the run looked.
fn throttling(t: Throttling) -> String {
    let seen = [
        (t.undervoltage, "undervoltage: the power supply is too weak"),
        (t.throttled, "throttled for heat"),
        (t.capped, "clock capped"),
        (t.soft_limit, "soft temperature limit reached"),
    ];
    let words: Vec<&str> = seen.iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
    if words.is_empty() { "no throttling, no undervoltage".into() } else { words.join("; ") }
}

/// Resident memory of this process in MB, now and at its peak.
fn memory_of_process(root: &Path) -> [Option<f64>; 2] {
    let text = std::fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_tells_its_heat_and_a_bare_machine_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let zone = tree.path().join("sys/class/thermal/thermal_zone0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("type"), "cpu-thermal\n").unwrap();
        std::fs::write(zone.join("temp"), "61250\n").unwrap();
        let mut log = MachineLog::new(tree.path());
        log.epoch_ended(1);
        log.epoch_ended(2);
        let machine = log.machine();
        assert_eq!(machine.temperatures, [(1, 61.25)]);
        let expected = ("temperature".to_string(), "61 °C now, 61 °C at most (cpu-thermal)".to_string());
        assert!(machine.facts.contains(&expected), "{machine:?}");
        let nothing = MachineLog::new(Path::new("/nowhere")).machine();
        assert!(nothing.facts.is_empty() && nothing.temperatures.is_empty(), "{nothing:?}");
    }

    #[test]
    fn the_firmware_is_quoted() {
        assert_eq!(throttling(Throttling::from_bits(0)), "no throttling, no undervoltage");
        assert!(throttling(Throttling::from_bits(0b101)).starts_with("undervoltage"));
    }
}
