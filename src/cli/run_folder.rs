//! Where runs live, and the pack that their data is read from.

use super::progress::bar;
use crate::data::{Finding, Pack, PackOptions, Severity, pack_or_reuse};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The smallest input that leaves every feature map a cell, and the largest that makes sense here.
const SIZES: std::ops::RangeInclusive<usize> = 64..=1280;

/// # Errors
/// If no network runs at this input size.
pub fn check_size(size: usize) -> Result<()> {
    if !SIZES.contains(&size) {
        bail!("imgsz = {size}, expected {} to {} pixels", SIZES.start(), SIZES.end());
    }
    Ok(())
}

/// A data set as the programs read it.
pub struct Source {
    pub pack: Pack,
    /// What was found on packing; empty for a pack that was there already.
    pub findings: Vec<Finding>,
}

/// Opens a pack, or packs a data set into `cache` (or reuses what is there and current).
///
/// # Errors
/// If the data cannot be read or the pack cannot be written.
pub fn open_source(data: &Path, cache: &Path, val_share: f64, seed: u64) -> Result<Source> {
    if data.extension().is_some_and(|e| e == "pack") {
        return Ok(Source { pack: Pack::open(data)?, findings: Vec::new() });
    }
    let full = data.canonicalize().with_context(|| {
        format!("{}: no such data set\nhelp: name a folder of labelled photos, a label file, or a pack", data.display())
    })?;
    let name = full.file_stem().and_then(|n| n.to_str()).unwrap_or("data").to_string();
    std::fs::create_dir_all(cache).with_context(|| format!("{}: cannot make the folder", cache.display()))?;
    let options = PackOptions { val_share, seed, ..PackOptions::default() };
    let bar = bar("packing");
    let (pack, report) = pack_or_reuse(data, &cache.join(format!("{name}.pack")), &options, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    Ok(Source { pack, findings: report.map(|r| r.findings).unwrap_or_default() })
}

/// Says what packing found: errors and warnings one by one, up to a handful.
pub fn tell_findings(findings: &[Finding]) {
    let serious: Vec<&Finding> = findings.iter().filter(|f| f.severity > Severity::Info).collect();
    for finding in serious.iter().take(5) {
        log::warn!("{}: {} ({})", finding.place, finding.detail, finding.action.name());
    }
    if serious.len() > 5 {
        log::warn!("{} more defects: see `fieldtune check`", serious.len() - 5);
    }
}

/// `stem` and the first number for which nothing of that name is in `out`.
pub fn free_name(out: &Path, stem: &str) -> String {
    let mut names = (1u64..).map(|i| format!("{stem}-{i}"));
    names.find(|name| !out.join(name).exists()).unwrap_or_else(|| stem.into())
}

/// Makes the folder of a new run: `out/name`, or `out/` and the data set's name with the first free number.
///
/// # Errors
/// If a run of that name exists, or the folder cannot be made.
pub fn new_run(out: &Path, name: Option<&str>, data: &Path) -> Result<PathBuf> {
    let folder = match name {
        Some(name) => out.join(name),
        None => {
            let stem = data.canonicalize().ok();
            let stem = stem.as_deref().and_then(Path::file_stem).and_then(|n| n.to_str()).unwrap_or("run").to_string();
            out.join(free_name(out, &stem))
        }
    };
    if folder.join("weights").exists() {
        bail!(
            "{}: a run of that name exists\nhelp: continue it with `fieldtune train --resume {0}`, or choose another --name",
            folder.display()
        );
    }
    std::fs::create_dir_all(folder.join("weights"))
        .with_context(|| format!("{}: cannot make the run folder", folder.display()))?;
    Ok(folder)
}
