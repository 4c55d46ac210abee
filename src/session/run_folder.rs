//! Run folders, and the pack that a run's data is read from.

use super::photo_pack::{PackChoice, pack_photos};
use super::screen::Bar;
use crate::boxes::InputSize;
use crate::data::{DataError, FindingKind, Pack, PackNotes, open_all, shown};
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Sides of the smallest input that leaves every feature map a cell, and of the largest that makes sense here.
const SIZES: std::ops::RangeInclusive<usize> = 64..=1280;

/// # Errors
/// If no network runs at this input size.
pub fn check_size(size: InputSize) -> Result<()> {
    if !size.dims().iter().all(|side| SIZES.contains(side)) {
        bail!("imgsz = {size}, expected {} to {} pixels", SIZES.start(), SIZES.end());
    }
    Ok(())
}

/// A data set as the programs read it.
pub struct DataSource {
    pub pack: Pack,
}

/// Opens a pack, or packs a data set into `cache` (or reuses what is there and current).
///
/// # Errors
/// If the data cannot be read or the pack cannot be written.
pub fn open_source(data: &Path, cache: &Path, val_share: f64, seed: u64) -> Result<DataSource> {
    open_sources(&[data.into()], cache, &PackChoice { val_share, seed, ..PackChoice::default() })
}

/// As [`open_source`], of several data sets together, joined by the names of their classes.
///
/// # Errors
/// As [`open_source`].
pub fn open_sources(sets: &[PathBuf], cache: &Path, choice: &PackChoice) -> Result<DataSource> {
    let [data, others @ ..] = sets else { bail!("no data set given") };
    if others.is_empty() && data.extension().is_some_and(|e| e == "pack") {
        return Ok(DataSource { pack: Pack::open(data)? });
    }
    let full = data.canonicalize().with_context(|| {
        format!("{}: no such data set\nhelp: name a folder of labelled photos, a label file, or a pack", data.display())
    })?;
    let name = full.file_stem().and_then(|n| n.to_str()).unwrap_or("data").to_string();
    std::fs::create_dir_all(cache).with_context(|| format!("{}: cannot make the folder", cache.display()))?;
    let bar = Bar::begin("packing", 0);
    let more = if others.is_empty() { String::new() } else { format!("-and-{}", others.len()) };
    let path = cache.join(format!("{name}{more}.pack"));
    let mut progress = |done: usize, total: usize| bar.at(done, total);
    let dataset = open_all(sets)?;
    let (mut pack, report) = pack_photos(&dataset, &path, choice, &mut progress)?;
    // Only a whole look tells whether a card has lost something of a pack that was made earlier.
    if report.is_none()
        && let Err(error) = check_records(&pack)
    {
        log::warn!("{error}; the photos are packed again");
        drop(pack);
        std::fs::remove_file(&path).with_context(|| format!("{}: cannot remove the damaged pack", path.display()))?;
        (pack, _) = pack_photos(&dataset, &path, choice, &mut progress)?;
    }
    Ok(DataSource { pack })
}

/// # Errors
/// If a record is not what was packed.
fn check_records(pack: &Pack) -> Result<(), DataError> {
    let all = pack.split("all")?;
    (0..all.len()).try_for_each(|i| all.objects(i).map(drop))
}

/// Says what became of the files of a data set, and each kind of error in a line.
pub fn tell_notes(notes: &PackNotes) {
    notes.account.iter().for_each(|line| log::info!("{}", shown(line)));
    notes.errors.iter().for_each(|error| log::warn!("{}", error.sentence));
}

/// Ends where training on such a set cannot mean well, unless each such kind of error is accepted by its name.
///
/// # Errors
/// If there is an error that is not accepted, or a name in `accepted` that is none.
pub fn refuse_unless_accepted(notes: &PackNotes, accepted: &[String]) -> Result<()> {
    for name in accepted {
        if !FindingKind::of_name(name).is_some_and(FindingKind::forbids_training) {
            let known: Vec<&str> = FindingKind::ALL.iter().filter(|k| k.forbids_training()).map(|k| k.name()).collect();
            bail!("--accept {name}: no such kind\nhelp: one of {}", known.join(", "));
        }
    }
    let left = notes.errors.iter().filter(|e| e.forbids_training && !accepted.iter().any(|a| a == e.kind.name()));
    let Some(first) = left.clone().next() else { return Ok(()) };
    let kinds: Vec<String> = left.map(|e| format!("--accept {}", e.kind.name())).collect();
    bail!(
        "nothing is trained on guesses: {}\nhelp: mend the data set (`fieldtune check` says more), or train all the same with {}",
        first.sentence,
        kinds.join(" ")
    );
}

/// Says once more that the figures of a run are of photos that were trained on.
pub fn tell_leak(notes: &PackNotes) {
    if notes.errors.iter().any(|e| {
        matches!(
            e.kind,
            FindingKind::ValidationIsTraining | FindingKind::DuplicateImageAcrossSplits | FindingKind::ImageInTwoSplits
        )
    }) {
        log::warn!("AP was measured on photos that were trained on, all or in part: it promises too much");
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
    let refused = || format!("{}: cannot make the run folder", folder.display());
    std::fs::create_dir_all(&folder).with_context(refused)?;
    // Made in one step: of two runs that want the name at once, one gets it.
    match std::fs::create_dir(folder.join("weights")) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "{}: a run of that name exists\nhelp: continue it with `fieldtune train --resume {0}`, or choose another --name",
            folder.display()
        ),
        made => made.with_context(refused)?,
    }
    Ok(folder)
}
