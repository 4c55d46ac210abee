//! Memory that a process may take here: the system's free memory, and the limit of its control group.

use std::path::{Path, PathBuf};

/// Bytes of this process that are in memory, or `None` where the system does not tell.
pub fn process_memory(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The authority that limits the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// The memory that the machine has to spare.
    Machine,
    /// The memory limit of the control group.
    ControlGroup,
}

/// Memory that a process can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub available_bytes: u64,
    pub limit: MemoryLimit,
}

impl Memory {
    /// The memory left for this process, or `None` where the system does not tell. `root` is `/` on a board and a
    /// fixture tree in tests.
    pub fn available(root: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let machine: u64 = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
        Some(match group_left(root) {
            Some(group) if group < machine => Self { available_bytes: group, limit: MemoryLimit::ControlGroup },
            _ => Self { available_bytes: machine, limit: MemoryLimit::Machine },
        })
    }
}

/// The files in which a version of control groups keeps its figures.
struct GroupFiles {
    /// The text that precedes the group's path in `proc/self/cgroup`, behind the hierarchy's number.
    marker: &'static str,
    top: &'static str,
    /// Files of limits: the first ends in a kill, beyond others all is slow.
    limits: &'static [&'static str],
    used: &'static str,
    /// In `memory.stat`.
    cached: &'static str,
}

/// Version 2, and version 1 as older systems (JetPack 4 and 5) have it.
const GROUPS: [GroupFiles; 2] = [
    GroupFiles {
        marker: "::",
        top: "sys/fs/cgroup",
        limits: &["memory.max", "memory.high"],
        used: "memory.current",
        cached: "file",
    },
    GroupFiles {
        marker: ":memory:",
        top: "sys/fs/cgroup/memory",
        limits: &["memory.limit_in_bytes"],
        used: "memory.usage_in_bytes",
        cached: "total_cache",
    },
];

/// The bytes that the tightest of the control group and those above it has left.
fn group_left(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    GROUPS.iter().filter_map(|files| files.left(root, &text)).min()
}

impl GroupFiles {
    fn left(&self, root: &Path, groups: &str) -> Option<u64> {
        let path =
            groups.lines().find_map(|l| l.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(self.marker));
        let top = root.join(self.top);
        let folder: PathBuf = top.join(path?.trim_start_matches('/'));
        let left = |folder: &Path| {
            let max: u64 = self.limits.iter().filter_map(|file| number(&folder.join(file))).min()?;
            // Pages that are only cached can be taken back.
            let cached = field(&folder.join("memory.stat"), self.cached).unwrap_or(0);
            let used = number(&folder.join(self.used)).unwrap_or(0).saturating_sub(cached);
            Some(max.saturating_sub(used))
        };
        folder.ancestors().take_while(|f| f.starts_with(&top)).filter_map(left).min()
    }
}

/// The control group this process is in and those above it, version 2 only.
pub(super) fn group_folders(root: &Path) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    let Some(path) = text.lines().find_map(|l| l.strip_prefix("0::")) else { return Vec::new() };
    let top = root.join("sys/fs/cgroup");
    let folder = top.join(path.trim_start_matches('/'));
    folder.ancestors().take_while(|f| f.starts_with(&top)).map(Path::to_path_buf).collect()
}

/// A file's single number; `None` where it says `max`.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number behind a name in a file of names and numbers.
pub(super) fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok())
}

/// Gives freed memory back to the system after all: between phases that need other blocks than those they left.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder with these files in it, that looks like a board's `/proc` and `/sys`.
    pub fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_limit_counts() {
        let meminfo = ("proc/meminfo", "MemTotal: 900000 kB\nMemAvailable:     400000 kB\n");
        let free = tree(&[meminfo]);
        let found = Memory::available(free.path()).unwrap();
        assert_eq!(found, Memory { available_bytes: 400_000 * 1024, limit: MemoryLimit::Machine });
        let bound = tree(&[
            meminfo,
            ("proc/self/cgroup", "0::/system.slice/fieldtune.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/fieldtune.service/memory.max", "268435456\n"),
            ("sys/fs/cgroup/system.slice/fieldtune.service/memory.current", "20000000\n"),
            ("sys/fs/cgroup/system.slice/fieldtune.service/memory.stat", "anon 5000000\nfile 15000000\n"),
        ]);
        let found = Memory::available(bound.path()).unwrap();
        assert_eq!(found, Memory { available_bytes: 268_435_456 - 5_000_000, limit: MemoryLimit::ControlGroup });
        let high = tree(&[
            meminfo,
            ("proc/self/cgroup", "0::/fieldtune.service\n"),
            ("sys/fs/cgroup/fieldtune.service/memory.max", "268435456\n"),
            ("sys/fs/cgroup/fieldtune.service/memory.high", "200000000\n"),
        ]);
        assert_eq!(Memory::available(high.path()).unwrap().available_bytes, 200_000_000);
        let old = tree(&[
            meminfo,
            ("proc/self/cgroup", "4:memory:/training\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/training/memory.limit_in_bytes", "134217728\n"),
            ("sys/fs/cgroup/memory/training/memory.usage_in_bytes", "30000000\n"),
            ("sys/fs/cgroup/memory/training/memory.stat", "cache 1\ntotal_cache 10000000\n"),
        ]);
        let found = Memory::available(old.path()).unwrap();
        assert_eq!(found, Memory { available_bytes: 134_217_728 - 20_000_000, limit: MemoryLimit::ControlGroup });
        assert_eq!(Memory::available(tree(&[]).path()), None);
        let broken = tree(&[("proc/meminfo", "MemAvailable: many kB\n")]);
        assert_eq!(Memory::available(broken.path()), None);
    }
}
