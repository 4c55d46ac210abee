//! Settings by board: one TOML file for each in `board-configs/`, in the program.
//!
//! A board is known by the beginning of `/proc/device-tree/model` and, where models differ in nothing else, by its
//! memory. Any other 64-bit ARM machine with a device tree is a board as well, of which nothing is known.

use serde::Deserialize;
use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

/// Every file of `board-configs/`; the first that fits is taken.
const FILES: [(&str, &str); 10] = [
    ("rpi-zero-2w", include_str!("../../board-configs/rpi-zero-2w.toml")),
    ("rpi3b-plus", include_str!("../../board-configs/rpi3b-plus.toml")),
    ("rpi4-1gb", include_str!("../../board-configs/rpi4-1gb.toml")),
    ("rpi4-2gb", include_str!("../../board-configs/rpi4-2gb.toml")),
    ("rpi4-4gb", include_str!("../../board-configs/rpi4-4gb.toml")),
    ("rpi4-8gb", include_str!("../../board-configs/rpi4-8gb.toml")),
    ("rpi5", include_str!("../../board-configs/rpi5.toml")),
    ("jetson-nano", include_str!("../../board-configs/jetson-nano.toml")),
    ("jetson-orin-nano", include_str!("../../board-configs/jetson-orin-nano.toml")),
    (GENERIC, include_str!("../../board-configs/generic-arm64.toml")),
];

/// For boards that are not listed.
const GENERIC: &str = "generic-arm64";

/// Temperatures in °C.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatLimits {
    /// The temperature that pauses hold, in °C.
    pub hold_c: f64,
    /// The temperature at which all work rests, until it is `hysteresis_c` cooler.
    pub stop_c: f64,
    pub hysteresis_c: f64,
    /// The sensor's smallest step.
    pub sensor_step_c: f64,
}

/// The writes that a storage card can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteLimits {
    pub mb_per_hour: u64,
    /// Time between checkpoints, in seconds, and how far it is stretched at most to stay inside the budget.
    pub checkpoint_every_s: u64,
    pub checkpoint_longest_s: u64,
}

/// The settings of a board.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardConfig {
    pub name: String,
    pub title: String,
    /// How `/proc/device-tree/model` begins; none for what is chosen by name alone.
    pub models: Vec<String>,
    /// Memory in MB, as the system counts it, that the board has at least and less than.
    #[serde(default)]
    pub memory_from_mb: u64,
    #[serde(default = "unlimited")]
    pub memory_below_mb: u64,
    /// Threads for the network; all cores if absent.
    pub threads: Option<usize>,
    /// Most memory that training takes, in MB; if absent all that the system has to spare.
    pub memory_mb: Option<u64>,
    /// Largest micro-batch.
    pub micro_batch: usize,
    pub heat: HeatLimits,
    pub writes: WriteLimits,
}

fn unlimited() -> u64 {
    u64::MAX
}

impl BoardConfig {
    /// All boards there are settings for.
    pub fn all() -> Vec<Self> {
        FILES.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    fn parse(name: &str, text: &str) -> Self {
        match toml::from_str(text) {
            Ok(config) => config,
            Err(error) => panic!("board-configs/{name}.toml is part of the program and tested: {error}"),
        }
    }

    /// The settings of this name.
    pub fn named(name: &str) -> Option<Self> {
        FILES.iter().find(|(n, _)| *n == name).map(|(n, text)| Self::parse(n, text))
    }

    /// Names, for messages.
    pub fn names() -> String {
        FILES.map(|(name, _)| name).join(", ")
    }

    /// The settings of this board, if it is a known one, else the careful ones for any 64-bit ARM board. `root` is `/`
    /// on a board and a fixture tree in tests.
    pub fn detect(root: &Path) -> Option<Self> {
        let model = model(root)?;
        let memory_mb = total_memory(root)? >> 20;
        let known = Self::all().into_iter().find(|c| c.fits(&model, memory_mb));
        known.or_else(|| if ARCH == "aarch64" { Self::named(GENERIC) } else { None })
    }

    fn fits(&self, model: &str, memory_mb: u64) -> bool {
        let memory = self.memory_from_mb..self.memory_below_mb;
        self.models.iter().any(|m| model.starts_with(m.as_str())) && memory.contains(&memory_mb)
    }
}

/// This board's name in the device tree, if there is one.
pub fn model(root: &Path) -> Option<String> {
    let text = fs::read(root.join("proc/device-tree/model")).ok()?;
    let text = String::from_utf8_lossy(&text).trim_matches(['\0', '\n', ' ']).to_string();
    (!text.is_empty()).then_some(text)
}

/// Memory of the machine in bytes.
pub fn total_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::memory::tests::tree;

