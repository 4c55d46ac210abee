//! The journal as a story for a person: what happened, why, what was done about it, and what is left to do.

use super::action::Action;
use super::advice::advice;
use super::cause::Cause;
use super::diagnosis::listed;
use super::facts::RunFacts;
use super::journal::{CureOutcome, JournalEntry};
use super::limits::limits;
use super::signals::EpochSignals;
use super::suspects::OUTSTANDING;

/// Sentences, one event a line, advice last. `name` gives the file name of a training image.
pub fn story(entries: &[JournalEntry], name: &dyn Fn(u32) -> String) -> Vec<String> {
    let mut facts = RunFacts::default();
    let mut lines = Vec::new();
    let mut causes: Vec<(Cause, Vec<u32>)> = Vec::new();
    let mut epochs: Vec<&EpochSignals> = Vec::new();
    for entry in entries {
        match entry {
            JournalEntry::Run { facts: run, .. } => facts = (**run).clone(),
            JournalEntry::Epoch(epoch) => epochs.push(epoch),
            JournalEntry::Diagnosis(found) => {
                let named: Vec<String> = found.images.iter().map(|&i| name(i)).collect();
                let which = if named.is_empty() { String::new() } else { format!(": {}", listed(&named)) };
                lines.push(format!(
                    "{}, {}: {}{which}.",
                    when(found.step, &facts),
                    found.cause.words(),
                    found.sentence
                ));
                match causes.iter_mut().find(|(cause, _)| *cause == found.cause) {
                    Some((_, images)) => images.extend(&found.images),
                    None => causes.push((found.cause, found.images.clone())),
                }
            }
            JournalEntry::Cure(cure) if cure.action == Action::Advise => {}
            JournalEntry::Cure(cure) => {
                let said = if cure.applied { "Cure" } else { "Advised cure" };
                lines.push(format!("  {said} at step {}: {}.", cure.step, cure.sentence));
            }
            JournalEntry::Verdict(verdict) => {
                let said = match verdict.outcome {
                    CureOutcome::Helped => "It helped",
                    CureOutcome::Untold => "No difference can be told",
                    CureOutcome::NoChange => "It did not help",
                    CureOutcome::Worse => "It did harm",
                    CureOutcome::Overtaken => "It was cut short",
                };
                lines.push(format!("  {said} (step {}): {}.", verdict.step, verdict.sentence));
            }
            JournalEntry::GaveUp { step, sentence, .. } => lines.push(format!("  Step {step}: {sentence}.")),
            JournalEntry::Digest(_) | JournalEntry::Pace(_) => {}
        }
    }
    let mut told = vec![summary(&epochs, lines.is_empty())];
    told.extend(lines);
    told.extend(what_limits(entries));
    told.extend(worth_a_look(&epochs, name));
    for (cause, mut images) in causes {
        let mut seen = std::collections::BTreeSet::new();
        images.retain(|i| seen.insert(*i));
        let named: Vec<String> = images.iter().map(|&i| name(i)).collect();
        let which = if named.is_empty() { String::new() } else { format!(" ({})", listed(&named)) };
        told.push(format!("To do: {}{which}", advice(cause, &facts)));
    }
    told
}

/// The first limits of the result, most costly first.
fn what_limits(entries: &[JournalEntry]) -> Vec<String> {
    const SHOWN: usize = 3;
    let found = limits(entries);
    let lines = (1..).zip(found.iter().take(SHOWN)).map(|(i, limit): (usize, _)| format!("  {i}. {}", limit.words()));
    let head = (!found.is_empty()).then(|| "What limits this result:".to_string());
    head.into_iter().chain(lines).collect()
}

/// The images that stand out most at the end, whether or not they are enough for a diagnosis.
fn worth_a_look(epochs: &[&EpochSignals], name: &dyn Fn(u32) -> String) -> Option<String> {
    const SHOWN: usize = 14;
    let suspicion = epochs.last().map(|e| &e.suspicion).filter(|s| s.epochs >= 4)?;
    let standing_out = suspicion.worst.iter().filter(|s| s.score() > OUTSTANDING);
    let names: Vec<String> = standing_out.take(SHOWN).map(|s| name(s.index)).collect();
    let said = "Worth a look, for their losses stay high, highest first: ";
    (!names.is_empty()).then(|| format!("{said}{}.", names.join(", ")))
}

/// The suspicion about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    Boxes,
    Names,
    Unlabelled,
}

impl Doubt {
    /// One word.
    pub fn words(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Names => "names",
            Self::Unlabelled => "unlabelled",
        }
    }

    /// The evidence against the labels.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Boxes => "boxes in doubt: nothing is seen where they are",
            Self::Names => "class in doubt: an object is seen, and it looks like another class",
            Self::Unlabelled => "objects without label: something is seen where no box is",
        }
    }
}

/// An image that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspected {
    pub index: u32,
    /// The strongest doubt.
    pub doubt: Doubt,
    /// By how many robust deviations it stands out.
    pub score: f64,
}

/// The images that stand out most at the end, most suspicious first, with what speaks against each.
pub fn suspicious(entries: &[JournalEntry], most: usize) -> Vec<Suspected> {
    let mut epochs = entries.iter().filter_map(|e| if let JournalEntry::Epoch(epoch) = e { Some(epoch) } else { None });
    let Some(last) = epochs.next_back().filter(|e| e.suspicion.epochs >= 4) else { return Vec::new() };
    let told = last.suspicion.worst.iter().take(most).map(|s| {
        let doubts = [(s.misplaced(), Doubt::Boxes), (s.swapped(), Doubt::Names), (s.unlabelled(), Doubt::Unlabelled)];
        let strongest = doubts.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(Doubt::Boxes, |d| d.1);
        Suspected { index: s.index, doubt: strongest, score: s.score() }
    });
    told.collect()
}

fn when(step: u64, facts: &RunFacts) -> String {
    match step {
        0 => "Before the run".into(),
        _ => format!("Step {step} (epoch {})", step.saturating_sub(1) / facts.steps_per_epoch.max(1) + 1),
    }
}

fn summary(epochs: &[&EpochSignals], healthy: bool) -> String {
    let health = if healthy { "no fault was found" } else { "not everything was in order" };
    let ([first, ..], [.., last]) = (epochs, epochs) else {
        return format!("In this run {health}.");
    };
    let loss = |e: &EpochSignals| e.training[0] + e.training[1];
    let best = epochs.iter().filter_map(|e| e.ap.map(|ap| (ap, e.epoch))).max_by(|a, b| a.0.total_cmp(&b.0));
    let best = best.map_or(String::new(), |(ap, epoch)| format!(", the best AP was {ap:.3} after epoch {epoch}"));
    let epochs = if last.epoch == 1 { "1 epoch".to_string() } else { format!("{} epochs", last.epoch) };
    format!("In {epochs} the loss went from {:.2} to {:.2}{best}; {health}.", loss(first), loss(last))
}
