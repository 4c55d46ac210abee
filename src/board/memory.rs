//! How much memory a process may take here: what the system has to spare, and what its control group allows.

use std::path::{Path, PathBuf};

/// What limits the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What the machine has to spare.
    Machine,
    /// `memory.max` of the control group.
    ControlGroup,
}

/// Memory that a process can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub available_bytes: u64,
    pub limit: MemoryLimit,
}

impl Memory {
    /// What is left for this process, or `None` where the system does not tell. `root` is `/` on a board and a fixture
    /// tree in tests.
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

/// What the tightest of the control group and those above it has left.
fn group_left(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = text.lines().find_map(|l| l.strip_prefix("0::"))?.trim_start_matches('/');
    let top = root.join("sys/fs/cgroup");
    let folder: PathBuf = top.join(path);
    let left = |folder: &Path| {
        let max: u64 = number(&folder.join("memory.max"))?;
        // What is only cached can be taken back.
        let cached = field(&folder.join("memory.stat"), "file").unwrap_or(0);
        let used = number(&folder.join("memory.current")).unwrap_or(0).saturating_sub(cached);
        Some(max.saturating_sub(used))
    };
    folder.ancestors().take_while(|f| f.starts_with(&top)).filter_map(left).min()
}

/// A file's single number; `None` where it says `max`.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number behind a name in a file of names and numbers.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
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
        assert_eq!(Memory::available(tree(&[]).path()), None);
        let broken = tree(&[("proc/meminfo", "MemAvailable: many kB\n")]);
        assert_eq!(Memory::available(broken.path()), None);
    }
}