    #[test]
    fn every_file_is_sound_and_called_as_it_says() {
        for ((name, _), config) in FILES.iter().zip(BoardConfig::all()) {
            assert_eq!(*name, config.name);
            let heat = config.heat;
            assert!(heat.hold_c < heat.stop_c && heat.hysteresis_c > 0.0 && (0.0..=1.0).contains(&heat.sensor_step_c));
            let writes = config.writes;
            assert!(writes.checkpoint_every_s <= writes.checkpoint_longest_s && writes.mb_per_hour > 0, "{name}");
            assert!(config.micro_batch > 0 && config.threads != Some(0), "{name}");
        }
        let entries = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/board-configs")).unwrap();
        let names = entries.map(|entry| entry.unwrap().path());
        let listed = names.filter(|path| path.extension().is_some_and(|e| e == "toml")).count();
        assert_eq!(listed, FILES.len(), "a file without a line here is no setting");
    }

    #[test]
    fn boards_are_known_by_model_and_memory() {
        let detect = |model: &str, memory_mb: u64| {
            let root = tree(&[
                ("proc/device-tree/model", &format!("{model}\0")),
                ("proc/meminfo", &format!("MemTotal:       {} kB\n", memory_mb << 10)),
            ]);
            BoardConfig::detect(root.path()).map(|c| c.name)
        };
        let other = (ARCH == "aarch64").then_some(GENERIC);
        for (model, memory_mb, name) in [
            ("Raspberry Pi Zero 2 W Rev 1.0", 416, Some("rpi-zero-2w")),
            ("Raspberry Pi 3 Model B Plus Rev 1.3", 905, Some("rpi3b-plus")),
            ("Raspberry Pi 4 Model B Rev 1.1", 924, Some("rpi4-1gb")),
            ("Raspberry Pi 4 Model B Rev 1.5", 1849, Some("rpi4-2gb")),
            ("Raspberry Pi 4 Model B Rev 1.4", 3793, Some("rpi4-4gb")),
            ("Raspberry Pi 400 Rev 1.0", 3793, Some("rpi4-4gb")),
            ("Raspberry Pi 4 Model B Rev 1.4", 7812, Some("rpi4-8gb")),
            ("Raspberry Pi 5 Model B Rev 1.0", 8052, Some("rpi5")),
            ("Raspberry Pi 5 Model B Rev 1.1", 16220, Some("rpi5")),
            ("NVIDIA Jetson Nano Developer Kit", 3956, Some("jetson-nano")),
            ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 7620, Some("jetson-orin-nano")),
            ("linux,dummy-virt", 500, other),
            ("Orange Pi 5", 8000, other),
        ] {
            assert_eq!(detect(model, memory_mb).as_deref(), name, "{model} with {memory_mb} MB");
        }
        assert_eq!(BoardConfig::detect(tree(&[]).path()), None);
        assert!(BoardConfig::named("generic-arm64").is_some() && BoardConfig::named("pdp-11").is_none());
        assert!(BoardConfig::names().contains("rpi5, jetson-nano"));
    }
}
