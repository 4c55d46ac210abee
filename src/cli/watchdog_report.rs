//! What the watchdog says on the terminal: while the run goes on, and as a story at its end.

use crate::train::{Event, Job, Records, read_journal};
use crate::watchdog::{Action, Entry, story as tell_story};
use anyhow::Result;

/// Passes on a diagnosis, a cure or a verdict.
pub fn tell(event: &Event) {
    let Event::Watchdog(entry) = event else { return };
    match entry {
        Entry::Diagnosis(d) => log::warn!("step {}: {}: {}", d.step, d.cause.words(), d.sentence),
        Entry::Cure(c) if c.action == Action::Advise => {}
        Entry::Cure(c) if c.applied => log::warn!("step {}: {}", c.step, c.sentence),
        Entry::Cure(c) => log::warn!("step {}: advice: {}", c.step, c.sentence),
        Entry::Verdict(v) => log::info!("step {}: {}", v.step, v.sentence),
        Entry::GaveUp { step, sentence, .. } => log::warn!("step {step}: {sentence}"),
        Entry::Run { .. } | Entry::Digest(_) | Entry::Epoch(_) | Entry::Pace(_) => {}
    }
}

/// Tells the run's journal as a story, on the terminal and in `story.txt`.
///
/// # Errors
/// If the journal cannot be read or the story cannot be written.
pub fn story(job: &Job, training: &Records) -> Result<()> {
    let Some(entries) = read_journal(&job.folder)? else { return Ok(()) };
    let name = |index: u32| training.get(index as usize).map_or(format!("image {index}"), |r| r.source);
    let lines = tell_story(&entries, &name);
    lines.iter().for_each(|line| log::info!("{line}"));
    std::fs::write(job.folder.join("story.txt"), lines.join("\n") + "\n")?;
    Ok(())
}
