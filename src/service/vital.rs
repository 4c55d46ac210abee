//! Detects how the previous process of the service ended (clean exit, OOM kill, power cut, unknown), from a marker
//! file that exists while a run is under way.

use crate::board::Kills;
use crate::train::replace_file;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The cause that ended a run which did not end itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The kernel has killed for want of memory since it began.
    Memory,
    /// The machine was switched off or started anew.
    PowerCut,
    /// Killed, crashed, or hung and ended by the watchdog; or ended well on a storage that did not let the note go.
    Unknown,
}

impl Death {
    pub fn sentence(self) -> &'static str {
        match self {
            Death::Memory => "the run was ended by the kernel, most likely, for want of memory",
            Death::PowerCut => "the machine was switched off or started anew before the run was over",
            Death::Unknown => {
                "nothing tells how the run ended: it was killed, crashed, was ended by the watchdog, or its storage \
                 refused to be written"
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Sign {
    boot: Option<String>,
    kills: u64,
}

fn path(state: &Path) -> PathBuf {
    state.join("alive.toml")
}

/// A run begins or goes on.
///
/// # Errors
/// If the note cannot be written.
pub fn begin(state: &Path, root: &Path) -> Result<()> {
    let kills = Kills::read(root);
    let sign = Sign { boot: kills.as_ref().map(|k| k.boot.clone()), kills: kills.map_or(0, |k| k.count) };
    let text = toml::to_string(&sign).context("alive.toml")?;
    Ok(replace_file(&path(state), |temporary| fs::write(temporary, text), |_| Ok(()))?)
}

/// A run ended, well or not, by itself.
pub fn end(state: &Path) {
    if let Err(error) = fs::remove_file(path(state))
        && error.kind() != ErrorKind::NotFound
    {
        log::warn!("{}: cannot remove: {error}; the next start cannot tell how this run ended", path(state).display());
    }
}

/// How the run of the last start ended, if not by itself.
pub fn autopsy(state: &Path, root: &Path) -> Option<Death> {
    let text = fs::read_to_string(path(state)).ok()?;
    let Ok(sign) = toml::from_str::<Sign>(&text) else { return Some(Death::Unknown) };
    let now = Kills::read(root);
    Some(match (now, sign.boot) {
        (Some(now), Some(boot)) if now.boot != boot => Death::PowerCut,
        (Some(now), Some(_)) if now.count > sign.kills => Death::Memory,
        _ => Death::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_leaves_its_traces() {
        let dir = tempfile::tempdir().unwrap();
        let (state, root) = (dir.path().join("state"), dir.path().join("root"));
        let machine = |boot: &str, kills: u64| {
            fs::create_dir_all(root.join("proc/sys/kernel/random")).unwrap();
            fs::write(root.join("proc/sys/kernel/random/boot_id"), boot).unwrap();
            fs::write(root.join("proc/vmstat"), format!("pgfault 3\noom_kill {kills}\n")).unwrap();
        };
        fs::create_dir(&state).unwrap();
        machine("one", 2);
        assert_eq!(autopsy(&state, &root), None);
        begin(&state, &root).unwrap();
        assert_eq!(autopsy(&state, &root), Some(Death::Unknown));
        machine("one", 3);
        assert_eq!(autopsy(&state, &root), Some(Death::Memory));
        machine("two", 0);
        assert_eq!(autopsy(&state, &root), Some(Death::PowerCut));
        end(&state);
        assert_eq!(autopsy(&state, &root), None);
        fs::write(path(&state), "torn = ").unwrap();
        assert_eq!(autopsy(&state, &root), Some(Death::Unknown));
    }
}
