//! Memory pressure during training: free memory, stalls (PSI), and processes that the kernel killed.
//!
//! - `/proc/pressure/memory` and the control group's `memory.pressure` (PSI): `full avg10` is the share of the last ten
//!   seconds, in percent, in which nothing could work for want of memory.
//! - `oom_kill` in `/proc/vmstat` counts the kernel's kills since the machine was switched on. A control group's own count
//!   goes with the group when a service restarts, so that one cannot be asked.

use super::memory::{Memory, MemoryLimit, field, group_folders};
use std::fs;
use std::path::Path;

/// Share of ten seconds, in percent, from which memory is the brake.
const STALLED_PERCENT: f64 = 10.0;

/// Less than this is too little for any surprise.
const LITTLE_BYTES: u64 = 12 << 20;

/// A look at the memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryState {
    pub left: Option<Memory>,
    /// The worse of the machine's and the control group's `full avg10`, in percent.
    pub stalled_percent: Option<f64>,
}

impl MemoryState {
    /// `root` is `/` on a board and a fixture tree in tests.
    pub fn read(root: &Path) -> Self {
        let mut files = vec![root.join("proc/pressure/memory")];
        files.extend(group_folders(root).into_iter().map(|folder| folder.join("memory.pressure")));
        let stalled = files.iter().filter_map(|file| stalled(file)).max_by(f64::total_cmp);
        Self { left: Memory::available(root), stalled_percent: stalled }
    }

    /// The fault, if there is one.
    pub fn shortage(&self) -> Option<String> {
        if let Some(percent) = self.stalled_percent.filter(|p| *p >= STALLED_PERCENT) {
            return Some(format!("for want of memory nothing could work in {percent:.0} % of the last ten seconds"));
        }
        let left = self.left.filter(|m| m.available_bytes < LITTLE_BYTES)?;
        let whose = match left.limit {
            MemoryLimit::Machine => "of the machine's memory",
            MemoryLimit::ControlGroup => "to the control group's limit",
        };
        Some(format!("{} MB left {whose}", left.available_bytes >> 20))
    }
}

fn stalled(file: &Path) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let full = text.lines().find_map(|l| l.strip_prefix("full "))?;
    full.split_whitespace().find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
}

/// Tells one start of the machine from another, and how often the kernel has killed for memory since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kills {
    pub boot: String,
    pub count: u64,
}

impl Kills {
    /// `None` where the kernel does not count.
    pub fn read(root: &Path) -> Option<Self> {
        let boot = fs::read_to_string(root.join("proc/sys/kernel/random/boot_id")).ok()?.trim().to_string();
        Some(Self { boot, count: field(&root.join("proc/vmstat"), "oom_kill ")? })
    }
}

/// True if limits of control groups on memory work here at all: with memory accounting off, as some systems boot,
/// systemd takes and shows `MemoryMax=`, and nothing enforces it. `None` where there are no control groups.
pub fn limits_are_enforced(root: &Path) -> Option<bool> {
    let top = root.join("sys/fs/cgroup");
    if let Ok(controllers) = fs::read_to_string(top.join("cgroup.controllers")) {
        // In a namespace of its own, a group shows its limit files without the controllers of the real top.
        return Some(controllers.split_whitespace().any(|c| c == "memory"));
    }
    top.exists().then(|| top.join("memory/memory.limit_in_bytes").exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::memory::tests::tree;

    #[test]
    fn shortage_is_little_left_or_long_stalls() {
        let state = |left: u64, machine: &str, group: &str| {
            let root = tree(&[
                ("proc/meminfo", &format!("MemAvailable: {left} kB\n")),
                ("proc/self/cgroup", "0::/fieldtune.service\n"),
                ("proc/pressure/memory", machine),
                ("sys/fs/cgroup/fieldtune.service/memory.pressure", group),
            ]);
            MemoryState::read(root.path())
        };
        let calm = "some avg10=1.53 avg60=0.87 avg300=0.00 total=2\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";
        let stalled = "some avg10=80.00 avg60=1 avg300=1 total=9\nfull avg10=42.50 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(state(400_000, calm, calm).shortage(), None);
        assert!(state(400_000, calm, stalled).shortage().unwrap().contains("in 42 %"));
        assert!(state(400_000, stalled, calm).shortage().unwrap().contains("in 42 %"));
        assert!(state(9000, calm, calm).shortage().unwrap().contains("8 MB left of the machine's"));
        assert!(state(400_000, "nonsense", "full avg10=x").shortage().is_none());
    }

    #[test]
    fn kills_are_counted_since_the_machine_was_switched_on() {
        let root = tree(&[
            ("proc/sys/kernel/random/boot_id", "a1b2\n"),
            ("proc/vmstat", "nr_free_pages 3\noom_kill 2\noom_kill_memcg 9\n"),
        ]);
        assert_eq!(Kills::read(root.path()), Some(Kills { boot: "a1b2".into(), count: 2 }));
        assert_eq!(Kills::read(tree(&[]).path()), None);
    }

    #[test]
    fn limits_without_accounting_are_told_apart() {
        let on = tree(&[("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")]);
        let off = tree(&[("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")]);
        let old = tree(&[("sys/fs/cgroup/memory/memory.limit_in_bytes", "9\n")]);
        let found = [&on, &off, &old, &tree(&[])].map(|t| limits_are_enforced(t.path()));
        assert_eq!(found, [Some(true), Some(false), Some(true), None]);
    }
}
