//! The bytes that a node may send and receive in a day.

use crate::train::replace_file;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const MEGABYTE: f64 = 1e6;

/// Counts what travels in a day (of UTC), in a file that outlasts the program.
#[derive(Debug)]
pub struct Budget {
    /// Megabytes (10^6 bytes) a day; no bound without.
    pub mb_per_day: Option<f64>,
    path: PathBuf,
    traffic: Traffic,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Traffic {
    /// Days since 1970.
    day: u64,
    bytes: u64,
}

impl Budget {
    /// The count that lies in the folder, from zero where there is none.
    ///
    /// # Errors
    /// If the bound makes no sense or the file cannot be read.
    pub fn open(folder: &Path, mb_per_day: Option<f64>) -> Result<Self> {
        if let Some(bound) = mb_per_day.filter(|b| !(b.is_finite() && *b > 0.0)) {
            bail!("mb_per_day = {bound}, expected more than 0");
        }
        let path = folder.join("traffic.toml");
        let traffic = match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).unwrap_or_else(|_| {
                log::warn!("{}: damaged; the day's bytes are counted from zero", path.display());
                Traffic::default()
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Traffic::default(),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot read", path.display())),
        };
        Ok(Self { mb_per_day, path, traffic })
    }

    /// Takes so many bytes off the day's budget before they travel.
    ///
    /// # Errors
    /// If the day has no room for them, or the disk refuses.
    pub fn spend(&mut self, day: u64, bytes: u64) -> Result<()> {
        let spent = if self.traffic.day == day { self.traffic.bytes } else { 0 };
        let after = spent.saturating_add(bytes);
        if let Some(bound) = self.mb_per_day
            && after as f64 > bound * MEGABYTE
        {
            let mb = |bytes: u64| bytes as f64 / MEGABYTE;
            bail!(
                "the round takes {:.2} MB and {:.2} MB of {bound} MB a day have travelled: it has to wait for the next day\n\
                 help: a larger mb_per_day, or smaller updates (update = \"int8\" or \"int2\", a larger freeze)",
                mb(bytes),
                mb(spent)
            );
        }
        self.traffic = Traffic { day, bytes: after };
        let text = toml::to_string(&self.traffic).context("cannot write the day's bytes")?;
        Ok(replace_file(&self.path, |path| fs::write(path, &text), |_| Ok(()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_bytes_and_the_next_one_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut budget = Budget::open(folder.path(), Some(1.0)).unwrap();
        budget.spend(5, 600_000).unwrap();
        let error = Budget::open(folder.path(), Some(1.0)).unwrap().spend(5, 600_000).unwrap_err().to_string();
        assert!(error.contains("0.60 MB of 1 MB"), "{error}");
        budget.spend(5, 400_000).unwrap();
        budget.spend(6, 1_000_000).unwrap();
        assert!(budget.spend(6, 1).is_err());
        Budget::open(folder.path(), None).unwrap().spend(6, u64::MAX).unwrap();
        assert!(Budget::open(folder.path(), Some(f64::NAN)).is_err());
    }
}
