//! Replays a journal: the watchdog is fed the observations again and must come to the same decisions.

use super::journal::JournalEntry;
use super::watch::Watchdog;

/// The decisions of a watchdog on the observations of a journal: the journal as it should be.
pub fn replay(entries: &[JournalEntry]) -> Vec<JournalEntry> {
    let mut watchdog: Option<Watchdog> = None;
    let mut all = Vec::new();
    for entry in entries.iter().filter(|e| !e.is_decision()) {
        match (entry, &mut watchdog) {
            (JournalEntry::Run { mode, facts }, _) => {
                let (begun, said) = Watchdog::begin((**facts).clone(), *mode);
                watchdog = Some(begun);
                all.extend(said);
            }
            (JournalEntry::Digest(digest), Some(w)) => all.extend(w.digest((**digest).clone())),
            (JournalEntry::Epoch(epoch), Some(w)) => all.extend(w.epoch_signals((**epoch).clone())),
            (JournalEntry::Pace(pace), Some(w)) => all.extend(w.pace(*pace)),
            _ => {}
        }
    }
    all
}
