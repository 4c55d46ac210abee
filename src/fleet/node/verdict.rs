//! The findings of the watchdog on a node, as it travels: causes and sentences, never photos or their names.

use crate::fleet::participant::{SettingValue, Settings};
use crate::train::read_journal;
use crate::watchdog::{Cause, JournalEntry};
use anyhow::Result;
use std::path::Path;

/// Causes told, at most.
const MOST: usize = 16;

/// Bytes of a sentence, at most.
const LONGEST: usize = 500;

/// True where a cause lies in the labels: an average without the node is better then.
fn is_of_labels(cause: Cause) -> bool {
    matches!(cause, Cause::LabelsSwapped | Cause::BoxesWrong | Cause::ObjectsUnlabelled | Cause::BoxesUnmatched)
}

/// Adds what the journal in the folder diagnosed in any round so far: `watchdog-causes`, `watchdog-says` (one sentence for
/// each) and `labels-doubtful`. Every node has these keys: Flower averages no others.
///
/// # Errors
/// If there is a journal that cannot be read.
pub fn tell(folder: &Path, metrics: &mut Settings) -> Result<()> {
    let (mut causes, mut sentences, mut doubtful) = (Vec::new(), Vec::new(), false);
    for entry in read_journal(folder)?.unwrap_or_default() {
        let JournalEntry::Diagnosis(found) = entry else { continue };
        let words = found.cause.words().to_string();
        doubtful |= is_of_labels(found.cause);
        if !causes.contains(&words) && causes.len() < MOST {
            causes.push(words);
            sentences.push(found.sentence.chars().take(LONGEST).collect());
        }
    }
    metrics.insert("labels-doubtful".into(), SettingValue::Bool(doubtful));
    metrics.insert("watchdog-causes".into(), SettingValue::Texts(causes));
    metrics.insert("watchdog-says".into(), SettingValue::Texts(sentences));
    Ok(())
}
