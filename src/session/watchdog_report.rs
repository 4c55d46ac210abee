//! The watchdog's messages on the terminal during a run, and its story at the end.

use super::terminal::escaped;
use crate::report::{Marker, MosaicTile, mosaic, write_png};
use crate::train::{Event, Job, Records, read_journal};
use crate::watchdog::{Action, JournalEntry, Suspected, story as tell_story, suspicious};
use anyhow::Result;
use std::path::Path;

/// Passes on a diagnosis, a cure or a verdict.
pub fn tell(event: &Event) {
    let Event::Watchdog(entry) = event else { return };
    match entry {
        JournalEntry::Diagnosis(d) => log::warn!("step {}: {}: {}", d.step, d.cause.words(), d.sentence),
        JournalEntry::Cure(c) if c.action == Action::Advise => {}
        JournalEntry::Cure(c) if c.applied => log::warn!("step {}: {}", c.step, c.sentence),
        JournalEntry::Cure(c) => log::warn!("step {}: advice: {}", c.step, c.sentence),
        JournalEntry::Verdict(v) => log::info!("step {}: {}", v.step, v.sentence),
        JournalEntry::GaveUp { step, sentence, .. } => log::warn!("step {step}: {sentence}"),
        JournalEntry::Run { .. } | JournalEntry::Digest(_) | JournalEntry::Epoch(_) | JournalEntry::Pace(_) => {}
    }
}

/// Images in the picture of suspicious ones, in a row, and their side in pixels.
const SHOWN: usize = 15;
const COLUMNS: usize = 5;
const SIDE: usize = 260;

/// The picture of suspicious images in a run's folder.
const PICTURE: &str = "suspicious.png";

/// Draws the most suspicious training images with their labels; returns whether there are any.
fn picture(job: &Job, entries: &[JournalEntry], training: &Records) -> Result<bool> {
    let mut shown = Vec::new();
    for Suspected { index, doubt, score } in suspicious(entries, SHOWN) {
        let record = training.get(index as usize)?;
        let known = |class: usize| job.class_names.get(class).map_or("?", String::as_str);
        let markers =
            record.objects.iter().map(|o| Marker::object(o.bbox, o.class, known(o.class))).collect::<Vec<_>>();
        // The folder is the same for most, and there is room for the name only.
        let file = Path::new(&record.source).file_name().map_or(record.source.as_str().into(), |f| f.to_string_lossy());
        shown.push((record.image, markers, format!("{} {score:.1} {file}", doubt.words())));
    }
    let tiles: Vec<MosaicTile> = shown
        .iter()
        .map(|(image, markers, caption)| MosaicTile { image, markers: markers.clone(), caption: caption.clone() })
        .collect();
    if !tiles.is_empty() {
        write_png(&mosaic(&tiles, COLUMNS, SIDE), &job.folder.join(PICTURE))?;
    }
    Ok(!tiles.is_empty())
}

/// Tells the run's journal as a story, on the terminal and in `story.txt`, with a picture of suspicious images.
///
/// # Errors
/// If the journal cannot be read or the story cannot be written.
pub fn story(job: &Job, training: &Records) -> Result<()> {
    let Some(entries) = read_journal(&job.folder)? else { return Ok(()) };
    let name = |index: u32| training.get(index as usize).map_or(format!("image {index}"), |r| r.source);
    let mut lines = tell_story(&entries, &name);
    if picture(job, &entries, training)? {
        lines.push(format!("{PICTURE} shows the images whose losses stay highest, with their labels."));
    }
    lines.iter().for_each(|line| log::info!("{line}"));
    let text = lines.join("\n") + "\n";
    std::fs::write(job.folder.join("story.txt"), escaped(&text).as_bytes())?;
    Ok(())
}
