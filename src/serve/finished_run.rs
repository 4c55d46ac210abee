//! `fieldtune watch`: the page of a run of another process, or of one that is over, from its files alone.

use super::live::serve;
use super::live_run::LiveRun;
use super::run_status::{RunState, RunStatus};
use crate::config::{JobFile, ServeAddress};
use anyhow::{Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Largest table of figures that is read.
const MOST_BYTES: u64 = 16 << 20;

/// Serves the page of the run in `folder` until asked to stop.
///
/// # Errors
/// If it is no run folder, or the address is in use.
pub fn watch_run(folder: &Path, address: ServeAddress, stop: &AtomicBool) -> Result<()> {
    if !folder.join("config.toml").is_file() {
        bail!(
            "{}: no config.toml in it, expected a run folder\nhelp: name one, such as runs/train/photos-1",
            folder.display()
        );
    }
    let folder = folder.canonicalize()?;
    let live = Arc::<LiveRun>::default();
    live.show(folder.clone());
    live.change(|status| *status = read_status(&folder));
    serve(address, &live)?;
    let table = folder.join("results.csv");
    let changed = || table.metadata().and_then(|m| m.modified()).ok();
    let mut seen: Option<SystemTime> = changed();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK_EVERY);
        let now = changed();
        if now != seen {
            seen = now;
            live.change(|status| *status = read_status(&folder));
        }
    }
    Ok(())
}

/// The content of the files. A file that is being written, or damaged, says nothing.
fn read_status(folder: &Path) -> RunStatus {
    let run = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let epochs = JobFile::read(&folder.join("config.toml")).map_or(0, |job| job.recipe.epochs);
    let mut status = RunStatus { run, state: RunState::Watched, epochs, ..RunStatus::default() };
    let mut text = String::new();
    let opened = File::open(folder.join("results.csv")).map(|file| file.take(MOST_BYTES));
    if opened.and_then(|mut file| file.read_to_string(&mut text)).is_err() {
        return status;
    }
    let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let Ok(names) = table.headers().cloned() else { return status };
    let at = |name: &str| names.iter().position(|n| n == name);
    let columns = ["epoch", "step", "class_loss", "box_loss", "lr", "AP"].map(at);
    for row in table.records().flatten() {
        let figure = |column: Option<usize>| row.get(column?)?.parse::<f64>().ok().filter(|f| f.is_finite());
        let [epoch, step, class_loss, box_loss, lr, ap] = columns.map(figure);
        let count = |value: Option<f64>| value.filter(|v| (0.0..1e15).contains(v)).map_or(0, |v| v as u64);
        (status.epoch, status.step) = (count(epoch), count(step));
        (status.class_loss, status.box_loss, status.learning_rate, status.ap) = (class_loss, box_loss, lr, ap);
        if ap.is_some_and(|ap| status.best_ap.is_none_or(|best| ap > best)) {
            (status.best_ap, status.best_epoch) = (ap, Some(status.epoch));
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_by_its_names_and_rubbish_in_it_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), "[recipe]\nepochs = 7\n").unwrap();
        assert_eq!(read_status(dir.path()).epochs, 7);
        let text = "epoch,step,time,AP,class_loss\n1,10,3,0.25,2\n2,20,6,0.5,NaN\nx\n3,30,9,-,1.5\n";
        std::fs::write(dir.path().join("results.csv"), text).unwrap();
        let status = read_status(dir.path());
        assert_eq!((status.epoch, status.step, status.best_epoch, status.best_ap), (3, 30, Some(2), Some(0.5)));
        assert_eq!((status.ap, status.class_loss, status.box_loss), (None, Some(1.5), None));
        std::fs::write(dir.path().join("results.csv"), [0xff, 0xfe, 0, 1]).unwrap();
        assert_eq!(read_status(dir.path()).step, 0);
    }
}
